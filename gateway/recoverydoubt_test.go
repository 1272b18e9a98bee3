package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	epochs "github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/recording"
)

// restored is a tenant with one recording, another that was erased, and a provider
// that was put back from a copy made before.
func restored(t *testing.T) (r *restoration, old, lost keytree.Head) {
	r = restoring(t, localRestorable(t))
	r.put("kept", "gone")
	old = r.head()
	putBack := r.copy(t)
	r.eraseName("gone")
	lost = r.head()
	r.Gateway.Close()
	putBack()
	return r, old, lost
}

func (r *restoration) create(key string, b []byte) {
	r.t.Helper()
	if err := r.Blobs.Create(r.t.Context(), key, bytes.NewReader(b), int64(len(b))); err != nil {
		r.t.Fatal(err)
	}
}

// forge writes a head of an epoch, with a pack that names slots, as whoever can write
// the store may do.
func (r *restoration) forge(epoch uint64, version int, slots ...keytree.Slot) {
	r.t.Helper()
	h := keytree.Head{
		Kind: keytree.HeadPunctured, Tenant: r.tenant().ID, Epoch: epoch, Version: version,
		Wrapped: bytes.Repeat([]byte{7}, 60), Pack: keytree.PackID{1, 2, 3}, Top: bytes.Repeat([]byte{7}, 100),
	}
	b := packOf(h, slots)
	h.PackSum = sha256.Sum256(b)
	r.create(keytree.PackKey(h.Tenant, h.Pack), b)
	r.create(keytree.HeadKey(h.Tenant, epoch), h.Marshal())
}

// packOf is a pack of a head's epoch that names slots and has no page.
func packOf(h keytree.Head, slots []keytree.Slot) []byte {
	b := append([]byte("LETHEP1\x00"), h.Tenant[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Epoch)
	b = binary.BigEndian.AppendUint64(b, uint64(len(slots))<<32)
	for _, s := range slots {
		b = binary.BigEndian.AppendUint64(append(b, byte(s.Tree)), s.Number)
	}
	return b
}

// ofKept is a slot without which the recording that was kept does not play.
var ofKept = keytree.Slot{Tree: keytree.Subjects, Number: 1}

// undecided checks that a recovery that asks has changed nothing.
func (r *restoration) undecided(got gateway.RecoveredTenant, want error, lost keytree.Head) {
	r.t.Helper()
	if !errors.Is(got.Err, want) || got.Head != 0 || got.State != gateway.RecoveryRestored {
		r.t.Errorf("recovered: %+v, want %v", got, want)
	}
	if h := r.head(); h.Epoch != lost.Epoch {
		r.t.Errorf("the tenant is at epoch %d", h.Epoch)
	}
}

// A store, or a catalog, that names living keys as forgotten gets nothing punctured that
// an operator has not decided, be it as if proved or as if forged.
func TestForgedIsAskedAbout(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(r *restoration, lost keytree.Head) (newest uint64){
		"pack": func(r *restoration, lost keytree.Head) uint64 {
			r.forge(lost.Epoch+1, lost.Version+1, ofKept, keytree.Slot{Tree: keytree.System, Number: keytree.SettingsSlot()})
			return lost.Epoch + 1
		},
		"tombstone": func(r *restoration, lost keytree.Head) uint64 {
			for _, s := range []keytree.Slot{ofKept, {Tree: keytree.System, Number: keytree.SettingsSlot()}} {
				execute(r.t, r.dir, `INSERT INTO punctures (tenant, tree, slot, epoch, since) SELECT id, ?, ?, ?, 0 FROM tenants`, s.Tree, s.Number, lost.Epoch)
			}
			return lost.Epoch
		},
	} {
		for _, how := range []epochs.Unproved{epochs.Leave, epochs.Puncture} {
			t.Run(name+", "+string(how), func(t *testing.T) {
				r, _, lost := restored(t)
				newest := forge(r, lost)
				asked := r.recover(epochs.Recovery{})
				r.undecided(asked, epochs.ErrUnproved, lost)
				if asked.Unproved != 1 || asked.Slots != 1 {
					t.Errorf("asked: %+v, want 1 of each", asked)
				}
				got := r.recover(epochs.Recovery{Unproved: how})
				if got.Err != nil || got.Newest != newest || got.Head != newest+1 {
					t.Fatalf("recovered: %+v", got)
				}
				_, err := r.slotKey(r.head(), catalog.Slot{Tree: int64(ofKept.Tree), Number: int64(ofKept.Number)})
				if want := map[epochs.Unproved]error{epochs.Puncture: keytree.ErrPunctured}[how]; !errors.Is(err, want) {
					t.Errorf("the slot that was named: %v, want %v", err, want)
				}
				r.start(r.Parts)
				r.reader = r.Caller(r.reader.Who)
				if how == epochs.Leave {
					r.plays([]recording.Name{"kept"}, []recording.Name{"gone"})
				}
			})
		}
	}
}

// What is missing, and what is there and not ours, is told before anything is done.
func TestLostIsAskedAbout(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*restoration, keytree.Head){
		"pack": func(r *restoration, lost keytree.Head) { r.remove(keytree.PackKey(lost.Tenant, lost.Pack)) },
		"record": func(r *restoration, lost keytree.Head) {
			r.create(epochs.RecordKey(lost.Tenant, 0, recording.NewErasureID()), []byte("none of ours"))
		},
		"head": func(r *restoration, lost keytree.Head) {
			r.create(keytree.HeadKey(lost.Tenant, lost.Epoch+1), []byte("none of ours"))
		},
		"version": func(r *restoration, lost keytree.Head) { r.forge(lost.Epoch+1, lost.Version+1000, ofKept) },
	} {
		t.Run(name, func(t *testing.T) {
			r, old, lost := restored(t)
			lose(r, lost)
			asked := r.recover(epochs.Recovery{})
			r.undecided(asked, epochs.ErrLost, lost)
			if asked.Lost != 1 {
				t.Errorf("asked: %+v, want 1 lost", asked)
			}
			got := r.recover(epochs.Recovery{Lost: true})
			if got.Err != nil || got.Head <= lost.Epoch || got.Slots != 1 {
				t.Fatalf("recovered: %+v", got)
			}
			if has, err := r.Keys.Versions(t.Context(), keytree.RootOf(old.Tenant)); err != nil || has.Latest > lost.Version+2 {
				t.Errorf("the root has versions %+v: %v", has, err)
			}
			r.start(r.Parts)
			r.reader = r.Caller(r.reader.Who)
			r.plays([]recording.Name{"kept"}, []recording.Name{"gone"})
			of := certificate(t, r.Fixture, r.gone(t))
			if last := of.Epochs[len(of.Epochs)-1]; last.After != int64(got.Head) || last.Key.Before >= last.Key.After {
				t.Errorf("certified by %+v, want epoch %d", last, got.Head)
			}
		})
	}
}

// gone is the only erasure there is.
func (r *restoration) gone(t *testing.T) recording.ErasureID {
	t.Helper()
	all, _, err := r.Erasures(t.Context(), r.Operator(), "acme", recording.ErasureID{}, 2)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d erasures: %v", len(all), err)
	}
	return all[0].ID
}

func (r *restoration) remove(key string) {
	r.t.Helper()
	if err := r.Blobs.Delete(r.t.Context(), key); err != nil {
		r.t.Fatal(err)
	}
}

// Provider and catalog are put back from copies as old. Sealed requests and a
// certificate are all that is left to say what was erased.
func TestRecoverVaultAndCatalog(t *testing.T) {
	t.Parallel()
	r := restoring(t, localRestorable(t))
	r.put("kept", "gone")
	old := r.head()
	r.Gateway.Close()
	r.Catalog.Close()
	copied, putKeysBack := copyCatalog(t, r.dir), r.copy(t)
	r.Parts.Catalog = r.open()
	r.start(r.Parts)
	r.recorder, r.reader = r.Caller(r.recorder.Who), r.Caller(r.reader.Who)
	r.eraseName("gone")
	scrap := catalog.Slot{Tree: catalog.TreeRecordings, Number: 5000}
	if err := r.Catalog.Reopen(t.Context(), old.Tenant, []catalog.Slot{scrap}, nil); err != nil {
		t.Fatal(err)
	}
	r.put("other")
	r.eraseName("other") // takes the scrap with it
	lost := r.head()
	r.Gateway.Close()
	r.Catalog.Close()
	putBack(t, copied, r.dir)
	putKeysBack()
	r.Parts.Catalog = r.open()

	asked := r.recover(epochs.Recovery{})
	if !errors.Is(asked.Err, epochs.ErrUnproved) || asked.Unproved != 1 || asked.Slots != 2 || asked.Records != 2 {
		t.Fatalf("without a certificate: %+v", asked)
	}
	r.certify(lost)
	r.create(keytree.HeadKey(lost.Tenant, lost.Epoch+1), []byte("none of ours"))
	forged := epochs.RecordKey(lost.Tenant, 0, recording.ErasureID{15: 1}) // before all others
	r.create(forged, []byte("none of ours"))
	got := r.recover(epochs.Recovery{Lost: true})
	if got.Err != nil || got.Head != lost.Epoch+2 || got.Slots != 3 {
		t.Fatalf("recovered: %+v", got)
	}
	if all, err := r.Catalog.Erasures(t.Context(), lost.Tenant, catalog.ErasureCursor{}, 10); err != nil || len(all) != 2 {
		t.Errorf("the catalog knows %d erasures: %v", len(all), err)
	}
	if _, err := r.slotKey(r.head(), scrap); !errors.Is(err, keytree.ErrPunctured) {
		t.Errorf("the scrap: %v, want ErrPunctured", err)
	}
	r.start(r.Parts)
	r.reader = r.Caller(r.reader.Who)
	r.plays([]recording.Name{"kept"}, []recording.Name{"gone"})

	r.remove(forged)
	r.Gateway.Close() // once more the old catalog, which finds the way over all heads by itself
	r.Catalog.Close()
	putBack(t, copied, r.dir)
	r.Parts.Catalog = r.open()
	r.start(r.Parts)
	r.reader = r.Caller(r.reader.Who)
	r.plays([]recording.Name{"kept"}, []recording.Name{"gone"})
	if h := r.head(); h.Epoch != got.Head {
		t.Errorf("at epoch %d, want %d", h.Epoch, got.Head)
	}
}

// certify signs a certificate that names the pack of a head.
func (r *restoration) certify(h keytree.Head) {
	r.t.Helper()
	sum, at, id := strings.Repeat("0", 64), time.Now().UTC(), recording.NewErasureID()
	signed, err := r.signer.Sign(claim.Erasure{
		ID: id.String(), Tenant: h.Tenant.String(), Issued: at,
		Scope:    claim.Committed{Kind: claim.OfRecording, Commitment: sum},
		Request:  claim.Request{Requester: "admin", Reason: "asked for"},
		Provider: claim.Provider{Key: string(keytree.RootOf(h.Tenant))},
		Epochs: []claim.Epoch{{
			Before: int64(h.Epoch) - 1, After: int64(h.Epoch), HeadBefore: sum, HeadAfter: sum, OldRoot: sum, Pack: hex.EncodeToString(h.PackSum[:]),
			Key: claim.Versions{Before: 1, After: 2, OldestBefore: 1, OldestAfter: 2},
		}},
		Verification: []claim.Check{{Check: claim.HeadInStore}},
		Dates:        claim.Dates{Refused: at, Effective: at},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.create(epochs.CertificateKey(h.Tenant, id), signed)
}

// A limit lets so many calls of a provider and a store come through, and then none, as
// if the process had been killed: before the last of them took effect, or after.
type limit struct {
	left  int
	after bool
}

var errLimit = errors.New("killed by the test")

// call counts a call that may change something.
func (l *limit) call(do func() error) error {
	l.left--
	if l.left < 0 || l.left == 0 && !l.after {
		return errLimit
	}
	err := do()
	if l.left == 0 {
		return errLimit
	}
	return err
}

type limitedKeys struct {
	keytree.Provider
	*limit
}

func (k limitedKeys) Wrap(ctx context.Context, root keytree.Root, version int, key keytree.Key, bind []byte) (b []byte, err error) {
	err = k.call(func() (err error) { b, err = k.Provider.Wrap(ctx, root, version, key, bind); return err })
	return b, err
}

func (k limitedKeys) Rotate(ctx context.Context, root keytree.Root) (v int, err error) {
	err = k.call(func() (err error) { v, err = k.Provider.Rotate(ctx, root); return err })
	return v, err
}

func (k limitedKeys) Retire(ctx context.Context, root keytree.Root, below int) error {
	return k.call(func() error { return k.Provider.Retire(ctx, root, below) })
}

type limitedStore struct {
	blob.Store
	*limit
}

func (s limitedStore) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	return s.call(func() error { return s.Store.Create(ctx, key, r, size) })
}

// Killed at each step that changes provider or store, a recovery is begun anew. Until
// then the tenant is refused, or what was erased stays erased.
func TestRecoveryIsKilled(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for steps := 1; steps <= 7; steps++ {
			t.Run(fmt.Sprintf("%d, after it: %t", steps, after), func(t *testing.T) {
				t.Parallel()
				r := restoring(t, localRestorable(t))
				r.put("kept", "one", "two", "three")
				old := r.head()
				putBack := r.copy(t)
				for _, name := range []recording.Name{"one", "two", "three"} {
					r.eraseName(name)
				}
				lost := r.head()
				r.Gateway.Close()
				putBack()
				// Three versions again and one more, pack, root, head.
				l := &limit{left: steps, after: after}
				if got := r.recoverWith(limitedKeys{r.Keys, l}, limitedStore{r.Blobs, l}, epochs.Recovery{}); !errors.Is(got.Err, errLimit) {
					t.Fatalf("killed at %d: %+v", steps, got)
				}
				r.start(r.Parts)
				if c, err := r.Credential(t.Context(), r.reader.Who); err == nil {
					r.reader = c.Caller()
					r.plays(nil, []recording.Name{"one", "two", "three"})
				} else if !errors.Is(err, recording.ErrIncident) {
					t.Errorf("Credential: %v, want ErrIncident", err)
				}
				r.Gateway.Close()
				if got := r.recover(epochs.Recovery{}); got.Err != nil {
					t.Fatalf("begun anew: %+v", got)
				}
				head := r.head()
				if head.Epoch <= lost.Epoch || head.Version <= lost.Version {
					t.Errorf("at epoch %d under version %d", head.Epoch, head.Version)
				}
				if _, err := r.unwrap(old); !errors.Is(err, keytree.ErrForgotten) {
					t.Errorf("the old root: %v, want ErrForgotten", err)
				}
				slots, err := r.Catalog.PuncturedSince(t.Context(), old.Tenant, int64(old.Epoch))
				if err != nil || len(slots) != 3 {
					t.Fatalf("punctured: %v: %v", slots, err)
				}
				for _, slot := range slots {
					if _, err := r.slotKey(head, slot.Slot); !errors.Is(err, keytree.ErrPunctured) {
						t.Errorf("%v: %v, want ErrPunctured", slot, err)
					}
				}
				r.start(r.Parts)
				r.reader = r.Caller(r.reader.Who)
				r.plays([]recording.Name{"kept"}, []recording.Name{"one", "two", "three"})
			})
		}
	}
}

// More slots than one epoch takes: what the first leaves is due, whoever goes on.
func TestRecoverManySlots(t *testing.T) {
	t.Parallel()
	r := restoring(t, localRestorable(t))
	r.put("kept")
	old := r.head()
	putBack := r.copy(t)
	var many []catalog.Slot
	for i := range keytree.MostPunctures + 50 {
		many = append(many, catalog.Slot{Tree: catalog.TreeRecordings, Number: int64(10_000 + i)})
	}
	if err := r.Catalog.Reopen(t.Context(), old.Tenant, many, nil); err != nil {
		t.Fatal(err)
	}
	r.put("gone")
	r.eraseName("gone")
	none := func() bool {
		slots, _, _, err := r.Catalog.ToPuncture(t.Context(), old.Tenant, 1)
		return err == nil && len(slots) == 0
	}
	until(t, "all are punctured", none)
	r.Gateway.Close()
	putBack()
	l := &limit{left: 6} // two versions again and one more, pack, root, head; then no more
	l.after = true
	got := r.recoverWith(limitedKeys{r.Keys, l}, limitedStore{r.Blobs, l}, epochs.Recovery{})
	if !errors.Is(got.Err, errLimit) || got.Slots != len(many)+1 {
		t.Fatalf("recovered: %+v", got)
	}
	r.start(r.Parts) // whose eraser goes on
	until(t, "all are punctured again", none)
	until(t, "the old root is gone", func() bool {
		_, err := r.unwrap(old)
		return errors.Is(err, keytree.ErrForgotten)
	})
	r.Gateway.Close()
	keys, err := r.unwrap(r.head())
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range many {
		if _, err := keys.Slot(t.Context(), keytree.Tree(slot.Tree), uint64(slot.Number)); !errors.Is(err, keytree.ErrPunctured) {
			t.Fatalf("%v: %v, want ErrPunctured", slot, err)
		}
	}
}

// More slots that nothing proves than one epoch takes. No later epoch would take them by
// itself, so the recovery does, or the one that is begun after it was killed; which asks
// again if it is not told.
func TestRecoverManyUnproved(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed: %t", killed), func(t *testing.T) {
			t.Parallel()
			r, _, lost := restored(t)
			many := make([]keytree.Slot, keytree.MostPunctures+50)
			for i := range many {
				many[i] = keytree.Slot{Tree: keytree.Days, Number: uint64(10_000 + i)}
			}
			r.forge(lost.Epoch+1, lost.Version+1, many...)
			got := gateway.RecoveredTenant{}
			if killed {
				l := &limit{left: 6, after: true} // versions, pack, root, head; then no more
				if got = r.recoverWith(limitedKeys{r.Keys, l}, limitedStore{r.Blobs, l}, epochs.Recovery{Unproved: epochs.Puncture}); !errors.Is(got.Err, errLimit) {
					t.Fatalf("killed: %+v", got)
				}
				for _, how := range []epochs.Recovery{{DryRun: true}, {}} {
					asked := r.recover(how)
					if asked.Unproved != 50 || errors.Is(asked.Err, epochs.ErrUnproved) == how.DryRun {
						t.Fatalf("asked by %+v: %+v", how, asked)
					}
				}
			}
			if got = r.recover(epochs.Recovery{Unproved: epochs.Puncture}); got.Err != nil || got.Slots < 50 {
				t.Fatalf("recovered: %+v", got)
			}
			if again := r.recover(epochs.Recovery{}); again.Err != nil || again.Unproved != 0 {
				t.Errorf("again: %+v", again)
			}
			keys, err := r.unwrap(r.head())
			if err != nil {
				t.Fatal(err)
			}
			for _, slot := range many {
				if _, err := keys.Slot(t.Context(), slot.Tree, slot.Number); !errors.Is(err, keytree.ErrPunctured) {
					t.Fatalf("%v: %v, want ErrPunctured", slot, err)
				}
			}
		})
	}
}

// The key of an erased tenant that is there again is destroyed again, because its
// journal says that it was erased. A head alone destroys nothing.
func TestRecoverErasedTenant(t *testing.T) { overRestorables(t, testRecoverErasedTenant) }

func testRecoverErasedTenant(t *testing.T, of restorable) {
	r := restoring(t, of)
	r.put("kept", "gone")
	r.eraseName("gone")
	old := r.head()
	root := keytree.RootOf(old.Tenant)
	putBack := r.copy(t)
	if _, err := r.EraseTenant(t.Context(), r.Operator(), "acme", "asked for"); err != nil {
		t.Fatal(err)
	}
	until(t, "the key is destroyed", func() bool {
		_, err := r.Keys.Versions(t.Context(), root)
		return errors.Is(err, keytree.ErrForgotten)
	})
	r.Gateway.Close()
	putBack()
	if _, err := r.unwrap(old); err != nil {
		t.Fatalf("the exception: %v", err)
	}
	if dry := r.recover(epochs.Recovery{DryRun: true}); dry.State != gateway.RecoveryRisen || dry.Err != nil {
		t.Errorf("dry run: %+v", dry)
	}
	if got := r.recover(epochs.Recovery{}); got.State != gateway.RecoveryRisen || got.Err != nil {
		t.Fatalf("recovered: %+v", got)
	}
	if _, err := r.Keys.Versions(t.Context(), root); !errors.Is(err, keytree.ErrForgotten) {
		t.Errorf("the key: %v, want ErrForgotten", err)
	}
	if again := r.recover(epochs.Recovery{}); again.State != gateway.RecoveryErased || again.Err != nil {
		t.Errorf("once more: %+v", again)
	}
}

func TestForgedErasureDestroysNothing(t *testing.T) {
	t.Parallel()
	r, old, lost := restored(t)
	r.create(keytree.HeadKey(old.Tenant, lost.Epoch+1), keytree.Head{Kind: keytree.HeadErased, Tenant: old.Tenant, Epoch: lost.Epoch + 1}.Marshal())
	if got := r.recover(epochs.Recovery{}); !errors.Is(got.Err, recording.ErrIncident) || got.State != gateway.RecoveryRisen {
		t.Errorf("recovered: %+v, want ErrIncident", got)
	}
	if _, err := r.unwrap(old); err != nil {
		t.Errorf("the root: %v", err)
	}
}
