package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// given is what a test sets: a file, variables and flags.
type given struct {
	file  string
	env   []string
	flags []string
}

func (g given) load(t *testing.T) (*config.Settings, error) {
	t.Helper()
	from := config.Source{Environ: func() []string { return g.env }, Flags: pflag.NewFlagSet("serve", pflag.ContinueOnError)}
	config.AddFlags(from.Flags)
	if err := from.Flags.Parse(g.flags); err != nil {
		t.Fatal(err)
	}
	if g.file != "" {
		from.File = filepath.Join(t.TempDir(), "lethe.yaml")
		if err := os.WriteFile(from.File, []byte(g.file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.Load(from)
}

func (g given) settings(t *testing.T) *config.Settings {
	t.Helper()
	s, err := g.load(t)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaults(t *testing.T) {
	s := given{}.settings(t)
	if s.Data != "./lethe-data" || s.Listen.S3 != "127.0.0.1:9000" || s.S3.PresignMax != 15*time.Minute ||
		s.Limits.InFlight != 256 || !slices.Equal(s.Roles, []string{"front", "eraser", "sweeper"}) || !s.Store.Embedded() {
		t.Errorf("defaults are %+v", s.Config)
	}
}

func TestPrecedence(t *testing.T) {
	g := given{file: "listen: {s3: ':1', api: ':1', ops: ':1'}\n"}
	if s := g.settings(t); s.Listen != (config.Listen{S3: ":1", API: ":1", Ops: ":1"}) {
		t.Errorf("from the file: %+v", s.Listen)
	}
	g.env = []string{"LETHE_LISTEN_S3=:2", "LETHE_LISTEN_API=:2", "LETHE_LISTEN_OPS=", "OTHER=x", "LETHE_TOKEN=t"}
	if s := g.settings(t); s.Listen != (config.Listen{S3: ":2", API: ":2", Ops: ":1"}) {
		t.Errorf("from the environment: %+v", s.Listen)
	}
	g.flags = []string{"--listen-s3", ":3"}
	if s := g.settings(t); s.Listen != (config.Listen{S3: ":3", API: ":2", Ops: ":1"}) {
		t.Errorf("from flags: %+v", s.Listen)
	}
}

// A URL may hold a password, be it one or none.
func TestPasswordsAreHidden(t *testing.T) {
	const canary = "canary-password"
	for _, name := range []string{"LETHE_TRACE_ENDPOINT", "LETHE_VAULT", "LETHE_CATALOG"} {
		for _, url := range []string{"ftp://u:" + canary + "@h/", "u:" + canary + "@h:1", "https://u:" + canary + "@h:port", "h:1?password=" + canary} {
			_, err := given{env: []string{name + "=" + url}}.load(t)
			if err == nil || strings.Contains(err.Error(), canary) {
				t.Errorf("%s=%s: %v", name, url, err)
			}
		}
	}
	s := given{env: []string{"LETHE_TRACE_ENDPOINT=https://u:" + canary + "@h/", "LETHE_CATALOG=postgres://u:" + canary + "@h/d"}}.settings(t)
	for _, setting := range s.List() {
		if strings.Contains(setting.Value, canary) {
			t.Errorf("%s is shown as %s", setting.Key, setting.Value)
		}
	}
	if _, err := (given{env: []string{"LETHE_TRACE_ENDPOINT=h:4318"}}).load(t); err == nil || !strings.Contains(err.Error(), `"h:4318"`) {
		t.Errorf("what is wrong is not shown: %v", err)
	}
}

func TestKinds(t *testing.T) {
	s := given{
		file: `
roles: [eraser, sweeper]
s3:
  domains: [a.example, b.example]
  presign-max: 1h30m
uploads: {stale-after: 7d}
limits: {in-flight: 9}
store: {insecure: true, bucket: b, endpoint: "h:1"}
log: {level: WARN}
catalog: {url: "postgres://lethe@db/lethe"}
vault: {address: "https://v:8200", token-file: /t}
tls:
`,
		flags: []string{"--s3-domain", "c.example", "--s3-domain", "d.example"},
	}.settings(t)
	if !slices.Equal(s.Roles, []string{"eraser", "sweeper"}) || !slices.Equal(s.S3.Domains, []string{"c.example", "d.example"}) ||
		s.S3.PresignMax != 90*time.Minute || s.Uploads.StaleAfter != 7*24*time.Hour || s.Limits.InFlight != 9 ||
		!s.Store.Insecure || s.Log.Level.String() != "WARN" {
		t.Errorf("got %+v", s.Config)
	}
}

// What is wrong is said all at once, each with the place where it stands and
// what to write instead.
func TestProblems(t *testing.T) {
	_, err := given{
		file: `data: /srv
listne: {s3: ":1"}
vault:
  adress: https://v
  token: hvs.secret
  mount: {a: b}
limits:
  in_flight: 3
  connections: many
catalog: postgres://u:hunter2@h/d
s3: {domains: x.example, presign-max: [1h]}
data: /again
secret-key-file: /x
store: {colour: red}
`,
		env: []string{"LETHE_LOG_LEVEL=loud", "LETHE_STORE_INSECURE=perhaps"},
	}.load(t)
	found, ok := errors.AsType[config.Problems](err)
	if !ok {
		t.Fatalf("Load = %v", err)
	}
	for _, want := range []string{
		"lethe.yaml:2: listne: there is no such key; did you mean listen?",
		"lethe.yaml:4: vault.adress: there is no such key; did you mean vault.address?",
		"lethe.yaml:5: vault.token: a secret does not belong in this file",
		"vault.token-file",
		"lethe.yaml:6: vault.mount: takes a value",
		"lethe.yaml:8: limits.in_flight: there is no such key; did you mean limits.in-flight?",
		`lethe.yaml:9: limits.connections: "many": write a whole number, at least 1`,
		"lethe.yaml:10: catalog: a section; write below it: url, password-file",
		"lethe.yaml:11: s3.presign-max: takes one value",
		"lethe.yaml:12: data: given on line 1 already",
		"lethe.yaml:13: secret-key-file: there is no such key; did you mean store.secret-key-file?",
		"lethe.yaml:14: store.colour: there is no such key; there is bucket, endpoint",
		`LETHE_LOG_LEVEL: log.level: "loud": write debug or info`,
		`LETHE_STORE_INSECURE: store.insecure: "perhaps": write true or false`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if len(found) != 13 {
		t.Errorf("%d problems", len(found))
	}
	for _, secret := range []string{"hvs.secret", "hunter2"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a problem shows %s", secret)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestForm(t *testing.T) {
	for file, want := range map[string]string{
		"a: b: c\n":             "lethe.yaml: not YAML: mapping values",
		"data: /x\n---\nb: 2\n": "lethe.yaml:2: a second document",
		"- data\n":              "a section; write below it: data, roles",
		"data: ''\n":            `data: empty; leave it out for ./lethe-data`,
		"roles: []\n":           "roles: empty",
		"roles: [back]\n":       `there is no "back"; write some of front, eraser, sweeper`,
		"listen: {s3: '9000'}":  "lethe.yaml:1: listen.s3: \"9000\": not HOST:PORT",
	} {
		if _, err := (given{file: file}).load(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", file, err, want)
		}
	}
	if s := (given{file: "# nothing\n"}).settings(t); s.Data != "./lethe-data" {
		t.Errorf("an empty file gives %+v", s.Config)
	}
	if _, err := config.Load(config.Source{File: "/nonexistent", Environ: os.Environ}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// What only several keys together say.
func TestAgreement(t *testing.T) {
	const scaled = "catalog: {url: 'postgres://lethe@db/lethe'}\nstore: {bucket: b}\nvault: {address: 'https://v:8200', data: {role-id: r, secret-id-file: /s}}\n"
	for name, tt := range map[string]struct {
		given
		want string // "" for no problem
	}{
		"a certificate alone":         {given{flags: []string{"--tls-cert", "c"}}, "--tls-key"},
		"a key alone":                 {given{flags: []string{"--tls-key", "k"}}, "--tls-cert"},
		"an endpoint alone":           {given{flags: []string{"--store-endpoint", "h:1"}}, "--store-bucket"},
		"s3 without an endpoint":      {given{flags: []string{"--store-bucket", "b", "--store-kind", "s3"}}, "--store-endpoint"},
		"a password in the file":      {given{file: "catalog: {url: 'postgres://u:hunter2@h/d'}"}, "lethe.yaml:1: catalog.url: holds a password"},
		"one in a parameter":          {given{file: "catalog: {url: 'postgres://u@h/d?password=hunter2'}"}, "holds a password"},
		"one in the environment":      {given{env: []string{"LETHE_CATALOG=postgres://u:hunter2@h/d"}}, ""},
		"two passwords":               {given{env: []string{"LETHE_CATALOG=postgres://u:hunter2@h/d"}, flags: []string{"--catalog-password-file", "/p"}}, "leave it out here"},
		"a password for SQLite":       {given{flags: []string{"--catalog-password-file", "/p"}}, "SQLite has no password"},
		"an identity without a Vault": {given{env: []string{"LETHE_VAULT_ROLE_ID=r", "LETHE_VAULT_SECRET_ID_FILE=/s"}}, "vault.address"},
		"a role without a secret id":  {given{flags: []string{"--vault", "https://v"}, env: []string{"LETHE_VAULT_ROLE_ID=r"}}, "LETHE_VAULT_SECRET_ID_FILE"},
		"a lone embedded front":       {given{flags: []string{"--roles", "front"}}, "vault.address"},
		"a front":                     {given{file: scaled, flags: []string{"--roles", "front"}}, ""},
		"an eraser without identity":  {given{file: scaled, flags: []string{"--roles", "eraser"}}, "LETHE_VAULT_PROVISIONER_ROLE_ID"},
		"all of it":                   {given{file: scaled, env: []string{"LETHE_VAULT_PROVISIONER_ROLE_ID=r", "LETHE_VAULT_PROVISIONER_SECRET_ID_FILE=/s", "LETHE_VAULT_ERASER_ROLE_ID=r", "LETHE_VAULT_ERASER_SECRET_ID_FILE=/s"}}, ""},
	} {
		_, err := tt.load(t)
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the problem shows the password: %v", name, err)
		}
	}
}

// The reference is what lethe config docs prints.
func TestReference(t *testing.T) {
	const path = "../../../docs/configuration.md"
	var want bytes.Buffer
	if err := config.WriteReference(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what lethe config docs prints (%v); go test ./cmd/lethe/config -update writes it", path, err)
	}
}

// No form of an address shows a password, whether it can be used or not.
func TestPasswordsInAddresses(t *testing.T) {
	for _, env := range []string{
		"LETHE_CATALOG=postgres://u:s3cret@db/lethe",
		"LETHE_CATALOG=postgres://u@db/lethe?password=s3cret",
		"LETHE_CATALOG=postgres://u@db/lethe?sslkey=/k&sslpassword=s3cret",
		"LETHE_CATALOG=postgres://u:/s3cret@db/lethe",
		"LETHE_CATALOG=postgres://u:1?s3cret@db/lethe",
		"LETHE_CATALOG=postgres://u:1#s3cret@db/lethe",
		"LETHE_CATALOG=postgres://u:%s3cret@db/lethe",
		"LETHE_CATALOG=host=db user=u password=s3cret",
		"LETHE_CATALOG=u:s3cret@db/lethe",
		"LETHE_VAULT=https://u:s3cret@vault:8200",
		"LETHE_TRACE_ENDPOINT=https://s3cret@receiver/v1/traces",
		"LETHE_TRACE_ENDPOINT=https://receiver/v1/traces?key=s3cret",
		"LETHE_TRACE_ENDPOINT=receiver?key=s3cret",
	} {
		all := given{env: []string{env, "LETHE_VAULT_TOKEN=t"}}
		s, err := all.load(t)
		var told strings.Builder
		if err != nil {
			told.WriteString(err.Error())
		} else {
			for _, set := range s.List() {
				told.WriteString(set.Value + "\n")
			}
		}
		if strings.Contains(told.String(), "s3cret") {
			t.Errorf("%s is shown in\n%s", env, told.String())
		}
	}
	shown := given{env: []string{"LETHE_CATALOG=sqlite:/a@b/c?d", "LETHE_TRACE_ENDPOINT=https://receiver/v1/traces"}}.settings(t).List()
	for _, want := range []string{"sqlite:/a@b/c?d", "https://receiver/v1/traces"} {
		if !slices.ContainsFunc(shown, func(s config.Setting) bool { return s.Value == want }) {
			t.Errorf("%s is not shown", want)
		}
	}
	if _, err := (given{file: "catalog:\n  url: postgres://u@db/lethe?sslpassword=s3cret\n"}).load(t); err == nil {
		t.Error("a password in the file was accepted")
	}
}
