package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// manual documents what every command prints with --json.
const manual = "../../docs/cli.md"

// shape is what keys an object has, and of which type. A list's elements are
// key[], an object's values of any key are key.*; a type that ends in ? may be
// absent. An object whose keys are documented elsewhere is one.
type shape map[string]string

// documented reads the tables of the manual, by the heading above each.
func documented(t *testing.T) map[string]shape {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("^\\| `([^`]+)` \\| ([a-z]+\\??) \\|")
	all, under := map[string]shape{}, ""
	for _, line := range strings.Split(string(text), "\n") {
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			under = strings.Trim(heading, "`")
		}
		if m := row.FindStringSubmatch(line); m != nil {
			if all[under] == nil {
				all[under] = shape{}
			}
			all[under][m[1]] = m[2]
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no table", manual)
	}
	return all
}

// flatten adds to s what v has under key.
func (s shape) flatten(key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if key == "certificate" || key == "erasure.certificate" { // docs/certificates.md, by a test of crypto/claim
			s[key] = "object"
			return
		}
		for k, element := range v {
			if strings.HasSuffix(key, "metadata") {
				k = "*" // the user's own
			}
			s.flatten(strings.TrimPrefix(key+"."+k, "."), element)
		}
	case []any:
		for _, element := range v {
			s.flatten(key+"[]", element)
		}
	case string:
		s[key] = "string"
		if _, err := time.Parse(time.RFC3339, v); err == nil {
			s[key] = "time"
		}
	case float64:
		s[key] = "integer"
		if v != float64(int64(v)) {
			s[key] = "number"
		}
	case bool:
		s[key] = "boolean"
	default:
		s[key] = fmt.Sprintf("%T", v)
	}
}

// oneObject reads what must be one JSON object and nothing else.
func oneObject(t *testing.T, what, printed string) shape {
	t.Helper()
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(printed))
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s printed %q: %v", what, printed, err)
	}
	if rest, _ := io.ReadAll(d.Buffered()); strings.TrimSpace(string(rest)) != "" {
		t.Errorf("%s printed more than one object: %q", what, printed)
	}
	s := shape{}
	s.flatten("", v)
	return s
}

// check compares what was printed with what is documented.
func (s shape) check(t *testing.T, what string, want shape) {
	t.Helper()
	for key, kind := range s {
		if documented := strings.TrimSuffix(want[key], "?"); documented != kind {
			t.Errorf("%s prints %q, %s; %s has it as %q", what, key, kind, manual, documented)
		}
	}
	for key, kind := range want {
		if _, printed := s[key]; !printed && !strings.HasSuffix(kind, "?") {
			t.Errorf("%s prints no %q, which %s promises", what, key, manual)
		}
	}
}

// unseen are keys that no run here prints.
var unseen = []string{
	"lethe version revision", "lethe version modified", // those of a build from a repository
	"lethe config check warnings[]",                                                   // of a misspelt variable
	"lethe recover vault tenants[].error",                                             // of what could not be recovered: see recover_test.go
	"lethe reindex moving_at", "lethe reindex moved_at", "lethe reindex forgotten_at", // see reindex_test.go
}

// jsonRun is a command with --json.
type jsonRun struct {
	command string // as in the manual
	args    []string
	status  int
}

// Every command's --json is as the manual says, and every command is there.
func TestShapes(t *testing.T) {
	t.Parallel()
	want, seen := documented(t), map[string]shape{}
	s := startServer(t, filepath.Join(t.TempDir(), "data"), selfSigned(t, t.TempDir(), 1)...)
	look := func(what string, got shape) {
		got.check(t, what, want[what])
		if seen[what] == nil {
			seen[what] = shape{}
		}
		maps.Copy(seen[what], got)
	}
	look("lethe serve", oneObject(t, "lethe serve", s.ready))
	for _, r := range runs(t, s) {
		look(r.command, oneObject(t, r.command, r.printed(t)))
	}
	_, _, errs := lethe(t, "tenant", "create", "first", "--data", s.dir, "--json")
	look("Failures", oneObject(t, "a failure", errs))
	_, _, errs = lethe(t, "erase", "--tenant", "first", "--day", "90d/2026-12-31", "--wait", "--wait-for", "1ms", "--data", s.dir, "--json")
	look("Failures", oneObject(t, "a wait that ends too early", errs))

	for _, name := range leaves((&program{}).command()) {
		if seen[name] == nil {
			t.Errorf("%s has no run here: add one to runs in shapes_test.go, and a table of what it prints with --json to %s", name, manual)
		}
	}
	for name, keys := range want {
		for key := range keys {
			if seen[name][key] == "" && !slices.Contains(unseen, name+" "+key) {
				t.Errorf("%s has %q of %s, which no run printed", manual, key, name)
			}
		}
	}
}

// printed gives what a run printed, which must end as it should.
func (r jsonRun) printed(t *testing.T) string {
	t.Helper()
	status, out, errs := lethe(t, append(r.args, "--json")...)
	if status != r.status {
		t.Fatalf("lethe %s: status %d: %s", strings.Join(r.args, " "), status, errs)
	}
	return out
}

// printed gives what a command that must succeed printed.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	status, out, errs := lethe(t, args...)
	if status != done {
		t.Fatalf("lethe %s: status %d: %s", strings.Join(args, " "), status, errs)
	}
	return out
}

// leaves are the commands that do something. What cobra adds speaks to shells.
func leaves(c *cobra.Command) (all []string) {
	if !c.HasSubCommands() {
		return []string{c.CommandPath()}
	}
	for _, below := range c.Commands() {
		all = append(all, leaves(below)...)
	}
	return all
}

// runs are every command on a running server, each once or oftener, in an order
// in which they succeed.
func runs(t *testing.T, s *running) []jsonRun {
	dir := t.TempDir()
	file := filepath.Join(dir, "call.wav")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	data := func(command, args string) jsonRun {
		return jsonRun{"lethe " + command, append(strings.Fields(command+" "+args), "--data", s.dir), done}
	}
	answers[any](t, data("tenant create", "first").args...)
	answers[any](t, data("bucket create", "--tenant first calls").args...)
	pair := answers[map[string]string](t, data("reader create", "--tenant first r --bucket * --write").args...)
	hold := answers[map[string]any](t, data("hold create", "--tenant first --subject 7 --reason why").args...)
	keyed := func(command, args string) jsonRun {
		r := data(command, args)
		r.args = append(r.args, "--access-key", pair["access_key"], "--secret-key", pair["secret_key"])
		return r
	}
	for _, name := range []string{"erased", "to-erase"} {
		answers[any](t, keyed("put", file+" --bucket calls --name "+name).args...)
	}
	erased := answers[map[string]any](t, data("erase", "--tenant first --recording calls/erased").args...)["erasure"].(string)
	wrong := filepath.Join(dir, "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("nonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	badConfig := data("config check", "--config "+wrong)
	badConfig.status = failed
	stopped := startServer(t, filepath.Join(dir, "stopped"))
	answers[any](t, "tenant", "create", "acme", "--data", stopped.dir)
	stopped.stop()
	return []jsonRun{
		{"lethe recover vault", []string{"recover", "vault", "--data", stopped.dir}, done},
		data("config docs", ""),
		data("config check", ""),
		badConfig,
		data("config show", ""),
		data("doctor", ""),
		data("vault policy", "data"),
		data("version", ""),
		data("verify certificate", golden("ed25519.json")+" --key "+golden("ed25519.pub")),
		data("man", filepath.Join(dir, "man")),
		data("tenant create", "acme"),
		data("tenant list", ""),
		data("bucket create", "--tenant acme calls"),
		data("recorder create", "--tenant acme pbx --bucket calls"),
		data("reader create", "--tenant acme qa --bucket *"),
		{"lethe rebuild", []string{"rebuild", "--data", stopped.dir}, done},
		data("sweep", ""),
		data("sweep", "--dry-run"),
		data("tenant revoke", "acme"),
		data("tenant restore", "acme"),
		data("tenant erase", "acme"),
		keyed("put", file+" --bucket calls --name 2026/a.wav --call 7"),
		keyed("put", os.DevNull+" --bucket calls --name 2026/b"),
		keyed("ls", ""),
		keyed("ls", "calls"),
		keyed("ls", "calls/2026/"),
		keyed("stat", "calls/2026/a.wav"),
		keyed("get", "calls/2026/a.wav "+filepath.Join(dir, "a.wav")),
		keyed("get", "calls/2026/a.wav "+filepath.Join(dir, "part")+" --range 0-9"),
		data("hold create", "--tenant first --recording calls/2026/a.wav --reason why"),
		data("hold create", "--tenant first --subject +49301234567 --reason why"),
		data("hold list", "--tenant first"),
		data("refile", "--tenant first --recording calls/2026/a.wav --subject +49301234567"),
		data("hold release", "--tenant first "+hold["hold"].(string)),
		data("erase", "--tenant first --recording calls/to-erase"),
		data("certificate", erased+" --wait"),
		data("certificate", erased+" "+filepath.Join(dir, "erasure.json")),
		data("erase", "--tenant first --recording calls/erased --wait"),
		data("erasure list", "--tenant first"),
		data("erasure list", "--tenant first --limit 1"),
		data("reindex", "first"),
		data("tenant erase", "acme --wait"),
	}
}

// What cobra cannot check: every command says what it is for, with an example.
func TestHelpIsWorthReading(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if len(c.Long) < len(c.Short) || !strings.Contains(c.Example, "lethe ") {
			t.Errorf("%s has no Long text or no Example", c.CommandPath())
		}
		for _, line := range strings.Split(c.Long, "\n") {
			if len([]rune(line)) > 90 && !strings.HasPrefix(line, "  ") { // a table
				t.Errorf("%s: a line of %d columns: %s", c.CommandPath(), len([]rune(line)), line)
			}
		}
		for _, below := range c.Commands() {
			walk(below)
		}
	}
	walk((&program{}).command())
}
