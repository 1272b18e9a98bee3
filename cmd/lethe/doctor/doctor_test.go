package doctor_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/cmd/lethe/doctor"
	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
)

// settings are those of serve with these flags, in an empty data directory.
func settings(t *testing.T, flags ...string) config.Config {
	t.Helper()
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.AddFlags(f)
	if err := f.Parse(append([]string{"--data", filepath.Join(t.TempDir(), "data")}, flags...)); err != nil {
		t.Fatal(err)
	}
	s, err := config.Load(config.Source{Environ: func() []string { return nil }, Flags: f})
	if err != nil {
		t.Fatal(err)
	}
	return s.Config
}

// examine runs doctor on what reaches no other server but by HTTP.
func examine(t *testing.T, c config.Config) finding.List {
	t.Helper()
	return doctor.Run(t.Context(), doctor.Subject{
		Config:  c,
		Catalog: func() (string, error) { return "sqlite:" + filepath.Join(c.Data, "catalog.db"), nil },
		Store:   func(context.Context) (blob.Store, error) { return nil, errors.New("not in this test") },
	})
}

func wants(t *testing.T, l finding.List, want map[string]finding.Level) {
	t.Helper()
	rank := map[finding.Level]int{finding.OK: 1, finding.Skipped: 2, finding.Advice: 3, finding.Warning: 4, finding.Failure: 5}
	worst := map[string]finding.Level{}
	for _, f := range l {
		if rank[f.Level] > rank[worst[f.Check]] {
			worst[f.Check] = f.Level
		}
		if f.Level != finding.OK && f.Do == "" || f.What == "" {
			t.Errorf("%+v does not say what to do", f)
		}
	}
	for check, is := range want {
		if worst[check] != is {
			t.Errorf("%s is %q, want %q", check, worst[check], is)
		}
	}
	if t.Failed() {
		t.Logf("%+v", l)
	}
}

func TestClocks(t *testing.T) {
	for ahead, want := range map[time.Duration]finding.Level{
		0:                 finding.OK,
		-20 * time.Second: finding.Advice,
		2 * time.Minute:   finding.Warning,
		-10 * time.Minute: finding.Failure,
		10 * time.Minute:  finding.Failure,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusForbidden)
		}))
		defer server.Close()
		at := strings.TrimPrefix(server.URL, "http://")
		c := settings(t, "--store-bucket", "b", "--store-endpoint", at, "--store-insecure", "--vault", server.URL, "--vault-token-file", "/nonexistent")
		wants(t, examine(t, c), map[string]finding.Level{"clock.store": want, "clock.vault": want, "store.reach": finding.Failure, "vault.reach": ""})
	}
}

// A server that takes connections and says nothing costs a bounded time.
func TestSilentServers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := settings(t, "--store-bucket", "b", "--store-endpoint", l.Addr().String(), "--store-insecure")
	begun := time.Now()
	wants(t, examine(t, c), map[string]finding.Level{"clock.store": finding.Skipped})
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("found after %v", took)
	}
}

// Only a refusal says that the bucket is closed to strangers.
func TestPublicBucket(t *testing.T) {
	for status, want := range map[int]finding.Level{
		http.StatusOK: finding.Failure, http.StatusForbidden: finding.OK, http.StatusUnauthorized: finding.OK,
		http.StatusServiceUnavailable: finding.Skipped, http.StatusTooManyRequests: finding.Skipped,
		http.StatusTemporaryRedirect: finding.Skipped, http.StatusBadRequest: finding.Skipped,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer server.Close()
		c := settings(t, "--store-bucket", "b", "--store-endpoint", strings.TrimPrefix(server.URL, "http://"), "--store-insecure")
		store, err := filestore.New(filepath.Join(t.TempDir(), "blobs"))
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		wants(t, doctor.Run(t.Context(), doctor.Subject{
			Config:  c,
			Catalog: func() (string, error) { return "sqlite:" + filepath.Join(c.Data, "catalog.db"), nil },
			Store:   func(context.Context) (blob.Store, error) { return store, nil },
		}), map[string]finding.Level{"store.public": want})
	}
}

func TestPlainHTTP(t *testing.T) {
	for host, want := range map[string]finding.Level{"127.0.0.1:1": finding.OK, "192.0.2.1:1": finding.Failure} {
		c := settings(t, "--store-bucket", "b", "--store-endpoint", host, "--store-insecure", "--vault", "http://"+host, "--vault-token-file", "/nonexistent")
		wants(t, examine(t, c), map[string]finding.Level{"store.tls": want, "vault.tls": want})
	}
	for at, want := range map[string]finding.Level{"127.0.0.1:1": finding.OK, ":9000": finding.Warning, "0.0.0.0:9000": finding.Warning} {
		wants(t, examine(t, settings(t, "--listen-s3", at)), map[string]finding.Level{"tls.listen": want})
	}
	wants(t, examine(t, settings(t, "--listen-ops", ":9002")), map[string]finding.Level{"tls.ops": finding.Advice})
}

// write makes a file of this mode, whatever the umask is.
func write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecrets(t *testing.T) {
	const token = "canary-0123456789-0123456789-0123456789"
	for mode, want := range map[os.FileMode]finding.Level{0o600: finding.OK, 0o400: finding.OK, 0o640: finding.Advice, 0o660: finding.Warning, 0o644: finding.Failure} {
		l := examine(t, settings(t, "--owner-token-file", write(t, "token", token, mode)))
		wants(t, l, map[string]finding.Level{"files.secrets": want})
		for _, f := range l {
			if strings.Contains(f.What+f.Do, "canary") {
				t.Errorf("%+v holds the secret", f)
			}
		}
	}
	absent := examine(t, settings(t, "--owner-token-file", "/nonexistent/token"))
	wants(t, absent, map[string]finding.Level{"files.secrets": finding.Failure})
	for _, f := range absent {
		if f.Check == "files.secrets" && !strings.Contains(f.Do, "put the secret there") {
			t.Errorf("of a file that is not there: do %q", f.Do)
		}
	}
	wants(t, examine(t, settings(t, "--owner-token-file", write(t, "token", "", 0o600))), map[string]finding.Level{"files.secrets": finding.Failure})
	c := settings(t)
	c.Store.SecretKey, c.Vault.Token, c.Catalog.URL = "canary", "canary", "postgres://u:canary@127.0.0.1/d"
	wants(t, examine(t, c), map[string]finding.Level{"files.environment": finding.Advice})
}

func TestDirectory(t *testing.T) {
	for mode, want := range map[os.FileMode]finding.Level{0o700: finding.OK, 0o755: finding.Warning} {
		c := settings(t)
		keys, blobs := filepath.Join(c.Data, "keys"), filepath.Join(c.Data, "blobs")
		for _, dir := range []string{c.Data, keys, blobs} {
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
				t.Fatal(err)
			}
		}
		open := finding.OK
		if mode != 0o700 {
			open = finding.Failure
		}
		wants(t, examine(t, c), map[string]finding.Level{"files.directory": want, "store.directory": want, "keys.files": open, "store.create": finding.OK})
		if left, err := os.ReadDir(blobs); err != nil || len(left) != 0 {
			t.Errorf("left are %v, %v", left, err)
		}
	}
	c := settings(t)
	dir, err := os.MkdirTemp("/dev/shm", "lethe-doctor-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c.Data = dir
	wants(t, examine(t, c), map[string]finding.Level{"files.system": finding.Warning})
}

func TestOpenFiles(t *testing.T) {
	wants(t, examine(t, settings(t, "--max-connections", "1")), map[string]finding.Level{"machine.files": finding.OK})
	wants(t, examine(t, settings(t, "--max-connections", "1000000000")), map[string]finding.Level{"machine.files": finding.Warning})
}

func TestBackups(t *testing.T) {
	c := settings(t)
	wants(t, examine(t, c), map[string]finding.Level{"backups.catalog": finding.Warning, "backups.keys": finding.Advice, "backups.vault": ""})
	for told, want := range map[string]finding.Level{"1d/30d": finding.OK, "none": finding.Warning, "7d/30d": finding.Advice, "1d/1h": finding.Warning} {
		c := settings(t, "--backups-catalog", told, "--backups-store", told, "--backups-vault", told, "--vault", "http://127.0.0.1:1", "--vault-token-file", "/nonexistent")
		wants(t, examine(t, c), map[string]finding.Level{"backups.catalog": want, "backups.store": want, "backups.vault": want, "backups.retention": finding.OK})
	}
	c = settings(t, "--backups-vault", "1d/365d", "--vault", "http://127.0.0.1:1", "--vault-token-file", "/nonexistent")
	wants(t, examine(t, c), map[string]finding.Level{"backups.retention": finding.Advice})
	c = settings(t, "--vault", "http://127.0.0.1:1", "--vault-token-file", "/nonexistent")
	wants(t, examine(t, c), map[string]finding.Level{"backups.retention": finding.Warning})
}
