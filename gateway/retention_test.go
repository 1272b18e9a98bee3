package gateway_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// expiresIn files a recording under the day of a class that is so many days from now.
func expiresIn(t *testing.T, f *gatewaytest.Fixture, reader gateway.Caller, name recording.Name, class uint64, days int64) {
	t.Helper()
	day := class<<16 | uint64(time.Now().Unix()/(24*60*60)+days)
	if err := f.Refile(t.Context(), versionOf(t, f, reader, name), keytree.Nobody, day); err != nil {
		t.Fatal(err)
	}
}

func retain(t *testing.T, f *gatewaytest.Fixture) {
	t.Helper()
	if err := f.Retain(t.Context()); err != nil {
		t.Fatalf("retain: %v", err)
	}
}

// What has passed goes, of every class and however long ago, in one epoch; what has
// not and what is held stays; and it is done once for a night.
func TestWhatHasPassedIsErased(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "today", "long-ago", "short-class", "tomorrow", "held", "kept")
	for name, when := range map[recording.Name][2]int64{
		"today": {90, 0}, "long-ago": {90, -40}, "short-class": {7, -1}, "tomorrow": {90, 1}, "held": {90, 0},
	} {
		expiresIn(t, f, reader, name, uint64(when[0]), when[1])
	}
	mustHold(t, f, onRecording("held"))
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	before := tenantOf(t, f).Epoch
	retain(t, f)
	wantNames(t, f, reader, "held", "kept", "tomorrow")
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	if after := tenantOf(t, f).Epoch; after != before+1 {
		t.Errorf("epoch %d after %d, want one for the night", after, before)
	}
	days, err := f.Catalog.Erasures(t.Context(), tenantOf(t, f).ID, gateway.ErasureCursor{}, 10)
	if err != nil || len(days) != 3 {
		t.Errorf("%d erasures, %v; want 3", len(days), err)
	}
	refiled := int64(0)
	for _, e := range days {
		if refiled += e.Refiled; e.Who != "lethe" || e.Reason != "retention" || e.Scope != "day" {
			t.Errorf("erasure of a %s by %s, for %s", e.Scope, e.Who, e.Reason)
		}
	}
	if refiled != 1 {
		t.Errorf("%d were filed anew, want the one that is held", refiled)
	}
	held := versionOf(t, f, reader, "held")
	if in := int64(held.Slots.Day&0xffff) - time.Now().Unix()/(24*60*60); in < 6 || in > 7 {
		t.Errorf("what is held expires in %d days, want a week", in)
	}
	expiresIn(t, f, reader, "kept", 8, 0)
	retain(t, f)
	wantNames(t, f, reader, "held", "kept", "tomorrow")
	if s := f.Stats().Retention; s.Days != 3 || s.Complete.IsZero() || s.Failures != 0 || s.Apart != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// A store whose clock is off.
type skewedStore struct {
	blob.Store
	by time.Duration
}

func (s skewedStore) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for info, err := range s.Store.List(ctx, prefix) {
			info.ModTime = info.ModTime.Add(s.by)
			if !yield(info, err) {
				return
			}
		}
	}
}

// Nothing expires while nobody knows what time it is, and never before the clock that
// is behind says so.
func TestNothingExpiresWhileClocksDisagree(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "a")
	expiresIn(t, f, reader, "a", 90, 0)
	for _, by := range []time.Duration{-6 * time.Minute, 6 * time.Minute} {
		skewed := gatewaytest.On(t, gatewaytest.Parts{Blobs: skewedStore{f.Blobs, by}, Catalog: f.Catalog, Keys: f.Parts.Keys})
		if err := skewed.Retain(t.Context()); !errors.Is(err, gateway.ErrApart) {
			t.Errorf("with a store %v off: %v, want ErrApart", by, err)
		}
		if s := skewed.Stats().Retention; s.Apart < 5*time.Minute || s.Days != 0 {
			t.Errorf("stats: %+v", s)
		}
		if !strings.Contains(skewed.Log.String(), `"level":"ERROR","msg":"clocks are too far apart`) {
			t.Errorf("log: %s", skewed.Log)
		}
	}
	wantNames(t, f, reader, "a")
	for _, by := range []time.Duration{-4 * time.Minute, 4 * time.Minute} {
		skewed := gatewaytest.On(t, gatewaytest.Parts{Blobs: skewedStore{f.Blobs, by}, Catalog: f.Catalog, Keys: f.Parts.Keys})
		at, err := skewed.Earliest(t.Context())
		if off := time.Since(at) + min(by, 0); err != nil || off.Abs() > time.Minute {
			t.Errorf("with a store %v off the earliest time is %v, %v", by, at, err)
		}
	}
	if n := blobs(t, f, "clock/"); n != 0 {
		t.Errorf("%d blobs are left of looks at the store's clock", n)
	}
	retain(t, f)
	wantNames(t, f, reader)
}

// A night begins at its hour, and one that was missed is made up for.
func TestNights(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	day := at("2026-11-28T00:00:00Z").Unix() / (24 * 60 * 60)
	for when, want := range map[string]int64{
		"2026-11-28T01:59:59Z": day - 1, "2026-11-28T02:00:00Z": day, "2026-11-28T23:59:59Z": day, "2026-11-29T01:00:00Z": day,
	} {
		if got := gateway.LastNight(2, at(when)); got != want {
			t.Errorf("last night before %s = %d, want %d", when, got, want)
		}
	}
}
