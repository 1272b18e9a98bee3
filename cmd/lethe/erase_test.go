package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
	"github.com/lethe-vault/lethe/recording"
)

// erasing is a server with a tenant that has a recording.
type erasing struct {
	*running
	flags []string // for the commands that erase
}

const awkward = `2026/it's a "call".wav`

func newErasing(t *testing.T) erasing {
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	e := erasing{s, []string{"--tenant", "acme", "--data", s.dir}}
	file := filepath.Join(t.TempDir(), "call.wav")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	answers[any](t, "tenant", "create", "acme", "--data", s.dir)
	answers[any](t, "bucket", "create", "calls", "--tenant", "acme", "--data", s.dir)
	pair := answers[map[string]string](t, "recorder", "create", "r", "--bucket", "calls", "--tenant", "acme", "--data", s.dir)
	answers[any](t, "put", file, "--bucket", "calls", "--name", awkward, "--data", s.dir,
		"--access-key", pair["access_key"], "--secret-key", pair["secret_key"])
	return e
}

// What a person is told to do after an erasure does what it says: the lines go
// through a shell as they are printed.
func TestErasureIsProvedAsItSays(t *testing.T) {
	t.Parallel()
	s := newErasing(t)
	status, out, errs := lethe(t, append([]string{"erase", "--recording", "calls/" + awkward}, s.flags...)...)
	if status != done || !regexp.MustCompile(`(?m)^erasure +[0-9a-f]{32}\nstate +\w+\nsalt +[0-9a-f]{64}\n$`).MatchString(out) {
		t.Fatalf("lethe erase = %d %s%s", status, out, errs)
	}
	var script strings.Builder
	for _, line := range strings.Split(errs, "\n") {
		if command, ok := strings.CutPrefix(line, "  "); ok {
			script.WriteString(command + "\n")
		}
	}
	sh := exec.Command("sh", "-ec", "lethe() { \"$LETHE\" \"$@\"; }\n"+script.String())
	sh.Dir = t.TempDir()
	sh.Env = append(os.Environ(), beLethe+"=1", "LETHE="+os.Args[0], "LETHE_ADDR=127.0.0.1:1") // the lines say themselves where the server is
	proof, err := sh.CombinedOutput()
	if err != nil || !strings.Contains(string(proof), "checked      it is about this recording") {
		t.Errorf("%s\nprinted %s: %v", &script, proof, err)
	}
	again, out, errs := lethe(t, append([]string{"erase", "--recording", "calls/" + awkward}, s.flags...)...)
	if again != done || strings.Contains(out, "salt") || !strings.Contains(errs, "erased before") {
		t.Errorf("lethe erase again = %d %s%s", again, out, errs)
	}
}

// Whoever stops waiting, or waits for too short, is told that the erasure goes on,
// how to go on waiting, and the salt, which is told nowhere else.
func TestErasureGoesOn(t *testing.T) {
	t.Parallel()
	s := newErasing(t)
	for says, tt := range map[string]struct {
		args  string
		after time.Duration // of an interrupt
	}{
		"interrupted":        {"--day 90d/2026-12-31", 3 * time.Second},
		"no certificate yet": {"--day 91d/2026-12-31 --wait-for 10ms", time.Minute},
	} {
		ctx, interrupt := context.WithTimeout(t.Context(), tt.after)
		args := append(strings.Fields("--wait --json "+tt.args), s.flags...)
		var out, errs bytes.Buffer
		status := run(ctx, append([]string{"erase"}, args...), &out, &errs)
		interrupt()
		var said complaint
		if err := json.Unmarshal(errs.Bytes(), &said); err != nil || status != failed || out.Len() > 0 {
			t.Errorf("%s: %d %s%s", says, status, &out, &errs)
			continue
		}
		if _, err := recording.ParseErasureID(said.Erasure); err != nil || len(said.Salt) != 64 ||
			!strings.Contains(said.Error, says) || !strings.Contains(said.Error, "goes on") ||
			!strings.Contains(said.Next, "lethe certificate "+said.Erasure+" --wait") {
			t.Errorf("%s: %s", says, &errs)
		}
		e := answers[client.ErasureList](t, "erasure", "list", "--tenant", "acme", "--data", s.dir).Erasures[0]
		if e.Erasure != said.Erasure {
			t.Errorf("%s: the newest erasure is %+v, not %s", says, e, said.Erasure)
		}
		if status, out, errs := lethe(t, "certificate", said.Erasure, "--data", s.dir); status != failed || out != "" || !strings.Contains(errs, "no certificate yet") {
			t.Errorf("%s: lethe certificate = %d %s%s", says, status, out, errs)
		}
	}
}

// A person sees how far it is, and a line that is gone in the end.
func TestErasureOnATerminal(t *testing.T) {
	t.Parallel()
	s := newErasing(t)
	tty := openTerminal(t, 100)
	var out bytes.Buffer
	args := append([]string{"erase", "--recording", "calls/" + awkward, "--wait", "--wait-for", "3s"}, s.flags...)
	if status := run(t.Context(), args, &out, tty.File); status != failed {
		t.Errorf("status %d, want %d", status, failed)
	}
	sent := tty.text()
	if !regexp.MustCompile(`waiting for the certificate: \w+  [12]s`).MatchString(sent) {
		t.Errorf("it does not show that it waits: %q", sent)
	}
	left := strings.Join(screen(sent), "\n")
	if strings.Contains(left, "waiting for") || !strings.Contains(left, "goes on by itself") || !strings.Contains(out.String(), "salt") {
		t.Errorf("left on the screen: %q", left)
	}
}

// A flag that is given twice means both: put takes both subjects, and a command that
// takes one thing refuses two.
func TestNoSubjectGoesUnheeded(t *testing.T) {
	t.Parallel()
	s := newErasing(t)
	file := filepath.Join(t.TempDir(), "two.wav")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	pair := answers[map[string]string](t, "recorder", "create", "two", "--bucket", "calls", "--tenant", "acme", "--data", s.dir)
	answers[any](t, "put", file, "--bucket", "calls", "--name", "two.wav", "--subject", "+4930111111", "--subject", "+4930222222,+4930333333",
		"--data", s.dir, "--access-key", pair["access_key"], "--secret-key", pair["secret_key"])
	for _, twice := range [][]string{
		{"erase", "--subject", "+4930111111", "--subject", "+4930222222"},
		{"erase", "--recording", "calls/two.wav", "--recording", "calls/three.wav"},
		{"hold", "create", "--reason", "case", "--subject", "+4930111111", "--subject", "+4930222222"},
	} {
		status, _, errs := lethe(t, append(twice, s.flags...)...)
		if status != misuse || !strings.Contains(errs, "given twice") {
			t.Errorf("lethe %v = %d %s", twice, status, errs)
		}
	}
	for _, subject := range []string{"+4930111111", "+4930333333"} {
		h := answers[client.Hold](t, append([]string{"hold", "create", "--reason", "case", "--subject", subject}, s.flags...)...)
		status, _, errs := lethe(t, append([]string{"erase", "--recording", "calls/two.wav"}, s.flags...)...)
		if status != failed || !strings.Contains(errs, h.Hold) {
			t.Errorf("erase what tells of %s, who is held: %d %s", subject, status, errs)
		}
		answers[client.Hold](t, append([]string{"hold", "release", h.Hold}, s.flags...)...)
	}
}
