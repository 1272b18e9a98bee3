// Package telephony makes call recordings for tests from the speech and music
// that Asterisk ships: real telephony audio, 8 kHz, of the lengths and codings
// that recorders write. It is installed on the machine and not ours to copy,
// so nothing made here is kept in the repository.
package telephony

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

const (
	speechDir = "/usr/share/asterisk/sounds/en_US_f_Allison"
	musicDir  = "/usr/share/asterisk/moh"
)

// A Call is a recording on disk.
type Call struct {
	Name string // what it is, as a file name
	Path string
	Size int64
}

// Calls writes a set of calls into dir: from some 50 KB to 100 MB, mono and
// stereo, 16-bit PCM and µ-law.
func Calls(t testing.TB, dir string) []Call {
	t.Helper()
	speech, music := inputs(t, speechDir, 60), inputs(t, musicDir, 5)
	recipes := []struct {
		name string
		args []string
	}{
		{"short-pcm.wav", args(speech[:2], "-e", "signed-integer", "-b", "16", "OUT", "repeat", "-", "trim", "0", "3.2")},
		{"minute-ulaw.wav", args(speech, "-e", "u-law", "OUT", "repeat", "-", "trim", "0", "60")},
		{"call-stereo-ulaw.wav", slices.Concat([]string{"-M"}, music[:2], []string{"-e", "u-law", "OUT", "repeat", "-", "trim", "0", "300"})},
		{"call-stereo-pcm.wav", slices.Concat([]string{"-M"}, music[1:3], []string{"-e", "signed-integer", "-b", "16", "OUT", "repeat", "-", "trim", "0", "600"})},
		{"hour-stereo-pcm.wav", slices.Concat([]string{"-M"}, music[2:4], []string{"-e", "signed-integer", "-b", "16", "OUT", "repeat", "-", "trim", "0", "3277"})},
	}
	var out []Call
	for _, r := range recipes {
		path := filepath.Join(dir, r.name)
		r.args[slices.Index(r.args, "OUT")] = path
		sox(t, r.args)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Call{r.name, path, info.Size()})
	}
	return out
}

func args(inputs []string, rest ...string) []string { return slices.Concat(inputs, rest) }

// inputs gives n sound files of a directory that a Debian package installed.
func inputs(t testing.TB, dir string, n int) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.wav"))
	if err != nil || len(files) < n {
		t.Fatalf("%d sounds in %s, want %d: run make packages", len(files), dir, n)
	}
	return files[:n]
}

func sox(t testing.TB, args []string) {
	t.Helper()
	if out, err := exec.Command("sox", append([]string{"-q", "-V1", "-r", "8000"}, args...)...).CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("sox: %w\n%s", err, out))
	}
}
