package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/hashivault"
)

func TestConfigCommands(t *testing.T) {
	dir := t.TempDir()
	good, bad, token := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "token")
	for path, text := range map[string]string{
		good: "listen: {s3: ':1'}\nowner-token-file: " + token + "\n", bad: "listne: {s3: ':1'}\nlog: {level: loud}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("LETHE_STORE_SECRET_KEY", "hunter2")
	t.Setenv("LETHE_VALUT", "hunter4")
	t.Setenv("LETHE_SERVICE_HOST", "10.0.0.1") // as Kubernetes sets it
	t.Setenv("LETHE_CATALOG", "postgres://u:hunter3@db/lethe")
	for _, tt := range []struct {
		args   string
		status int
		says   []string // on either output
	}{
		{"config check --config " + good, done, []string{"nothing is wrong"}},
		{"config check --files --config " + good, failed, []string{good + ":2: owner-token-file: " + token + ": no such file"}},
		{"config check --config " + bad, failed, []string{bad + ":1: listne", bad + ":2: log.level"}},
		{"config check --json --config " + bad, failed, []string{`"ok":false`, `"line":2`, `"key":"log.level"`}},
		{"config check --json --config " + good, done, []string{`"ok":true`, `"problems":[]`, `"warnings":["LETHE_VALUT: not a setting`}},
		{"config check", done, []string{"nothing is wrong", "LETHE_VALUT: not a setting, and without effect; did you mean LETHE_VAULT?"}},
		{"config check --config /nonexistent", failed, []string{"no such file"}},
		{"serve --config " + bad, misuse, []string{"listne", "log.level"}},
		{"config show --listen-api :2 --config " + good, done, []string{good + ":1", "--listen-api", "default", "LETHE_CATALOG", "postgres://u:xxxxx@db/lethe"}},
		{"config show --json --config " + good, done, []string{`"key":"listen.s3"`}},
		{"config docs", done, []string{"| `listen.s3` |"}},
	} {
		status, out, errs := lethe(t, strings.Fields(tt.args)...)
		for _, want := range tt.says {
			if status != tt.status || !strings.Contains(out+errs, want) {
				t.Errorf("lethe %s = %d, want %d with %q:\n%s%s", tt.args, status, tt.status, want, out, errs)
			}
		}
		if strings.Contains(out+errs, "hunter") {
			t.Errorf("lethe %s shows a secret:\n%s%s", tt.args, out, errs)
		}
	}
}

func TestVaultPolicy(t *testing.T) {
	status, out, errs := lethe(t, "vault", "policy", "data", "--mount", "lethe-transit")
	if want := hashivault.Policy(hashivault.Data, "lethe-transit"); status != done || out != want || !strings.Contains(out, "lethe-transit/decrypt/+") {
		t.Errorf("vault policy data = %d %s%s", status, out, errs)
	}
	if status, _, errs := lethe(t, "vault", "policy", "root"); status != misuse || !strings.Contains(errs, "provisioner") {
		t.Errorf("vault policy root = %d %s", status, errs)
	}
}
