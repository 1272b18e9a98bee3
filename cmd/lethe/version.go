package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

// build is what is known of how this program was built.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the revision's tree was changed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Tell the version of this program",
		Long: `Version tells which release this program is, and of which revision it was built.
A server and the programs that administer it should be of the same release.`,
		Example: "  lethe version --json",
		Args:    cobra.NoArgs,
		RunE: work(func(*cobra.Command, []string) error {
			b := thisBuild()
			return p.answer(b, table{{"lethe", b.Version}, {"revision", b.Revision}, {"built with", b.Go}, {"for", b.Platform}})
		}),
	}
}
