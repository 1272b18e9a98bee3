package hashivault_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/test/servers"
)

// A process can use its identities while Vault knows their tokens: not once one
// is revoked, and again when it is replaced. Its own policies suffice for that.
func TestUsable(t *testing.T) {
	t.Parallel()
	s := build(t, servers.SharedVault(t))
	p := open(t, s.config)
	if err := p.Usable(t.Context()); err != nil {
		t.Fatal(err)
	}
	token := s.token(t, "1h", true)
	given := open(t, hashivault.Config{Address: s.Addr, Data: hashivault.Token(token)})
	if err := given.Usable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Client(t).Auth().Token().RevokeTree(token); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := given.Usable(t.Context())
		if !errors.Is(err, keytree.ErrUnavailable) || !strings.Contains(err.Error(), "role data") || strings.Contains(err.Error(), token) {
			t.Errorf("Usable with a revoked token = %v", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err := p.Usable(t.Context()); err != nil {
		t.Errorf("Usable after another's token was revoked = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Usable(ctx); !errors.Is(err, keytree.ErrUnavailable) {
		t.Errorf("Usable without time = %v", err)
	}
}

// tally counts calls by what they are and how they end.
type tally struct {
	mu  sync.Mutex // guards got
	got map[observe.Call]map[observe.Outcome]int
}

func (y *tally) Begin(ctx context.Context, c observe.Call) (context.Context, func(observe.Outcome)) {
	return ctx, func(o observe.Outcome) {
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.got[c] == nil {
			y.got[c] = map[observe.Outcome]int{}
		}
		y.got[c][o]++
	}
}

func (y *tally) count(role hashivault.Role, operation string, o observe.Outcome) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.got[observe.Call{Part: observe.Vault, Operation: operation, Role: string(role)}][o]
}

// Every request to Vault is told of, under the role that makes it, in words
// that name no key.
func TestObserved(t *testing.T) {
	t.Parallel()
	s := build(t, servers.SharedVault(t))
	seen := &tally{got: map[observe.Call]map[observe.Outcome]int{}}
	s.config.Observer = seen
	p := open(t, s.config)
	root, wrapped := wrap(t, p)
	for range 3 {
		if _, err := p.Unwrap(t.Context(), root, wrapped, []byte("bind")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Unwrap(t.Context(), root, wrapped, []byte("other")); err == nil {
		t.Fatal("unwrapped under another bind")
	}
	if err := p.Destroy(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		role      hashivault.Role
		operation string
		outcome   observe.Outcome
		least     int
	}{
		{hashivault.Data, "login", observe.OK, 1},
		{hashivault.Data, "decrypt", observe.OK, 3},
		{hashivault.Data, "decrypt", observe.Refused, 1},
		{hashivault.Provisioner, "create", observe.OK, 1},
		{hashivault.Provisioner, "encrypt", observe.OK, 1},
		{hashivault.Provisioner, "rotate", observe.OK, 1},
		{hashivault.Provisioner, "trim", observe.OK, 1},
		{hashivault.Provisioner, "delete", observe.OK, 1},
		{hashivault.Provisioner, "read", observe.Refused, 1}, // it is gone
	} {
		if got := seen.count(c.role, c.operation, c.outcome); got < c.least {
			t.Errorf("%s %s %s: %d times, want at least %d", c.role, c.operation, c.outcome, got, c.least)
		}
	}
	for call := range seen.got {
		if call.Operation == "other" || strings.Contains(call.Operation, "t-") {
			t.Errorf("a request is called %q", call.Operation)
		}
	}
}
