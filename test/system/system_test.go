package system_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/lethe-vault/lethe/test/system"
)

func TestSystem(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *system.System{
		"embedded": system.Embedded, "scaled": system.Scaled, "scaled, as on AWS": system.ScaledAWS,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			recorder, reader := s.Pair("acme", "calls")
			content := bytes.Repeat([]byte("ring "), 100_000)
			file := filepath.Join(t.TempDir(), "call.wav")
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.LetheAs(recorder, nil, "put", file, "--bucket", "calls", "--name", "a/b.wav"); err != nil {
				t.Fatalf("%v\n%s", err, s.Log())
			}
			s.Stop()
			s.Start()
			back := filepath.Join(t.TempDir(), "back.wav")
			if err := s.LetheAs(reader, nil, "get", "calls/a/b.wav", back); err != nil {
				t.Fatalf("%v\n%s", err, s.Log())
			}
			if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes came back, %v", len(got), err)
			}
		})
	}
}
