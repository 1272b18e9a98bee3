package test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/system"
)

// The roles are processes of their own: fronts that can only decrypt, and an
// eraser that comes, is killed, and comes again.
func TestRolesApart(t *testing.T) {
	t.Parallel()
	front := system.Apart(t)
	if err := front.Lethe(nil, "tenant", "create", "acme"); err == nil || !strings.Contains(err.Error(), "role eraser") {
		t.Errorf("a tenant made without an eraser: %v", err)
	}
	eraser := front.Process("eraser")
	if eraser.S3 != "" || eraser.API != "" || !ready(t, eraser) {
		t.Errorf("an eraser serves S3 at %q, the API at %q; ready: %v", eraser.S3, eraser.API, ready(t, eraser))
	}
	recorder, reader := front.Pair("acme", "calls")
	file := filepath.Join(t.TempDir(), "call.wav")
	if err := os.WriteFile(file, []byte("ring ring"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := front.LetheAs(recorder, nil, "put", file, "--bucket", "calls", "--name", "a.wav"); err != nil {
		t.Fatalf("%v\n%s", err, front.Log())
	}
	eraser.Kill()

	if got := eraseTenant(t, front, "acme"); got != "erasing" {
		t.Fatalf("the tenant is %s", got)
	}
	if err := front.LetheAs(reader, nil, "get", "calls/a.wav", file); err == nil {
		t.Error("a tenant that is to be erased is still read")
	}
	time.Sleep(5 * time.Second)
	if got := eraseTenant(t, front, "acme"); got != "erasing" {
		t.Fatalf("without an eraser the tenant is %s", got)
	}
	second := front.Process("eraser,sweeper")
	time.Sleep(10 * time.Second) // within the half minute that leases may last
	second.Kill()
	if got := eraseTenant(t, front, "acme"); got != "erasing" {
		t.Fatalf("before leases can have ended the tenant is %s", got)
	}
	third := front.Process("eraser")
	if got := eraseTenant(t, front, "acme", "--wait"); got != "erased" {
		t.Errorf("the tenant is %s\n%s", got, third.Log())
	}
}

// What a front holds is of no use against Vault beyond decrypting.
func TestFrontsIdentity(t *testing.T) {
	t.Parallel()
	front := system.Apart(t)
	eraser := front.Process("eraser")
	front.Pair("acme", "calls")
	var list struct{ Tenants []struct{ ID string } }
	if err := front.Lethe(&list, "tenant", "list"); err != nil || len(list.Tenants) != 1 {
		t.Fatalf("tenant list = %+v, %v", list, err)
	}
	id, err := recording.ParseTenant(list.Tenants[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	root, login := keytree.RootOf(id), front.Identity(hashivault.Data)
	keys, err := hashivault.New(t.Context(), hashivault.Config{
		Address: front.Vault.Addr, Data: login, Eraser: login, Provisioner: login,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	for what, try := range map[string]func() error{
		"rotate":  func() error { _, err := keys.Rotate(t.Context(), root); return err },
		"trim":    func() error { return keys.Retire(t.Context(), root, 1) },
		"destroy": func() error { return keys.Destroy(t.Context(), root) },
		"create":  func() error { return keys.Create(t.Context(), root) },
		"encrypt": func() error { _, err := keys.Wrap(t.Context(), root, 1, keytree.NewKey(), nil); return err },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("%s with a front's identity: %v, want 403", what, err)
		}
	}
	if log := eraser.Log(); !strings.Contains(log, "root of a new tenant made") {
		t.Errorf("the eraser made no root:\n%s", log)
	}
}

// eraseTenant asks for a tenant's erasure and gives its state.
func eraseTenant(t *testing.T, s *system.System, name string, more ...string) string {
	t.Helper()
	var now struct{ State string }
	if err := s.Lethe(&now, append([]string{"tenant", "erase", name}, more...)...); err != nil {
		t.Fatal(err)
	}
	return now.State
}

func ready(t *testing.T, s *system.System) bool {
	t.Helper()
	res, err := http.Get(s.Ops + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}
