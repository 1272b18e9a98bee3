package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	epochs "github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// eraseCertified erases a recording and gives its erasure once it is certified.
func eraseCertified(t *testing.T, f *gatewaytest.Fixture, name recording.Name) recording.ErasureID {
	t.Helper()
	return erasedCertified(t, f, ofRecording(name))
}

func erasedCertified(t *testing.T, f *gatewaytest.Fixture, what gateway.ErasureRequest) recording.ErasureID {
	t.Helper()
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", what)
	if err != nil {
		t.Fatal(err)
	}
	certify(t, f, info.ID)
	return info.ID
}

// certify waits until an erasure is certified.
func certify(t *testing.T, f *gatewaytest.Fixture, id recording.ErasureID) {
	t.Helper()
	until(t, "certified", func() bool {
		if err := f.CertifyNow(t.Context(), tenantOf(t, f).ID); err != nil { // or another drives it
			t.Fatal(err)
		}
		info, err := f.Erasure(t.Context(), f.Operator(), id)
		return err == nil && info.State == "certified"
	})
}

// dropSuperseded drops what is superseded, at once.
func dropSuperseded(t *testing.T, f *gatewaytest.Fixture, keep time.Duration) {
	t.Helper()
	time.Sleep(time.Millisecond) // older than a nanosecond
	if err := f.DropSuperseded(t.Context(), tenantOf(t, f).ID, keep); err != nil {
		t.Fatal(err)
	}
}

// wantBlobs checks how many heads and packs the store has.
func wantBlobs(t *testing.T, f *gatewaytest.Fixture, what string, heads, packs int) {
	t.Helper()
	if h, p := blobs(t, f, "head/"), blobs(t, f, "pages/"); h != heads || p != packs {
		t.Errorf("%s: %d heads and %d packs in the store, want %d and %d", what, h, p, heads, packs)
	}
}

// Superseded heads and packs go in two steps, of which each leaves what the newest head
// needs, and whatever a copy may that is younger than the first. A catalog is rebuilt
// without them: the keys say what was erased, and where what moved is.
func TestSupersededIsDropped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	var erased []recording.ErasureID
	t.Run("dropped", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
		who = reader.Who
		mustPut(t, f, recorder, "", "moved", "kept")
		_, expires := keytree.ExpiryOf(uint64(versionOf(t, f, reader, "moved").Slots.Day))
		info, err := keep(f, "moved", expires.AddDate(1, 0, 0))
		wantRefiled(t, 1, info, err)
		for i := range 5 {
			name := recording.Name(fmt.Sprint("gone-", i))
			mustPut(t, f, recorder, "", name)
			erased = append(erased, eraseCertified(t, f, name))
		}
		wantBlobs(t, f, "before", 6, 5)
		dropSuperseded(t, f, 0)
		dropSuperseded(t, f, time.Nanosecond)
		dropSuperseded(t, f, time.Nanosecond)
		wantBlobs(t, f, "noted", 6, 5)

		mustPut(t, f, recorder, "", "gone-late")
		late, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("gone-late"))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
			t.Fatal(err)
		}
		dropSuperseded(t, f, time.Hour)
		wantBlobs(t, f, "too early", 7, 6)
		dropSuperseded(t, f, time.Nanosecond)
		wantBlobs(t, f, "of epoch 5", 3, 2)
		erased = append(erased, late.ID)
		certify(t, f, late.ID)
		wantNames(t, f, reader, "kept", "moved")
	})
	drop(t, dir)
	if report := rebuild(t, dir); !report.Complete || report.Recordings != 2 {
		t.Errorf("rebuilt: %+v", report)
	}
	t.Run("rebuilt", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		wantNames(t, f, f.Caller(who), "kept", "moved")
		for _, id := range erased {
			if info, err := f.Erasure(t.Context(), f.Operator(), id); err != nil || info.State != "certified" {
				t.Errorf("erasure %v is %s, %v; want certified", id, info.State, err)
			}
		}
		due, _, _, err := f.Catalog.ToPuncture(t.Context(), tenantOf(t, f).ID, 100)
		if err != nil || len(due) > 1 { // where moved was, which nobody knows to be punctured
			t.Errorf("%v are to be punctured again, %v", due, err)
		}
		eraseCertified(t, f, "kept")
		eraseCertified(t, f, "moved")
		wantNames(t, f, f.Caller(who))
		sweep(t, impatient(t, f.Parts))
		if n := blobs(t, f, "recordings/"); n != 0 {
			t.Errorf("%d blobs of recordings are left", n)
		}
	})
}

// Nothing goes of what a certificate is still to be made from.
func TestSupersededWaitsForCertificates(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "a", "b", "c", "d")
	var last recording.ErasureID
	for _, name := range []recording.Name{"a", "b", "c", "d"} {
		info, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording(name))
		if err != nil {
			t.Fatal(err)
		}
		last = info.ID
		if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
			t.Fatal(err)
		}
		dropSuperseded(t, f, time.Nanosecond)
	}
	wantBlobs(t, f, "uncertified", 5, 4)
	certify(t, f, last)
	dropSuperseded(t, f, time.Nanosecond)
	wantBlobs(t, f, "certified", 3, 2)
}

// A record of which the catalog knows no erasure, as of one that was asked for again after
// the catalog had lost it, keeps nothing: what it may still need is punctured anew.
func TestSupersededWaitsForNoUnknownErasure(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "a", "b", "c")
	key := epochs.RecordKey(tenantOf(t, f).ID, 0, recording.NewErasureID())
	for _, name := range []recording.Name{"a", "b", "c"} {
		eraseCertified(t, f, name)
		dropSuperseded(t, f, time.Hour)
	}
	if err := f.Blobs.Create(t.Context(), key, strings.NewReader("lost"), 4); err != nil {
		t.Fatal(err)
	}
	dropSuperseded(t, f, time.Nanosecond)
	wantBlobs(t, f, "after all", 3, 2)
}

// unhurried fails what is read of heads and packs by someone who has to be done soon, as
// who holds a root has. The newest head's are let go: its pages are walked.
type unhurried struct {
	blob.Store
	t    *testing.T
	last *atomic.Uint64 // epoch
}

func (s unhurried) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	var tenant string
	var epoch uint64
	if n, _ := fmt.Sscanf(strings.ReplaceAll(key, "/", " "), "head %s %x", &tenant, &epoch); n == 2 && epoch < s.last.Load() {
		if _, soon := ctx.Deadline(); soon {
			s.t.Errorf("the head of epoch %d is read while a root is held", epoch)
		}
	}
	return s.Store.Open(ctx, key, offset, length)
}

// A tenant may have a hundred thousand epochs a day: their heads and packs are not read
// within the seconds for which a root may be held.
func TestSupersededHeadsAreReadWithoutHaste(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "a", "b", "c", "d")
	for _, name := range []recording.Name{"a", "b", "c"} {
		eraseCertified(t, f, name)
	}
	last := &atomic.Uint64{}
	last.Store(uint64(tenantOf(t, f).Epoch))
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: unhurried{f.Blobs, t, last}, Catalog: f.Catalog, Keys: f.Parts.Keys}, only(gateway.Front))
	dropSuperseded(t, g, time.Hour)
	eraseCertified(t, f, "d")
	last.Store(uint64(tenantOf(t, f).Epoch))
	dropSuperseded(t, g, time.Hour)
	if n := blobs(t, f, "superseded/"); n != 2 {
		t.Errorf("%d notes, want 2", n)
	}
}

// Killed between any two deletions, the rest goes the next time, and nothing else.
func TestDroppingIsKilled(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "a", "b", "c", "d", "kept")
	for _, name := range []recording.Name{"a", "b", "c", "d"} {
		eraseCertified(t, f, name)
		dropSuperseded(t, f, time.Hour) // notes
	}
	tries := 0
	var left atomic.Int64
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: mortalStore{f.Blobs, &left}, Catalog: f.Catalog, Keys: f.Parts.Keys})
	for ; g.DropSuperseded(t.Context(), tenantOf(t, f).ID, time.Nanosecond) != nil && tries < 20; tries++ {
		left.Store(int64(tries) + 1)
		fresh := gatewaytest.On(t, f.Parts)
		if got := read(t, fresh, fresh.Caller(reader.Who), "kept"); len(got) != 1000 {
			t.Errorf("read %d bytes after %d deletions", len(got), tries)
		}
	}
	if tries < 5 || tries == 20 {
		t.Errorf("done after %d tries", tries)
	}
	wantBlobs(t, f, "after all", 3, 2)
	if n := blobs(t, f, "superseded/"); n != 1 {
		t.Errorf("%d notes are left, want the newest", n)
	}
}

// A provider that is put back from a copy which is younger than what was noted finds all
// that its recovery takes, whatever was dropped since; older ones find nothing.
func TestRecoverVaultWithoutWhatIsSuperseded(t *testing.T) {
	t.Parallel()
	r := restoring(t, localRestorable(t))
	r.put("live", "gone-1", "gone-2", "gone-3", "gone-4", "gone-5")
	certified := func(name recording.Name) { eraseCertified(t, r.Fixture, name) }
	subject := func(of string) {
		erasedCertified(t, r.Fixture, gateway.ErasureRequest{Subject: recording.Subject("+49151" + of), Reason: "request"})
	}
	subject("gone-1") // whose pages the noted head has, and no later one
	certified("gone-2")
	noted := r.head()
	dropSuperseded(t, r.Fixture, time.Nanosecond)
	putBack := r.copy(t)
	subject("gone-3")
	r.put("since")
	dropSuperseded(t, r.Fixture, time.Nanosecond) // notes
	dropSuperseded(t, r.Fixture, time.Nanosecond)
	certified("gone-4")
	if _, err := keytree.ReadHead(t.Context(), r.Blobs, noted.Tenant, noted.Epoch-1); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the head before the noted one: %v, want ErrNotExist", err)
	}
	r.Gateway.Close()
	putBack()
	if got := r.recover(epochs.Recovery{}); got.Err != nil || got.Opens != noted.Epoch || got.Slots != 2 || got.Lost != 0 {
		t.Fatalf("recovered: %+v", got)
	}
	if n := blobs(t, r.Fixture, "superseded/"); n != 0 {
		t.Errorf("%d notes are left of heads that were passed over", n)
	}
	r.start(r.Parts)
	r.reader, r.recorder = r.Caller(r.reader.Who), r.Caller(r.recorder.Who)
	r.plays([]recording.Name{"live", "since"}, []recording.Name{"gone-1", "gone-2", "gone-3", "gone-4"})
	certified("gone-5")
	dropSuperseded(t, r.Fixture, time.Nanosecond)
	dropSuperseded(t, r.Fixture, time.Nanosecond)
	r.plays([]recording.Name{"live", "since"}, []recording.Name{"gone-5"})
}

// threeSuperseded is a tenant of which two heads are superseded, as was noted.
func threeSuperseded(t *testing.T) *gatewaytest.Fixture {
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "a", "b", "c")
	for _, name := range []recording.Name{"a", "b", "c"} {
		eraseCertified(t, f, name)
		dropSuperseded(t, f, time.Hour) // notes
	}
	wantBlobs(t, f, "noted", 4, 3)
	return f
}

// Packs whose epochs got another head, or none, go with what is superseded. That of an
// epoch which may still be committed stays, as does what is no pack.
func TestPacksWithoutAHeadAreDropped(t *testing.T) {
	t.Parallel()
	f := threeSuperseded(t)
	id, newest := tenantOf(t, f).ID, uint64(tenantOf(t, f).Epoch)
	create := func(pack keytree.PackID, b []byte) {
		if err := f.Blobs.Create(t.Context(), keytree.PackKey(id, pack), bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
	for epoch := range newest + 2 { // from 1, as 0 has no pack
		create(keytree.PackID{byte(epoch)}, packOf(keytree.Head{Tenant: id, Epoch: epoch + 1}, nil))
	}
	create(keytree.PackID{99}, []byte("none of ours"))
	dropSuperseded(t, f, time.Nanosecond)
	for pack, want := range map[byte]bool{0: false, byte(newest - 2): true, byte(newest): true, byte(newest + 1): true, 99: true} {
		b, err := f.Blobs.Open(t.Context(), keytree.PackKey(id, keytree.PackID{pack}), 0, -1)
		if err == nil {
			b.Close()
		}
		if there := err == nil; there != want {
			t.Errorf("pack %d is there: %t (%v), want %t", pack, there, err, want)
		}
	}
	wantBlobs(t, f, "after all", 3, 2+int(newest)+1+1)
}

// Nothing is dropped while a clock says that it is too early, or nobody knows what time it is.
func TestSupersededGoesByAllClocks(t *testing.T) {
	t.Parallel()
	f := threeSuperseded(t)
	for by, want := range map[time.Duration]error{-4 * time.Minute: nil, -10 * time.Minute: epochs.ErrApart, 10 * time.Minute: epochs.ErrApart} {
		g := gatewaytest.On(t, gatewaytest.Parts{Blobs: skewedStore{f.Blobs, by}, Catalog: f.Catalog, Keys: f.Parts.Keys}, only(gateway.Front))
		if err := g.DropSuperseded(t.Context(), tenantOf(t, f).ID, time.Nanosecond); !errors.Is(err, want) {
			t.Errorf("with a store %v off: %v, want %v", by, err, want)
		}
		wantBlobs(t, f, "by a store that is off", 4, 3)
	}
	dropSuperseded(t, f, time.Nanosecond)
	wantBlobs(t, f, "after all", 3, 2)
}

// passing is a store in which a recovery passes over a noted head while heads are listed.
type passing struct {
	blob.Store
	note string
}

func (s passing) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	if strings.HasPrefix(prefix, "head/") {
		if err := s.Delete(ctx, s.note); err != nil {
			return func(yield func(blob.Info, error) bool) { yield(blob.Info{}, err) }
		}
	}
	return s.Store.List(ctx, prefix)
}

// Whoever has the lease of the tenant's epochs, as a recovery has, is waited for, and what
// it has decided meanwhile counts.
func TestDroppingHasTheLease(t *testing.T) {
	t.Parallel()
	f := threeSuperseded(t)
	id, newest := tenantOf(t, f).ID, tenantOf(t, f).Epoch
	f.Gateway.Close()
	f = gatewaytest.On(t, f.Parts, only(gateway.Front))
	other := [16]byte{1}
	if mine, err := f.Catalog.LeaseEpochs(t.Context(), id, other, time.Minute); err != nil || !mine {
		t.Fatalf("leased: %t, %v", mine, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := f.DropSuperseded(ctx, id, time.Nanosecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another has the lease: %v", err)
	}
	if err := f.Catalog.LeaveEpochs(t.Context(), id, other); err != nil {
		t.Fatal(err)
	}
	store := passing{f.Blobs, fmt.Sprintf("superseded/%v/%016x", id, newest-1)}
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: store, Catalog: f.Catalog, Keys: f.Parts.Keys}, only(gateway.Front))
	if err := g.DropSuperseded(t.Context(), id, time.Nanosecond); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("while a recovery passes over the noted head: %v, want ErrNotExist", err)
	}
	wantBlobs(t, f, "after both", 4, 3)
}
