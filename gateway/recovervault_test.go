package gateway_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/catalog"
	epochs "github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/servers"
)

// A restorable is a key provider, and a way to copy it and to put the copy back.
type restorable struct {
	keys func(t *testing.T) keytree.Provider
	copy func(t *testing.T) (putBack func())
}

func localRestorable(t *testing.T) restorable {
	dir := t.TempDir()
	return restorable{
		keys: func(t *testing.T) keytree.Provider {
			p, err := localkeys.New(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			return p
		},
		copy: func(t *testing.T) func() {
			files, err := filepath.Glob(filepath.Join(dir, "t-*"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no keys in %s: %v", dir, err)
			}
			kept := map[string][]byte{}
			for _, f := range files {
				if kept[f], err = os.ReadFile(f); err != nil {
					t.Fatal(err)
				}
			}
			return func() {
				for f, b := range kept {
					if err := os.WriteFile(f, b, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
	}
}

func vaultRestorable(t *testing.T) restorable {
	v := servers.Vault(t)
	return restorable{
		keys: func(t *testing.T) keytree.Provider {
			c := hashivault.Config{Address: v.Addr}
			for role, login := range map[hashivault.Role]*hashivault.Login{
				hashivault.Data: &c.Data, hashivault.Eraser: &c.Eraser, hashivault.Provisioner: &c.Provisioner,
			} {
				name := "lethe-" + string(role)
				v.Policy(t, name, hashivault.Policy(role, "transit"))
				id, secret := v.AppRole(t, name, name)
				file := filepath.Join(t.TempDir(), name)
				if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
					t.Fatal(err)
				}
				*login = hashivault.AppRole{RoleID: id, SecretIDFile: file}
			}
			p, err := hashivault.New(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			return p
		},
		copy: func(t *testing.T) func() {
			snapshot := v.Snapshot(t)
			return func() { v.Restore(t, snapshot) }
		},
	}
}

var restorables = map[string]func(*testing.T) restorable{"local": localRestorable, "Vault": vaultRestorable}

// overRestorables runs a test on each provider.
func overRestorables(t *testing.T, test func(*testing.T, restorable)) {
	for name, of := range restorables {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, of(t))
		})
	}
}

// A restoration is a gateway whose key provider is put back from a copy.
type restoration struct {
	*gatewaytest.Fixture
	restorable
	t                *testing.T
	dir              string // of catalog and store
	recorder, reader gateway.Caller
	signer           *claim.Signer
}

func restoring(t *testing.T, of restorable) *restoration {
	t.Helper()
	dir := t.TempDir()
	blobs, err := filestore.New(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	signer, err := claim.NewSigner(claim.Config{
		Key: claim.NewKey(), Program: claim.Program{Name: "lethe", Version: "test"}, Provider: claim.Local,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &restoration{restorable: of, t: t, dir: dir, signer: signer}
	r.start(gatewaytest.Parts{Blobs: blobs, Catalog: r.open(), Keys: of.keys(t)})
	r.recorder, r.reader = r.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	return r
}

// open opens the catalog.
func (r *restoration) open() *catalog.Catalog {
	r.t.Helper()
	c, err := catalog.Open(r.t.Context(), "sqlite:"+filepath.Join(r.dir, "catalog.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// start starts a gateway, with no key in memory.
func (r *restoration) start(p gatewaytest.Parts) {
	r.Fixture = gatewaytest.On(r.t, p, func(c *gateway.Config) { c.EpochFloor, c.Signer = time.Millisecond, r.signer })
}

// restart ends the gateway and starts another.
func (r *restoration) restart() {
	r.t.Helper()
	r.Gateway.Close()
	r.start(r.Parts)
	r.reader, r.recorder = r.Caller(r.reader.Who), r.Caller(r.recorder.Who)
}

func (r *restoration) put(names ...recording.Name) {
	r.t.Helper()
	for _, name := range names {
		if _, err := r.Put(r.t.Context(), r.recorder, told(name, "+49151"+string(name), sound(1, 1000))); err != nil {
			r.t.Fatal(err)
		}
	}
}

// erase erases a recording, or a subject, and waits until that is effective.
func (r *restoration) erase(what gateway.ErasureRequest) {
	r.t.Helper()
	what.Reason = "asked for"
	info, err := r.EraseFor(r.t.Context(), r.Operator(), "acme", what)
	if err != nil {
		r.t.Fatal(err)
	}
	until(r.t, "the erasure is effective", func() bool {
		now, err := r.Erasure(r.t.Context(), r.Operator(), info.ID)
		return err == nil && now.State == "effective"
	})
}

func (r *restoration) eraseName(name recording.Name) {
	r.t.Helper()
	r.erase(gateway.ErasureRequest{Recording: gateway.Erasure{Bucket: calls, Name: name, All: true}})
}

func (r *restoration) tenant() catalog.Tenant {
	r.t.Helper()
	row, err := r.Catalog.TenantByName(r.t.Context(), "acme")
	if err != nil {
		r.t.Fatal(err)
	}
	return row
}

func (r *restoration) head() keytree.Head {
	r.t.Helper()
	h, err := keytree.ParseHead(r.tenant().Head)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// unwrap opens the root of an epoch, as whoever holds the store's blobs would.
func (r *restoration) unwrap(h keytree.Head) (*keytree.Keys, error) {
	keys, err := keytree.Unwrap(r.t.Context(), r.Keys, keytree.InStore(r.Blobs), h)
	if err == nil {
		r.t.Cleanup(keys.Clear)
	}
	return keys, err
}

func (r *restoration) slotKey(h keytree.Head, s catalog.Slot) (keytree.Key, error) {
	r.t.Helper()
	keys, err := r.unwrap(h)
	if err != nil {
		r.t.Fatal(err)
	}
	return keys.Slot(r.t.Context(), keytree.Tree(s.Tree), uint64(s.Number))
}

func (r *restoration) recover(how epochs.Recovery) gateway.RecoveredTenant {
	r.t.Helper()
	return r.recoverWith(r.Keys, r.Blobs, how)
}

func (r *restoration) recoverWith(keys keytree.Provider, blobs blob.Store, how epochs.Recovery) gateway.RecoveredTenant {
	r.t.Helper()
	var all []gateway.RecoveredTenant
	until(r.t, "the server's eraser has looked at the tenant", func() (free bool) {
		var err error
		all, err = gateway.RecoverVault(r.t.Context(), gateway.VaultRecovery{
			Blobs: blobs, Catalog: r.Catalog, Keys: keys, Signer: r.signer, Logger: slog.New(slog.DiscardHandler), How: how,
		})
		if err != nil || len(all) != 1 {
			r.t.Fatalf("recovered %d tenants: %v", len(all), err)
		}
		return !errors.Is(all[0].Err, epochs.ErrDriven)
	})
	return all[0]
}

// refused checks that nobody is let in, nothing is changed, and the log says what to do.
func (r *restoration) refused(name recording.Name) {
	r.t.Helper()
	for _, c := range []gateway.Caller{r.reader, r.recorder} {
		if _, err := r.Credential(r.t.Context(), c.Who); !errors.Is(err, recording.ErrIncident) {
			r.t.Errorf("Credential: %v, want ErrIncident", err)
		}
	}
	if err := r.CreateBucket(r.t.Context(), r.Operator(), "acme", gateway.BucketSettings{Name: "late"}); !errors.Is(err, recording.ErrIncident) {
		r.t.Errorf("CreateBucket: %v, want ErrIncident", err)
	}
	what := gateway.ErasureRequest{Recording: gateway.Erasure{Bucket: calls, Name: name}, Reason: "asked for"}
	if _, err := r.EraseFor(r.t.Context(), r.Operator(), "acme", what); !errors.Is(err, recording.ErrIncident) {
		r.t.Errorf("EraseFor: %v, want ErrIncident", err)
	}
	if !strings.Contains(r.Log.String(), "lethe recover vault") {
		r.t.Error("the log does not say what to do")
	}
}

// plays checks that recordings are served, and others are not.
func (r *restoration) plays(live, gone []recording.Name) {
	r.t.Helper()
	for _, name := range live {
		if got := read(r.t, r.Fixture, r.reader, name); string(got) != string(sound(1, 1000)) {
			r.t.Errorf("%s plays %d other bytes", name, len(got))
		}
	}
	for _, name := range gone {
		if _, err := r.Open(r.t.Context(), r.reader, calls, name); !errors.Is(err, recording.ErrNotFound) {
			r.t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

// Whoever restores the provider, and holds copies of all else, opens what was erased
// since: that is the stated exception. The gateway refuses the tenant; recovered, what
// was erased is gone again, and all else plays, what was recorded since included.
func TestRecoverVault(t *testing.T) { overRestorables(t, testRecoverVault) }

func testRecoverVault(t *testing.T, of restorable) {
	r := restoring(t, of)
	r.put("before", "erased-before")
	r.eraseName("erased-before")
	r.put("one", "two", "three")
	old := r.head()
	putBack := r.copy(t)
	r.eraseName("one")
	r.erase(gateway.ErasureRequest{Subject: "+49151two"})
	r.put("since", "gone-since")
	r.eraseName("gone-since")
	lost := r.head()
	if lost.Epoch != old.Epoch+3 {
		t.Fatalf("epoch %d after %d", lost.Epoch, old.Epoch)
	}
	punctured, err := r.Catalog.PuncturedSince(t.Context(), r.tenant().ID, int64(old.Epoch))
	if err != nil || len(punctured) != 3 {
		t.Fatalf("punctured %v: %v", punctured, err)
	}
	survivor := catalog.Slot{Tree: catalog.TreeRecordings, Number: 900}
	want, err := r.slotKey(lost, survivor)
	if err != nil {
		t.Fatal(err)
	}
	r.Gateway.Close()
	putBack()
	if _, err := r.unwrap(lost); err == nil {
		t.Fatal("the newest head opens at an older provider")
	}
	for _, slot := range punctured {
		if _, err := r.slotKey(old, slot.Slot); err != nil {
			t.Errorf("the exception: %v under the old root: %v", slot, err)
		}
	}

	r.start(r.Parts)
	r.refused("before")
	time.Sleep(1200 * time.Millisecond) // in which an eraser looks
	if has, err := r.Keys.Versions(t.Context(), keytree.RootOf(old.Tenant)); err != nil || has.Latest != old.Version {
		t.Errorf("the refused tenant's root has versions %+v: %v", has, err)
	}
	dry := r.recover(epochs.Recovery{DryRun: true})
	if dry.State != gateway.RecoveryRestored || dry.Slots != 3 || dry.Unproved != 0 || dry.Head != 0 || dry.Err != nil {
		t.Errorf("dry run: %+v", dry)
	}
	r.refused("before")

	if got := r.recover(epochs.Recovery{}); got.Err != nil || got.Head != lost.Epoch+1 || got.Opens != old.Epoch || got.Slots != 3 || got.Records != 4 {
		t.Fatalf("recovered: %+v", got)
	}
	head := r.head()
	if head.Version != lost.Version+1 {
		t.Errorf("the new head is wrapped under version %d, which is not above %d", head.Version, lost.Version)
	}
	for _, h := range []keytree.Head{old, lost} {
		if _, err := r.unwrap(h); !errors.Is(err, keytree.ErrForgotten) {
			t.Errorf("the root of epoch %d: %v, want ErrForgotten", h.Epoch, err)
		}
	}
	for _, slot := range punctured {
		if _, err := r.slotKey(head, slot.Slot); !errors.Is(err, keytree.ErrPunctured) {
			t.Errorf("%v: %v, want ErrPunctured", slot, err)
		}
	}
	if got, err := r.slotKey(head, survivor); err != nil || !got.Equal(want) {
		t.Errorf("the key of what was recorded since is another: %v", err)
	}
	r.reader, r.recorder = r.Caller(r.reader.Who), r.Caller(r.recorder.Who)
	live, gone := []recording.Name{"before", "three", "since"}, []recording.Name{"erased-before", "one", "two", "gone-since"}
	r.plays(live, gone)
	if again := r.recover(epochs.Recovery{}); again.State != gateway.RecoveryWhole || again.Head != 0 {
		t.Errorf("once more: %+v", again)
	}
	r.put("later")
	r.eraseName("later") // epochs go on
	r.restart()
	r.plays(live, append(gone, "later"))
}

// Versions that were destroyed and are there again are destroyed again by an eraser
// that looks, since the newest head opens. An epoch under way is no such case.
func TestRetiredAgain(t *testing.T) { overRestorables(t, testRetiredAgain) }

func testRetiredAgain(t *testing.T, of restorable) {
	r := restoring(t, of)
	r.put("kept", "gone")
	old := r.head()
	if _, err := r.Keys.Rotate(t.Context(), keytree.RootOf(old.Tenant)); err != nil {
		t.Fatal(err)
	}
	putBack := r.copy(t) // which has the version that the next epoch uses, and the one before
	r.eraseName("gone")
	if _, err := r.unwrap(old); !errors.Is(err, keytree.ErrForgotten) {
		t.Fatalf("the root before: %v, want ErrForgotten", err)
	}
	r.restart()
	if r.Stats().Epochs.Revived != 0 {
		t.Error("versions were said to be there again")
	}
	r.Gateway.Close()
	putBack()
	if _, err := r.unwrap(old); err != nil {
		t.Fatalf("the exception: %v", err)
	}
	if dry := r.recover(epochs.Recovery{DryRun: true}); dry.State != gateway.RecoveryRevived || dry.Err != nil {
		t.Errorf("dry run: %+v", dry)
	}
	r.start(r.Parts)
	r.reader, r.recorder = r.Caller(r.reader.Who), r.Caller(r.recorder.Who)
	until(t, "the root before is gone again", func() bool {
		_, err := r.unwrap(old)
		return errors.Is(err, keytree.ErrForgotten)
	})
	until(t, "it was counted", func() bool { return r.Stats().Epochs.Revived == 1 })
	if !strings.Contains(r.Log.String(), "restored from a copy") {
		t.Error("the log does not say so")
	}
	if n := allowed(events(t, r.Fixture, r.reader, "keys.retire-again")); n != 1 {
		t.Errorf("%d events", n)
	}
	r.plays([]recording.Name{"kept"}, []recording.Name{"gone"})
	r.Gateway.Close()
	putBack()
	if got := r.recover(epochs.Recovery{}); got.State != gateway.RecoveryRevived || got.Err != nil {
		t.Errorf("recovered: %+v", got)
	}
	if _, err := r.unwrap(old); !errors.Is(err, keytree.ErrForgotten) {
		t.Errorf("the root before: %v, want ErrForgotten", err)
	}
}

// After it was put back, the provider was rotated to where it had been: versions of the
// same numbers are other keys. The tenant is refused, none of them is destroyed in
// the name of the head, and it is recovered in the same way.
func TestRotatedAnew(t *testing.T) { overRestorables(t, testRotatedAnew) }

func testRotatedAnew(t *testing.T, of restorable) {
	r := restoring(t, of)
	r.put("kept", "gone")
	old := r.head()
	putBack := r.copy(t)
	r.eraseName("gone")
	lost := r.head()
	r.Gateway.Close()
	putBack()
	root := keytree.RootOf(old.Tenant)
	for range 2 { // to a version that an epoch would take next
		if _, err := r.Keys.Rotate(t.Context(), root); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.unwrap(lost); !errors.Is(err, keytree.ErrBind) {
		t.Fatalf("the newest head: %v, want ErrBind", err)
	}
	r.start(r.Parts)
	r.refused("kept")
	until(t, "an eraser has looked", func() bool {
		return strings.Contains(r.Log.String(), "does not have a tenant's root as it should")
	})
	if has, err := r.Keys.Versions(t.Context(), root); err != nil || has.Oldest != old.Version {
		t.Fatalf("the refused tenant's root has versions %+v: %v", has, err)
	}
	if got := r.recover(epochs.Recovery{}); got.Err != nil || got.Head != lost.Epoch+1 || got.Slots != 1 {
		t.Fatalf("recovered: %+v", got)
	}
	r.reader = r.Caller(r.reader.Who)
	r.plays([]recording.Name{"kept"}, []recording.Name{"gone"})
	if _, err := r.unwrap(old); !errors.Is(err, keytree.ErrForgotten) {
		t.Errorf("the old root: %v, want ErrForgotten", err)
	}
}
