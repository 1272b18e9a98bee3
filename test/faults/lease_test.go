package faults_test

import (
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

// TestVaultIsAskedOncePerLease reads Vault's own audit log: a read whose tenant
// is leased asks nothing of Vault, and a lease costs one decryption.
func TestVaultIsAskedOncePerLease(t *testing.T) {
	t.Parallel()
	s := system.Scaled(t)
	keys := map[string]system.Keys{}
	what := newContent(3_000_000)
	for _, tenant := range []string{"acme", "globex"} {
		recorder, reader := s.Pair(tenant, "calls")
		if err := newClient(t, s.S3, recorder, "calls").put(t.Context(), "a.wav", what); err != nil {
			t.Fatal(err)
		}
		keys[tenant] = reader
	}
	s.Stop()
	started := s.VaultRequests()
	s.Start() // with no lease
	inspected(t, s, started, len(keys))
	var readers []client
	began := time.Now()
	for _, k := range keys {
		readers = append(readers, newClient(t, s.S3, k, "calls"))
		seek(t, readers[len(readers)-1], what)
	}

	leased := s.VaultRequests()
	for n := 0; n < 100 && time.Since(began) < leaseTime/2; n++ {
		for _, r := range readers {
			seek(t, r, what)
		}
	}
	if took := time.Since(began); took > leaseTime-5*time.Second {
		t.Fatalf("the reads took %v, too long to say anything", took)
	}
	if asked := minus(s.VaultRequests(), leased); len(asked) != 0 {
		t.Errorf("reads of leased tenants asked of Vault: %v", asked)
	}

	for time.Since(began) < 2*leaseTime+10*time.Second {
		for _, r := range readers {
			seek(t, r, what)
		}
		time.Sleep(200 * time.Millisecond)
	}
	asked := minus(s.VaultRequests(), leased)
	t.Logf("in %v after the first lease: %v", time.Since(began).Round(time.Second), asked)
	if len(asked) != len(keys) {
		t.Errorf("%d paths of Vault were asked, want one for each tenant", len(asked))
	}
	for path, n := range asked {
		if !strings.HasPrefix(path, "transit/decrypt/") || n != 2 {
			t.Errorf("%s was asked %d times, want one decryption for each of 2 leases", path, n)
		}
	}
}

// inspected waits until an eraser that has started has looked at the versions of each
// tenant's root, which it does once, and no read waits for.
func inspected(t *testing.T, s *system.System, before map[string]int, tenants int) {
	t.Helper()
	for range 300 {
		seen := 0
		for path := range minus(s.VaultRequests(), before) {
			if strings.HasPrefix(path, "transit/keys/") {
				seen++
			}
		}
		if seen == tenants {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the eraser has not looked at the roots of its tenants")
}

// seek reads a range anywhere.
func seek(t *testing.T, reader client, what content) {
	t.Helper()
	off := rand.N(what.size)
	if err := reader.checkSpan(t.Context(), "a.wav", what, off, min(100_000, what.size-off)); err != nil {
		t.Fatal(err)
	}
}

func minus(now, before map[string]int) map[string]int {
	now = maps.Clone(now)
	for path, n := range before {
		if now[path] -= n; now[path] == 0 {
			delete(now, path)
		}
	}
	return now
}
