package gateway_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// refiled is a vault in which two held recordings, one of them in parts, moved out of
// a day that was erased, and whose catalog is then replaced.
type refiled struct {
	dir    string
	reader string
	rows   map[recording.Name][]catalog.Version // as they were filed, one after the other
}

// newRefiled moves what is held, punctured or not. It gives the catalog from before.
func newRefiled(t *testing.T, punctured bool) (r refiled, before map[string][]byte) {
	r = refiled{dir: t.TempDir(), rows: map[recording.Name][]catalog.Version{}}
	t.Run("put", func(t *testing.T) {
		f := gatewaytest.In(t, r.dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
		r.reader = reader.Who
		mustPut(t, f, recorder, "", "whole", "gone")
		putInParts(t, f, recorder, "parts", sound(3, 1000))
		mustHold(t, f, onRecording("whole"))
		mustHold(t, f, onRecording("parts"))
	})
	before = copyCatalog(t, r.dir)
	t.Run("moved", func(t *testing.T) {
		f := gatewaytest.In(t, r.dir)
		reader := f.Caller(r.reader)
		note := func() {
			for _, name := range []recording.Name{"whole", "parts"} {
				r.rows[name] = append(r.rows[name], versionOf(t, f, reader, name))
			}
		}
		note()
		if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", expiring(90)); err != nil {
			t.Fatal(err)
		}
		note()
		if punctured {
			if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
				t.Fatal(err)
			}
		}
	})
	return r, before
}

// wantWhole checks that a server reads what was moved, and nothing else, and that
// erasing it takes every slot that it ever hung from.
func (r refiled) wantWhole(t *testing.T) {
	t.Run("served", func(t *testing.T) {
		f := gatewaytest.In(t, r.dir)
		reader := f.Caller(r.reader)
		wantNames(t, f, reader, "parts", "whole")
		sweep(t, impatient(t, f.Parts))
		wantNames(t, f, reader, "parts", "whole")
		list, err := f.Holds(t.Context(), f.Operator(), "acme")
		if err != nil || len(list) != 2 {
			t.Fatalf("holds: %d, %v", len(list), err)
		}
		for _, h := range list {
			mustRelease(t, f, h.ID)
		}
		for name, rows := range r.rows {
			if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording(name)); err != nil {
				t.Errorf("erase %s: %v", name, err)
			}
			if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
				t.Fatal(err)
			}
			for _, v := range rows {
				if err := f.UnwrapRow(t.Context(), tenantOf(t, f), v); !errors.Is(err, keytree.ErrPunctured) {
					t.Errorf("%s as it was filed under %+v: unwrapped with %v", name, v.Slots, err)
				}
			}
		}
	})
}

// After the loss of all of the catalog.
func TestRebuildOfWhatWasFiledAnew(t *testing.T) {
	t.Parallel()
	for name, punctured := range map[string]bool{"after the epoch": true, "before it": false} {
		t.Run(name, func(t *testing.T) {
			r, _ := newRefiled(t, punctured)
			drop(t, r.dir)
			if report := rebuild(t, r.dir); !report.Complete || report.Recordings != 2 {
				t.Errorf("rebuilt: %+v", report)
			}
			r.wantWhole(t)
		})
	}
}

// A server whose catalog is from before what is held moved follows the epoch, and
// does not take what moved for erased.
func TestAnOlderCatalogFollowsWhatWasFiledAnew(t *testing.T) {
	t.Parallel()
	r, before := newRefiled(t, true)
	putBack(t, before, r.dir)
	r.wantWhole(t)
}

// So does a rebuild, before the epoch too.
func TestRebuildOfAnOlderCatalogThanWhatWasFiledAnew(t *testing.T) {
	t.Parallel()
	for name, punctured := range map[string]bool{"after the epoch": true, "before it": false} {
		t.Run(name, func(t *testing.T) {
			r, before := newRefiled(t, punctured)
			putBack(t, before, r.dir)
			rebuild(t, r.dir)
			r.wantWhole(t)
		})
	}
}

// Nor does it where nothing was erased, and only the old slot punctured.
func TestAnOlderCatalogFollowsARefilingAloneFiledAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	t.Run("put", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
		mustPut(t, f, recorder, "", "a")
		who = reader.Who
	})
	before := copyCatalog(t, dir)
	t.Run("moved", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		expiresIn(t, f, f.Caller(who), "a", 90, 200)
		if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
			t.Fatal(err)
		}
	})
	putBack(t, before, dir)
	t.Run("served", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		wantNames(t, f, f.Caller(who), "a")
		sweep(t, impatient(t, f.Parts))
		wantNames(t, f, f.Caller(who), "a")
	})
}

// A catalog that does not know where a recording was to be filed anew erases it where
// it knows of. A rebuild has the key forgotten that the store has a wrap under.
func TestRebuildForgetsFilingsOfWhatIsErased(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before map[string][]byte
	var lost catalog.Version
	t.Run("begun", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
		mustPut(t, f, recorder, "", "a")
		v := versionOf(t, f, reader, "a")
		before = copyCatalog(t, dir)
		var err error
		if lost, err = f.BeginRefile(t.Context(), v, uint64(v.Slots.Subject), uint64(v.Slots.Day)+1); err != nil {
			t.Fatal(err)
		}
	})
	putBack(t, before, dir)
	t.Run("erased", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		erase(t, f, "a")
		if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
			t.Fatal(err)
		}
	})
	rebuild(t, dir)
	f := gatewaytest.In(t, dir)
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	wantGone(t, f, "where it was to be filed", lost)
}

// An older catalog follows an epoch that punctured where it has a recording. It does
// not file it where a later epoch has punctured what was intended and given up.
func TestAnOlderCatalogPassesOverFilingsThatWereGivenUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before map[string][]byte
	var who string
	t.Run("moved", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
		who = reader.Who
		mustPut(t, f, recorder, "", "a")
		sweep(t, f)
		before = copyCatalog(t, dir)
		puncture := func() {
			if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
				t.Fatal(err)
			}
		}
		v := versionOf(t, f, reader, "a")
		if err := f.Refile(t.Context(), v, uint64(v.Slots.Subject), uint64(v.Slots.Day)+1); err != nil {
			t.Fatal(err)
		}
		puncture()
		v = versionOf(t, f, reader, "a")
		if _, err := f.BeginRefile(t.Context(), v, uint64(v.Slots.Subject), uint64(v.Slots.Day)+1); err != nil {
			t.Fatal(err)
		}
		a, err := f.Catalog.Anchor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
		if n, err := f.Catalog.AbandonFilings(t.Context(), catalog.Age{Anchor: a.Number}, 10); n != 1 || err != nil {
			t.Fatalf("abandoned %d, %v", n, err)
		}
		puncture() // before its blob is swept, which a lock may keep
	})
	putBack(t, before, dir)
	f := gatewaytest.In(t, dir)
	if got := read(t, f, f.Caller(who), "a"); len(got) != 1000 {
		t.Errorf("read %d bytes", len(got))
	}
}

// What was filed under a subject or a day anew, and erased with that, lies in an older
// catalog where it was put. Its row says there that it is erased, and the erasure counts
// it, whether an epoch punctured where it was before the erasure or with it.
func TestAnOlderCatalogErasesWhatWasFiledAnew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]moving{
		"subject": {
			func(t *testing.T, f *gatewaytest.Fixture, _ gateway.Caller) {
				info, err := correct(f, "moved", agent)
				wantRefiled(t, 1, info, err)
			},
			gateway.ErasureRequest{Subject: agent, Reason: "asked for"},
		},
		"day": {
			func(t *testing.T, f *gatewaytest.Fixture, reader gateway.Caller) {
				v := versionOf(t, f, reader, "moved")
				if err := f.Refile(t.Context(), v, uint64(v.Slots.Subject), keytree.DaySlot(200, time.Now())); err != nil {
					t.Fatal(err)
				}
			},
			expiring(200),
		},
	} {
		for lost, lose := range map[string]func(*testing.T, map[string][]byte, string){
			"rebuilt":  func(t *testing.T, before map[string][]byte, dir string) { putBack(t, before, dir); rebuild(t, dir) },
			"followed": putBack,
		} {
			for epoch, before := range map[string]bool{"before": true, "with it": false} {
				t.Run(name+" "+lost+" "+epoch, func(t *testing.T) { c.thenErased(t, before, lose) })
			}
		}
	}
}

// moving files what is called moved anew, and erases where it is then.
type moving struct {
	move  func(*testing.T, *gatewaytest.Fixture, gateway.Caller)
	erase gateway.ErasureRequest
}

func (m moving) thenErased(t *testing.T, puncturedBefore bool, lose func(*testing.T, map[string][]byte, string)) {
	dir := t.TempDir()
	var who string
	var was catalog.Version
	t.Run("put", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
		mustPut(t, f, recorder, string(caller), "moved", "stayed")
		who, was = reader.Who, versionOf(t, f, reader, "moved")
	})
	before := copyCatalog(t, dir)
	var erased gateway.ErasureInfo
	t.Run("moved and erased", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		puncture := func() {
			if err := f.PunctureNow(t.Context(), was.Tenant); err != nil {
				t.Fatal(err)
			}
		}
		m.move(t, f, f.Caller(who))
		if puncturedBefore {
			puncture()
		}
		var err error
		if erased, err = f.EraseFor(t.Context(), f.Operator(), "acme", m.erase); err != nil {
			t.Fatal(err)
		}
		puncture()
	})
	lose(t, before, dir)
	f := gatewaytest.In(t, dir)
	wantNames(t, f, f.Caller(who), "stayed")
	if v, err := f.Catalog.Version(t.Context(), was.Tenant, was.Version); err != nil || v.State != catalog.Erased {
		t.Errorf("the row of what is erased is %v, %v", v.State, err)
	}
	for range 2 { // as it is found, and settled
		if n, err := f.Catalog.Unreadable(t.Context(), was.Tenant, erased.ID); err != nil || n != 1 {
			t.Errorf("the erasure counts %d versions, %v; want 1", n, err)
		}
		sweep(t, f)
	}
}
