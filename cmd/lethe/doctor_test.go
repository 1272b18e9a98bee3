package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/test/servers"
)

// scaled gives what a server on Vault, a store and PostgreSQL is set up with,
// and the secrets among it.
func scaled(t *testing.T, store *servers.S3Server) (set map[string]string, secrets []string) {
	t.Helper()
	vault, dir := servers.SharedVault(t), t.TempDir()
	file := func(name, secret string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret)
		return path
	}
	set = map[string]string{
		"LETHE_DATA":                  filepath.Join(dir, "data"),
		"LETHE_OWNER_TOKEN_FILE":      file("owner.token", "canary-owner-0123456789-0123456789-0123456789"),
		"LETHE_CATALOG":               servers.SharedPostgreSQL(t).Database(t),
		"LETHE_CATALOG_PASSWORD_FILE": file("password", "canary-password"),
		"LETHE_STORE_ENDPOINT":        store.Endpoint,
		"LETHE_STORE_INSECURE":        "true",
		"LETHE_STORE_BUCKET":          store.Bucket(t, servers.Versioned),
		"LETHE_STORE_ACCESS_KEY":      store.AccessKey,
		"LETHE_STORE_SECRET_KEY_FILE": file("secret-key", store.SecretKey),
		"LETHE_VAULT":                 vault.Addr,
		"LETHE_BACKUPS_CATALOG":       "1h/30d",
		"LETHE_BACKUPS_STORE":         "1d/30d",
		"LETHE_BACKUPS_VAULT":         "6h/30d",
	}
	for prefix, role := range map[string]hashivault.Role{
		"LETHE_VAULT_": hashivault.Data, "LETHE_VAULT_ERASER_": hashivault.Eraser, "LETHE_VAULT_PROVISIONER_": hashivault.Provisioner,
	} {
		name := "lethe-" + string(role)
		vault.Policy(t, name, hashivault.Policy(role, "transit"))
		id, secret := vault.AppRole(t, name, name)
		set[prefix+"ROLE_ID"], set[prefix+"SECRET_ID_FILE"] = id, file(name, secret)
	}
	return set, secrets
}

// doctors runs doctor with these variables, with and without --json.
func doctors(t *testing.T, set map[string]string, secrets []string) (d diagnosis, status int) {
	t.Helper()
	for name, value := range set {
		t.Setenv(name, value)
	}
	status, out, errs := lethe(t, "doctor", "--json")
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v: %s %s", err, out, errs)
	}
	for _, secret := range secrets {
		if strings.Contains(out+errs, secret) {
			t.Errorf("a secret is in what doctor says: %s", out)
		}
	}
	return d, status
}

func (d diagnosis) of(check string) finding.Level {
	for _, f := range d.Findings {
		if f.Check == check {
			return f.Level
		}
	}
	return ""
}

func TestDoctorOnRealServers(t *testing.T) {
	for name, store := range map[string]func(testing.TB) *servers.S3Server{"minio": servers.SharedMinIO, "versitygw": servers.SharedVersityGW} {
		t.Run(name, func(t *testing.T) {
			set, secrets := scaled(t, store(t))
			d, status := doctors(t, set, secrets)
			if !d.OK || status != done || d.Count.Failure != 0 {
				t.Errorf("status %d, %+v", status, d)
			}
			for _, check := range []string{
				"files.secrets", "clock.catalog", "clock.store", "clock.vault", "store.tls", "store.exclusive", "store.versioning", "store.public",
				"catalog.isolation", "catalog.durability", "vault.tls", "vault.data.policy", "vault.eraser.policy", "vault.provisioner.policy",
				"vault.key", "backups.catalog", "backups.store", "backups.vault", "backups.retention",
			} {
				if d.of(check) != finding.OK {
					t.Errorf("%s is %q", check, d.of(check))
				}
			}
			status, out, errs := lethe(t, "doctor")
			if status != done || !strings.Contains(out, "0 failures") || !strings.Contains(out, "→ ") || errs != "" {
				t.Errorf("doctor = %d %s %s", status, out, errs)
			}
		})
	}
}

// What is wrong in each part is found in one run, and fails it.
func TestDoctorFindsFaults(t *testing.T) {
	store, vault := servers.SharedMinIO(t), servers.SharedVault(t)
	set, secrets := scaled(t, store)
	everyone := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::%s/*"]}]}`, set["LETHE_STORE_BUCKET"])
	if err := store.Client(t).SetBucketPolicy(t.Context(), set["LETHE_STORE_BUCKET"], everyone); err != nil {
		t.Fatal(err)
	}
	wide := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(wide, []byte(vault.RootToken), 0o644); err != nil {
		t.Fatal(err)
	}
	set["LETHE_VAULT_TOKEN_FILE"] = wide
	set["LETHE_VAULT_ROLE_ID"], set["LETHE_VAULT_SECRET_ID_FILE"] = "", ""
	set["LETHE_BACKUPS_VAULT"] = ""
	d, status := doctors(t, set, append(secrets, vault.RootToken))
	if d.OK || status != failed {
		t.Errorf("status %d, %+v", status, d)
	}
	for check, want := range map[string]finding.Level{
		"store.public": finding.Failure, "files.secrets": finding.Failure, "vault.data.token": finding.Failure, "vault.data.policy": finding.Failure,
		"vault.eraser.policy": finding.OK, "backups.vault": finding.Warning, "backups.retention": finding.Warning,
	} {
		if d.of(check) != want {
			t.Errorf("%s is %q, want %q", check, d.of(check), want)
		}
	}
}

// Servers that are away fail the parts that need them, in bounded time.
func TestDoctorWithServersAway(t *testing.T) {
	set, secrets := scaled(t, servers.SharedMinIO(t))
	set["LETHE_CATALOG"] = "postgres://lethe@127.0.0.1:1/lethe"
	set["LETHE_STORE_ENDPOINT"], set["LETHE_VAULT"] = "127.0.0.1:1", "http://127.0.0.1:1"
	begun := time.Now()
	d, status := doctors(t, set, secrets)
	if took := time.Since(begun); took > 30*time.Second || status != failed {
		t.Errorf("status %d after %v", status, took)
	}
	for check, want := range map[string]finding.Level{
		"catalog.reach": finding.Failure, "store.reach": finding.Failure, "vault.reach": finding.Failure,
		"clock.store": finding.Skipped, "clock.vault": finding.Skipped, "files.secrets": finding.OK,
	} {
		if d.of(check) != want {
			t.Errorf("%s is %q, want %q", check, d.of(check), want)
		}
	}
}

// An embedded server is examined before it ran, while it runs, and after.
func TestDoctorEmbedded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	before := answers[diagnosis](t, "doctor", "--data", dir)
	if before.of("catalog.reach") != finding.Skipped || before.of("store.directory") != finding.Skipped {
		t.Errorf("before: %+v", before)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("doctor made the directory")
	}
	s := startServer(t, dir)
	running := answers[diagnosis](t, "doctor", "--data", dir)
	s.stop()
	for name, d := range map[string]diagnosis{"running": running, "after": answers[diagnosis](t, "doctor", "--data", dir)} {
		for _, check := range []string{"files.directory", "files.secrets", "store.create", "catalog.schema", "keys.files"} {
			if d.of(check) != finding.OK {
				t.Errorf("%s: %s is %q", name, check, d.of(check))
			}
		}
	}
	startServer(t, dir) // doctor left nothing in its way
	if err := os.Chmod(filepath.Join(dir, "keys"), 0o755); err != nil {
		t.Fatal(err)
	}
	status, out, errs := lethe(t, "doctor", "--data", dir)
	if status != failed || !strings.Contains(out, "chmod 0700") || !strings.Contains(errs, "1 failure;") {
		t.Errorf("doctor with open keys = %d %s %s", status, out, errs)
	}
}
