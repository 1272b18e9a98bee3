package system

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ownerToken is the file of a data directory that operates its server.
const ownerToken = "owner.token"

// OwnerToken is what operates the server of s.
func (s *System) OwnerToken() string {
	s.t.Helper()
	token, err := os.ReadFile(filepath.Join(s.Dir, ownerToken))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// Replica starts another server on the Vault, store and database of s, a
// scaled-out system, and with its owner. Its Reads count no requests.
func (s *System) Replica() *System {
	s.t.Helper()
	if s.Store == nil {
		s.t.Fatal("an embedded system has no replicas")
	}
	r := s.beside()
	r.begin()
	return r
}

// beside is a server that is not started yet, on what s stands on.
func (s *System) beside() *System {
	s.t.Helper()
	r := &System{
		Dir: s.t.TempDir(), Vault: s.Vault, Store: s.Store, Postgres: s.Postgres,
		t: s.t, binary: s.binary, env: slices.Clone(s.env),
	}
	if err := os.WriteFile(filepath.Join(r.Dir, ownerToken), []byte(s.OwnerToken()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// ReachStoreDirectly has the server, from its next start on, reach the store
// without the proxy that counts requests. The proxy answers for a store that
// is gone; without it the connection is refused, as in production.
func (s *System) ReachStoreDirectly() {
	s.env = append(s.env, "LETHE_STORE_ENDPOINT="+s.Store.Endpoint)
	s.store = nil
}
