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

// A recipe is what sox makes a call of; OUT stands for the file.
type recipe struct {
	name string
	args []string
}

// recipes are in order of size, from some 50 KB to 100 MB.
func recipes(t testing.TB) []recipe {
	t.Helper()
	speech, music := inputs(t, speechDir, 60), inputs(t, musicDir, 5)
	return []recipe{
		{"short-pcm.wav", args(speech[:2], "-e", "signed-integer", "-b", "16", "OUT", "repeat", "-", "trim", "0", "3.2")},
		{"minute-ulaw.wav", args(speech, "-e", "u-law", "OUT", "repeat", "-", "trim", "0", "60")},
		{"call-stereo-ulaw.wav", slices.Concat([]string{"-M"}, music[:2], []string{"-e", "u-law", "OUT", "repeat", "-", "trim", "0", "300"})},
		{"call-stereo-pcm.wav", slices.Concat([]string{"-M"}, music[1:3], []string{"-e", "signed-integer", "-b", "16", "OUT", "repeat", "-", "trim", "0", "600"})},
		{"hour-stereo-pcm.wav", slices.Concat([]string{"-M"}, music[2:4], []string{"-e", "signed-integer", "-b", "16", "OUT", "repeat", "-", "trim", "0", "3277"})},
	}
}

// Calls writes a set of calls into dir: from some 50 KB to 100 MB, mono and
// stereo, 16-bit PCM and µ-law.
func Calls(t testing.TB, dir string) []Call {
	t.Helper()
	return record(t, dir, recipes(t))
}

// Short is Calls without those of 10 MB and more.
func Short(t testing.TB, dir string) []Call {
	t.Helper()
	return record(t, dir, recipes(t)[:3])
}

// Long writes into dir one recording of at least size bytes: the longest call
// again and again.
func Long(t testing.TB, dir string, size int64) Call {
	t.Helper()
	all := recipes(t)
	call := record(t, dir, all[len(all)-1:])[0]
	content, err := os.ReadFile(call.Path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(call.Path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for ; call.Size < size; call.Size += int64(len(content)) {
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	return call
}

func record(t testing.TB, dir string, recipes []recipe) []Call {
	t.Helper()
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
