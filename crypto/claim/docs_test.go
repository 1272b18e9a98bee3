package claim_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
)

const manual = "../../docs/certificates.md"

func readManual(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// members gives those of a type in their order, as the manual's rows begin.
func members(at string, of reflect.Type, optional string) (rows []string) {
	switch {
	case of == reflect.TypeFor[time.Time]():
		return []string{fmt.Sprintf("| `%s` | time%s |", at, optional)}
	case of.Kind() == reflect.Slice:
		return members(at+"[]", of.Elem(), optional)
	case of.Kind() == reflect.Struct:
		for f := range of.Fields() {
			name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			mark := ""
			if option != "" {
				mark = "?"
			}
			rows = append(rows, members(strings.TrimPrefix(at+"."+name, "."), f.Type, mark)...)
		}
		return rows
	case of.Kind() == reflect.String:
		return []string{fmt.Sprintf("| `%s` | string%s |", at, optional)}
	}
	return []string{fmt.Sprintf("| `%s` | integer%s |", at, optional)}
}

// The manual has every member of a statement, in the order in which it is signed.
func TestManualHasMembers(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `[^`]+` \\| (string|integer|time)\\?? \\|")
	got := row.FindAllString(readManual(t), -1)
	want := members("", reflect.TypeFor[claim.Erasure](), "")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s has\n%s\nwant\n%s", manual, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// shell runs the manual's commands that begin with begin, in dir.
func shell(t *testing.T, dir, begin string) error {
	t.Helper()
	_, block, found := strings.Cut(readManual(t), "```sh\n"+begin)
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatalf("%s has no commands that begin with %q", manual, begin)
	}
	c := exec.Command("bash", "-euo", "pipefail", "-c", begin+block)
	c.Dir, c.Env = dir, append(os.Environ(), "salt="+salt.String())
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	return err
}

const (
	checkSignature = "jq -j .payload"
	checkScope     = "scope="
	makeKeys       = "openssl genpkey"
)

// What the manual says is enough to check a certificate without our code.
func TestWithoutLethe(t *testing.T) {
	for _, algorithm := range algorithms {
		dir := t.TempDir()
		copied := func(from, to string, change func(string) string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, to), []byte(change(string(file(t, from)))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		same := func(s string) string { return s }
		copied(algorithm+".pub", "certificate.pub", same)
		copied(algorithm+".json", "certificate.json", same)
		for _, commands := range []string{checkSignature, checkScope} {
			if err := shell(t, dir, commands); err != nil {
				t.Errorf("%s: %s…: %v", algorithm, commands, err)
			}
		}
		copied(algorithm+".json", "certificate.json", func(s string) string {
			body := payload(t, s)
			other := string(replaced(t, body, `"refiled":1`, `"refiled":0`))
			return string(replaced(t, s, base64.StdEncoding.EncodeToString([]byte(body)), base64.StdEncoding.EncodeToString([]byte(other))))
		})
		if err := shell(t, dir, checkSignature); err == nil {
			t.Errorf("%s: a changed certificate passed", algorithm)
		}
	}
}

// Keys that are made as the manual says can sign and verify.
func TestKeysOfOpenSSL(t *testing.T) {
	dir := t.TempDir()
	if err := shell(t, dir, makeKeys); err != nil {
		t.Fatal(err)
	}
	private, err := os.ReadFile(filepath.Join(dir, "certificate.pem"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(filepath.Join(dir, "certificate.pub"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := claim.NewSigner(config(private))
	if err != nil {
		t.Fatal(err)
	}
	key, err := claim.ParsePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Verify(signed(t, s, example(t))); err != nil {
		t.Error(err)
	}
}
