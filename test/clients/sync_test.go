package clients

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/lethe-vault/lethe/test/system"
	"github.com/lethe-vault/lethe/test/telephony"
)

// TestSync copies a directory tree up and down with "aws s3 sync", each way
// twice: the second time there is nothing to do.
func TestSync(t *testing.T) {
	s := system.Embedded(t)
	lethe(t, s, nil, "tenant", "create", tenant)
	at := newSite(t, s, "calls")
	c := newAWSCLI(t, at).(awsCLI)
	here, there := t.TempDir(), t.TempDir()
	for i, call := range telephony.Short(t, t.TempDir()) {
		b, err := os.ReadFile(call.Path)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(here, filepath.FromSlash(names[i])), string(b))
	}
	for _, way := range [][2]string{{here, c.at("archive/")}, {c.at("archive/"), there}} {
		if out := sync(t, c, way); len(lines(out)) == 0 {
			t.Errorf("sync %v transfers nothing", way)
		}
		if out := sync(t, c, way); len(out) > 0 {
			t.Errorf("sync %v again transfers\n%s", way, out)
		}
	}
	if got, want := tree(t, there), tree(t, here); len(want) != len(names) || !maps.Equal(got, want) {
		t.Errorf("came back as %v, want %v", got, want)
	}
}

func sync(t *testing.T, c awsCLI, way [2]string) []byte {
	t.Helper()
	out, err := c.aws(t.Context(), "s3", "sync", "--no-progress", way[0], way[1])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tree gives the SHA-256 of every file below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[name] = digest(t, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
