//go:build !linux

package doctor

import "github.com/lethe-vault/lethe/finding"

// fileSystem cannot tell here.
func fileSystem(l *finding.List, dir string) {
	l.Skip("files.system", "what "+dir+" lies on is looked at on Linux only", "see that it is a local file system with room")
}
