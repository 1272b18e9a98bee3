package hashivault_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/keytree/providertest"
	"github.com/lethe-vault/lethe/test/servers"
)

// A site is a Vault with the project's policies and an AppRole for each role.
type site struct {
	*servers.VaultServer
	config hashivault.Config
}

// build writes the policies to v and makes the roles' credentials.
func build(t *testing.T, v *servers.VaultServer) site {
	t.Helper()
	s := site{v, hashivault.Config{Address: v.Addr}}
	s.config.Data = s.appRole(t, hashivault.Data)
	s.config.Eraser = s.appRole(t, hashivault.Eraser)
	s.config.Provisioner = s.appRole(t, hashivault.Provisioner)
	return s
}

func (s site) appRole(t *testing.T, role hashivault.Role) hashivault.AppRole {
	t.Helper()
	name := "lethe-" + string(role)
	s.Policy(t, name, hashivault.Policy(role, "transit"))
	id, secret := s.AppRole(t, name, name)
	return hashivault.AppRole{RoleID: id, SecretIDFile: keep(t, secret)}
}

// keep writes a credential to a file and gives its path.
func keep(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credential")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, c hashivault.Config) *hashivault.Provider {
	t.Helper()
	p, err := hashivault.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// relabel replaces the version in "vault:v1:…".
func relabel(wrapped []byte, version int) []byte {
	_, blob, _ := strings.Cut(strings.TrimPrefix(string(wrapped), "vault:v"), ":")
	return fmt.Appendf(nil, "vault:v%d:%s", version, blob)
}

func TestProvider(t *testing.T) {
	t.Parallel()
	s := build(t, servers.Vault(t))
	providertest.Run(t, func(t *testing.T) providertest.Instance {
		return providertest.Instance{
			Provider: open(t, s.config),
			Relabel:  relabel,
			Outages: []providertest.Outage{
				{Name: "the policies are gone", Begin: s.losePolicies},
				{Name: "the engine is moved", Begin: s.moveEngine},
				{Name: "sealed", Begin: func(t *testing.T) func() { s.Seal(t); return func() { s.Unseal(t) } }},
				{Name: "stopped", Begin: func(t *testing.T) func() { s.Stop(); return func() { s.Start(t) } }},
			},
		}
	})
}

func (s site) losePolicies(t *testing.T) func() {
	roles := []hashivault.Role{hashivault.Data, hashivault.Eraser, hashivault.Provisioner}
	for _, role := range roles {
		s.Policy(t, "lethe-"+string(role), `path "auth/token/lookup-self" { capabilities = ["read"] }`)
	}
	return func() {
		for _, role := range roles {
			s.Policy(t, "lethe-"+string(role), hashivault.Policy(role, "transit"))
		}
	}
}

func (s site) moveEngine(t *testing.T) func() {
	move := func(from, to string) {
		if err := s.Client(t).Sys().Remount(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move("transit", "elsewhere")
	return func() { move("elsewhere", "transit") }
}

// A counter counts requests: to transit/, to auth/, and to anything else.
type counter struct{ transit, auth, strayed atomic.Int64 }

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	switch path := r.URL.EscapedPath(); {
	case strings.HasPrefix(path, "/v1/transit/"):
		c.transit.Add(1)
	case strings.HasPrefix(path, "/v1/auth/"):
		c.auth.Add(1)
	default:
		c.strayed.Add(1)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestUnwrapIsOneRequest(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	count := new(counter)
	s.config.Transport = count
	p := open(t, s.config)
	root, wrapped := wrap(t, p)
	before := count.transit.Load()
	for i := range 10 {
		if _, err := p.Unwrap(t.Context(), root, wrapped, []byte("bind")); err != nil {
			t.Fatal(err)
		}
		if n := count.transit.Load() - before; n != int64(i+1) {
			t.Fatalf("%d requests after %d unwraps", n, i+1)
		}
	}
	if n := count.strayed.Load(); n != 0 {
		t.Fatalf("%d requests outside of transit/ and auth/", n)
	}
}

// wrap makes a root with one key wrapped under version 1, bound to "bind".
func wrap(t *testing.T, p keytree.Provider) (keytree.Root, []byte) {
	t.Helper()
	root := providertest.NewRoot()
	if err := p.Create(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	wrapped, err := p.Wrap(t.Context(), root, 1, keytree.NewKey(), []byte("bind"))
	if err != nil {
		t.Fatal(err)
	}
	return root, wrapped
}

// No name but a root's reaches the network. Source: HCSEC-2026-05, path
// traversal through key names.
func TestHostileNamesMakeNoRequest(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	count := new(counter)
	s.config.Transport = count
	p := open(t, s.config)
	_, wrapped := wrap(t, p)
	before := count.transit.Load()
	for _, name := range providertest.HostileNames(10_000) {
		_, unwrap := p.Unwrap(t.Context(), name, wrapped, nil)
		_, wrap := p.Wrap(t.Context(), name, 1, keytree.NewKey(), nil)
		_, rotate := p.Rotate(t.Context(), name)
		for _, err := range []error{unwrap, wrap, rotate, p.Create(t.Context(), name), p.Retire(t.Context(), name, 1), p.Destroy(t.Context(), name)} {
			if !errors.Is(err, hashivault.ErrRoot) {
				t.Fatalf("root %q: %v, want ErrRoot", name, err)
			}
		}
	}
	if n := count.transit.Load() - before + count.strayed.Load(); n != 0 {
		t.Fatalf("%d requests were made", n)
	}
}

func TestMissingRole(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	root, wrapped := wrap(t, open(t, s.config))
	p := open(t, hashivault.Config{Address: s.Addr, Data: s.config.Data})
	if _, err := p.Unwrap(t.Context(), root, wrapped, []byte("bind")); err != nil {
		t.Fatal(err)
	}
	_, rotate := p.Rotate(t.Context(), root)
	_, wrap := p.Wrap(t.Context(), root, 2, keytree.NewKey(), nil)
	for role, err := range map[string]error{
		"eraser":      errors.Join(rotate, wrap, p.Retire(t.Context(), root, 1)),
		"provisioner": errors.Join(p.Create(t.Context(), root), p.Destroy(t.Context(), root)),
	} {
		if !errors.Is(err, keytree.ErrUnavailable) || !strings.Contains(err.Error(), "no login as "+role) {
			t.Errorf("error %v, want ErrUnavailable naming %s", err, role)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]hashivault.Config{
		"nothing":         {},
		"no login":        {Address: "http://127.0.0.1:1"},
		"no address":      {Data: hashivault.Token("x")},
		"mount traversal": {Address: "http://127.0.0.1:1", Data: hashivault.Token("x"), Mount: "transit/../sys"},
	} {
		if p, err := hashivault.New(t.Context(), c); err == nil {
			p.Close()
			t.Errorf("%s: New accepted it", name)
		}
	}
}

// A closed port costs neither the request timeout nor a hang at Close.
func TestNoServer(t *testing.T) {
	p := open(t, hashivault.Config{Address: "http://127.0.0.1:1", Data: hashivault.Token("t")})
	wrapped := relabel([]byte("vault:v1:"+strings.Repeat("A", 80)), 1)
	began := time.Now()
	_, err := p.Unwrap(t.Context(), providertest.NewRoot(), wrapped, nil)
	if !errors.Is(err, keytree.ErrUnavailable) || errors.Is(err, keytree.ErrForgotten) {
		t.Fatalf("Unwrap: %v, want ErrUnavailable", err)
	}
	if d := time.Since(began); d > time.Second {
		t.Fatalf("refused after %v", d)
	}
}

// The variables that Vault's own tools heed change nothing here.
func TestEnvironmentIsIgnored(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	for name, value := range map[string]string{
		"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_AGENT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "hvs.wrong",
		"VAULT_NAMESPACE": "elsewhere", "VAULT_WRAP_TTL": "60s", "VAULT_HEADERS": `{"X-Stray":"1"}`,
	} {
		t.Setenv(name, value)
	}
	p := open(t, s.config)
	root, wrapped := wrap(t, p)
	if _, err := p.Unwrap(t.Context(), root, wrapped, []byte("bind")); err != nil {
		t.Fatal(err)
	}
}

// A Vault that is sealed when the process starts is waited for.
func TestSealedAtStart(t *testing.T) {
	t.Parallel()
	s := build(t, servers.Vault(t))
	root, wrapped := wrap(t, open(t, s.config))
	s.Seal(t)
	r := reader{open(t, s.config), root, wrapped}
	if err := r.read(t); !errors.Is(err, keytree.ErrUnavailable) || !strings.Contains(err.Error(), "login status 503") {
		t.Fatalf("Unwrap while sealed: %v, want ErrUnavailable and why", err)
	}
	s.Unseal(t)
	r.recovers(t, 10*time.Second)
}

// A server that takes the request and never answers costs the timeout.
func TestTimeout(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	s.config.Timeout = 3 * time.Second // the login has it too, on whatever else the machine does
	silent := &silence{}
	s.config.Transport = silent
	p := open(t, s.config)
	root, wrapped := wrap(t, p)
	silent.on.Store(true)
	_, err := p.Unwrap(t.Context(), root, wrapped, []byte("bind"))
	if !errors.Is(err, keytree.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Unwrap: %v, want ErrUnavailable after the deadline", err)
	}
}

// silence swallows requests while it is on.
type silence struct{ on atomic.Bool }

func (s *silence) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.on.Load() {
		return http.DefaultTransport.RoundTrip(r)
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}
