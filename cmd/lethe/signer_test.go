package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/crypto/claim"
)

// erasureOf is an erasure that can be certified.
func erasureOf(t *testing.T) claim.Erasure {
	t.Helper()
	pem, err := os.ReadFile(golden("ed25519.pub"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := claim.ParsePublicKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(golden("ed25519.json"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := key.Verify(b)
	if err != nil {
		t.Fatal(err)
	}
	return *e
}

// A server draws its key once, keeps it to itself, and publishes its other half,
// by which what it signs is verified.
func TestServerDrawsKeyForCertificates(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	private, public := filepath.Join(dir, "keys", "certificate.pem"), filepath.Join(dir, "certificate.pub")
	var drawn []byte
	for start := range 2 {
		s := startServer(t, dir)
		if status := s.stop(); status != done {
			t.Fatalf("status %d: %s", status, s.log)
		}
		pem, err := os.ReadFile(private)
		if err != nil {
			t.Fatal(err)
		}
		if start > 0 && !bytes.Equal(pem, drawn) {
			t.Error("the second start drew another key")
		}
		drawn = pem
	}
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	signer, err := openSigner(config.Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	b, err := signer.Sign(erasureOf(t))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "erasure.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	v := answers[verified](t, "verify", "certificate", file, "--key", public)
	if v.Certificate.Program.Name != "lethe" || v.Certificate.Provider.Kind != claim.Local || v.Certificate.Dates.CompleteUnknown != claim.CopiesNotTold {
		t.Errorf("%+v", v.Certificate)
	}
}

// Only who erases has the key.
func TestFrontHasNoKeyForCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := new(parts)
	if err := p.openSigner(t.Context(), config.Config{Data: dir, Roles: []string{"front", "sweeper"}}); err != nil || p.certificates != nil {
		t.Errorf("%v, %v", p.certificates, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// The date on which an erasure is complete follows from what is told of Vault's
// snapshots.
func TestSignerKnowsSnapshots(t *testing.T) {
	t.Parallel()
	s := config.Config{Data: t.TempDir()}
	s.Certificates.KeyFile = golden("p256.key")
	s.Vault.Address = "https://vault.example:8200"
	for _, tt := range []struct {
		told    config.Backup
		after   time.Duration
		unknown claim.Unknown
	}{
		{config.Backup{}, 0, claim.RetentionNotTold},
		{config.Backup{Told: true}, 0, ""},
		{config.Backup{Told: true, Every: time.Hour, Kept: 72 * time.Hour}, 72 * time.Hour, ""},
	} {
		s.Backups.Vault = tt.told
		signer, err := openSigner(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := signer.Sign(erasureOf(t))
		if err != nil {
			t.Fatal(err)
		}
		e, err := signer.PublicKey().Verify(b)
		if err != nil || e.Provider.Kind != claim.Vault || e.Dates.CompleteUnknown != tt.unknown {
			t.Fatalf("%+v: %+v, %v", tt.told, e, err)
		}
		if tt.unknown == "" && !e.Dates.Complete.Equal(e.Dates.Effective.Add(tt.after)) {
			t.Errorf("%+v: complete %v, effective %v", tt.told, e.Dates.Complete, e.Dates.Effective)
		}
	}
	if _, err := os.Stat(filepath.Join(s.Data, "keys")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key is named, and one was drawn: %v", err)
	}
}

// A server does not start with a key that cannot sign, and says which.
func TestServerRefusesKeyForCertificates(t *testing.T) {
	t.Parallel()
	for file, next := range map[string]string{
		golden("ed25519.pub"): "openssl genpkey", golden("absent.key"): "Check the path",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // one that starts would run for ever
		defer cancel()
		var out, errs bytes.Buffer
		status := run(ctx, []string{"serve", "--data", filepath.Join(t.TempDir(), "data"), "--certificates-key-file", file,
			"--listen-s3", "127.0.0.1:0", "--listen-api", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0"}, &out, &errs)
		if status != failed || !strings.Contains(errs.String(), file) || !strings.Contains(errs.String(), next) {
			t.Errorf("%s: status %d: %s", file, status, &errs)
		}
	}
}

// What is superseded is kept for whoever may put back a copy of Vault or of the catalog,
// and for ever if nobody tells how old that may be.
func TestSupersededIsKeptForCopies(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	told := func(kept time.Duration) config.Backup { return config.Backup{Told: true, Kept: kept} }
	for _, tt := range []struct {
		vault, catalog config.Backup
		want           time.Duration
	}{
		{told(30 * day), told(10 * day), 30 * day},
		{told(10 * day), told(30 * day), 30 * day},
		{told(0), told(0), 7 * day},
		{told(30 * day), config.Backup{}, 0},
		{config.Backup{}, told(30 * day), 0},
	} {
		s := config.Config{Backups: config.Backups{Vault: tt.vault, Catalog: tt.catalog}}
		if got := superseded(s); got != 0 {
			t.Errorf("with local keys: %v, want for ever", got)
		}
		s.Vault.Address = "https://vault.example:8200"
		if got := superseded(s); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt, got, tt.want)
		}
	}
}
