package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What can be read only once is stored as a file is: signed throughout, whole
// if it is short, else in parts.
func TestPutStream(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	for _, args := range []string{"tenant create acme", "bucket create calls --tenant acme --min-class B"} {
		answers[any](t, append(strings.Fields(args), "--data", s.dir)...)
	}
	pair := answers[map[string]string](t, "reader", "create", "r", "--tenant", "acme", "--bucket", "calls", "--write", "--data", s.dir)
	keys := []string{"--data", s.dir, "--access-key", pair["access_key"], "--secret-key", pair["secret_key"]}
	for name, size := range map[string]int{"empty": 0, "short": 1000, "part": partSize, "parts": 2*partSize + 1} {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(content)
		digest := sha256.Sum256(content)
		for how, put := range map[string]func(*testing.T, []byte, ...string) receipt{"input": putInput, "pipe": putPipe} {
			r := put(t, content, append([]string{"--bucket", "calls", "--name", name + how + ".wav"}, keys...)...)
			if r.Size != int64(size) || r.SHA256 != hex.EncodeToString(digest[:]) || r.Class != "B" {
				t.Errorf("%s by %s: receipt %+v", name, how, r)
			}
			file := filepath.Join(t.TempDir(), "copy")
			answers[any](t, append([]string{"get", "calls/" + r.Name, file}, keys...)...)
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s by %s: got %d bytes, %v", name, how, len(got), err)
			}
			if i := answers[status](t, append([]string{"stat", "calls/" + r.Name}, keys...)...); i.ContentType != "audio/wav" || i.Recording != r.Recording {
				t.Errorf("%s by %s: stat %+v", name, how, i)
			}
		}
	}
}

// putInput puts standard input, in a process that has one of its own.
func putInput(t *testing.T, content []byte, args ...string) (r receipt) {
	c := exec.Command(os.Args[0], append([]string{"put", "-", "--json"}, args...)...)
	c.Env = append(os.Environ(), beLethe+"=1")
	c.Stdin = bytes.NewReader(content)
	out, err := c.Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		t.Fatalf("put -: %v: %s", err, out)
	}
	return r
}

// putPipe puts a named pipe.
func putPipe(t *testing.T, content []byte, args ...string) receipt {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(pipe, content, 0) // ends when all of it was read
	return answers[receipt](t, append([]string{"put", pipe}, args...)...)
}
