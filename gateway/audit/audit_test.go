package audit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

func store(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), "sqlite:"+t.TempDir()+"/catalog.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func event(t recording.Tenant) audit.Event {
	return audit.Event{
		Tenant: t, At: time.Now().UTC().Truncate(time.Microsecond),
		Who: "LETHEAAAA", Action: "open", Outcome: audit.Allowed,
		Detail: audit.Detail{Purpose: "quality", From: "192.0.2.7", Ranges: []audit.Range{{Off: 1, Len: 2}}},
	}
}

func TestWrittenIsDurable(t *testing.T) {
	c, tenant, key := store(t), recording.NewTenant(), keytree.NewKey()
	log := audit.NewLog(c)
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			r, err := audit.Seal(key, event(tenant))
			if err == nil {
				err = log.Write(t.Context(), r)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	log.Close()
	records, err := c.Events(t.Context(), tenant, time.Time{}, time.Now().Add(time.Hour), 1000)
	if err != nil || len(records) != 500 {
		t.Fatalf("%d events are in the store, %v; want 500", len(records), err)
	}
	for _, r := range records[:10] {
		e, err := audit.Unseal(key, r)
		if err != nil || e.Detail.From != "192.0.2.7" || !slices.Equal(e.Detail.Ranges, []audit.Range{{Off: 1, Len: 2}}) {
			t.Errorf("Unseal = %+v, %v", e, err)
		}
		if strings.Contains(string(r.Sealed), "192.0.2.7") || r.Detail.From != "" {
			t.Error("the workstation stands in clear")
		}
		if _, err := audit.Unseal(keytree.NewKey(), r); err == nil {
			t.Error("another key unseals an event")
		}
		r.ID[0] ^= 1
		if _, err := audit.Unseal(key, r); err == nil {
			t.Error("a detail unseals under another event")
		}
	}
}

func TestAwayKeyKeepsTheClearPart(t *testing.T) {
	r, err := audit.Seal(keytree.Key{}, event(recording.NewTenant()))
	if err != nil || r.Sealed != nil || r.Action != "open" || r.Detail.From != "" {
		t.Errorf("Seal without a key = %+v, %v", r, err)
	}
}

// slow makes every transaction wait, over a real catalog.
type slow struct {
	*catalog.Catalog
	mu     sync.Mutex // guards groups
	groups []int
}

func (s *slow) AppendEvents(ctx context.Context, r []audit.Record) error {
	time.Sleep(20 * time.Millisecond)
	s.mu.Lock()
	s.groups = append(s.groups, len(r))
	s.mu.Unlock()
	return s.Catalog.AppendEvents(ctx, r)
}

func TestWaitersShareATransaction(t *testing.T) {
	s := &slow{Catalog: store(t)}
	log := audit.NewLog(s)
	defer log.Close()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			r, _ := audit.Seal(keytree.Key{}, event(recording.NewTenant()))
			if err := log.Write(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(s.groups); n > 20 {
		t.Errorf("200 events took %d transactions", n)
	}
}

func TestUnwritableLogSaysSo(t *testing.T) {
	c := store(t)
	log := audit.NewLog(c)
	c.Close()
	r, _ := audit.Seal(keytree.Key{}, event(recording.NewTenant()))
	if err := log.Write(t.Context(), r); err == nil {
		t.Error("Write into a closed store: nil")
	}
	log.Close()
	if err := log.Write(t.Context(), r); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("Write after Close: %v, want ErrClosed", err)
	}
}
