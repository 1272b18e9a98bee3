package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	epochs "github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// ending is a tenant that is erased while other erasures of it are open.
type ending struct {
	dir    string              // of the server, which is stopped
	before gateway.ErasureInfo // of what was certified when the tenant was there
	tenant gateway.TenantInfo
	asked  map[claim.Scope]gateway.ErasureInfo

	uncounted bool // the catalog was lost when nothing of it had been counted
}

var ofSubject = claim.Scope{Kind: claim.OfSubject, Subject: "+4930111"}

// newEnding has two recordings of a subject and two of nobody. A server of some roles is
// asked to erase the subject, one of the others, and then the tenant, and goes on for a
// time.
func newEnding(t *testing.T, goes time.Duration, roles ...func(*gateway.Config)) *ending {
	t.Helper()
	n := &ending{dir: t.TempDir(), asked: map[claim.Scope]gateway.ErasureInfo{}}
	timed(t, "put", func(t *testing.T) {
		f := gatewaytest.In(t, n.dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		putTold(t, f, recorder, "a", ofSubject.Subject, sound(1, 100))
		putTold(t, f, recorder, "b", ofSubject.Subject, sound(2, 100))
		mustPut(t, f, recorder, "", "c", "d", "before")
		id := erase(t, f, "before")
		time.Sleep(time.Minute)
		var err error
		if n.before, err = f.Erasure(t.Context(), f.Operator(), id); err != nil || n.before.State != "certified" {
			t.Fatalf("an erasure is %+v, %v", n.before, err)
		}
	})
	timed(t, "asked", func(t *testing.T) {
		n.ask(t, gatewaytest.In(t, n.dir, roles...))
		time.Sleep(goes)
	})
	return n
}

func (n *ending) ask(t *testing.T, f *gatewaytest.Fixture) {
	t.Helper()
	for of, what := range map[claim.Scope]gateway.ErasureRequest{
		ofSubject: {Subject: recording.Subject(ofSubject.Subject), Reason: "ticket 17"},
		{Kind: claim.OfRecording, Bucket: string(calls), Name: "c"}: {Recording: ofRecording("c").Recording, Reason: "ticket 18"},
	} {
		var err error
		if n.asked[of], err = f.EraseFor(t.Context(), f.Operator(), "acme", what); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	var err error
	if n.tenant, err = f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for"); err != nil {
		t.Fatal(err)
	}
}

// certified checks that every erasure of the tenant is certified, by the destruction of
// the tenant's key, and gives the certificates.
func (n *ending) certified(t *testing.T, f *gatewaytest.Fixture) (all []*claim.Erasure) {
	t.Helper()
	before, err := f.Erasure(t.Context(), f.Operator(), n.before.ID)
	if err != nil || before.State != "certified" || !bytes.Equal(before.Certificate, n.before.Certificate) || before.Who != n.before.Who ||
		before.Reason != n.before.Reason || before.Scope != n.before.Scope || before.Epoch != n.before.Epoch || before.Versions != 1 {
		t.Errorf("what was certified before is %+v, and was %+v; %v", before, n.before, err)
	}
	for of, asked := range n.asked {
		info, err := f.Erasure(t.Context(), f.Operator(), asked.ID)
		if err != nil || info.State != "certified" {
			t.Fatalf("the erasure of a %s is %+v, %v", of.Kind, info, err)
		}
		e, err := f.CertificateKey().Verify(info.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		want := map[claim.Kind]int64{claim.OfSubject: 2, claim.OfRecording: 1}[of.Kind]
		if n.uncounted && of.Kind == claim.OfSubject { // of what lay below it no row is left
			want = 0
		}
		if e.ID != asked.ID.String() || e.Tenant != n.tenant.ID.String() || e.Counts.Unreadable != want || e.Request != (claim.Request{Requester: "owner", Reason: asked.Reason}) {
			t.Errorf("of a %s the certificate says %+v, want %d versions", of.Kind, e, want)
		}
		if err := e.Scope.OpenCommitment(asked.Salt, of); err != nil {
			t.Error(err)
		}
		if k := e.Epochs[0].Key; len(e.Epochs) != 1 || k.After != 0 ||
			!slices.Contains(e.Verification, claim.Check{Check: claim.KeyAbsent, Answer: claim.Forgotten}) || e.Dates.Unlinkable != e.Dates.Effective {
			t.Errorf("of a %s the certificate says %+v", of.Kind, e)
		}
		if !strings.Contains(e.Text(), "ended with the tenant itself") {
			t.Errorf("nothing says how it ended:\n%s", e.Text())
		}
		all = append(all, e)
	}
	if e := tenantCertificate(t, f, n.name(t, f), n.tenant.Erasure.Salt); e.Counts.Unreadable != 1 {
		t.Errorf("of the tenant the certificate says %+v, want 1 version", e.Counts)
	}
	slices.SortFunc(all, func(a, b *claim.Erasure) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// name is the tenant's: its id, once its journal cannot be read any more.
func (n *ending) name(t *testing.T, f *gatewaytest.Fixture) string {
	row, err := f.Catalog.Tenant(t.Context(), n.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	return row.Name
}

// Erasures that are open when their tenant is erased end with it, and are certified as
// that: whoever was killed between, and whatever was lost of the catalog meanwhile.
func TestErasuresEndWithTheirTenant(t *testing.T) {
	for name, c := range map[string]struct {
		roles []func(*gateway.Config) // of the server that is asked
		goes  time.Duration           // on
		lose  func(*testing.T, string)
	}{
		"goes on":                          {goes: time.Minute},
		"killed":                           {goes: 10 * time.Second}, // the key is destroyed, nothing is certified
		"lost":                             {goes: 10 * time.Second, lose: lost},
		"lost before its key is destroyed": {roles: []func(*gateway.Config){only(gateway.Front)}, lose: lost},
	} {
		t.Run(name, func(t *testing.T) {
			n := newEnding(t, c.goes, c.roles...)
			n.uncounted = c.roles != nil
			if c.lose != nil {
				c.lose(t, n.dir)
			}
			var was []*claim.Erasure
			timed(t, "certified", func(t *testing.T) {
				f := gatewaytest.In(t, n.dir)
				time.Sleep(2 * time.Minute)
				was = n.certified(t, f)
			})
			lost(t, n.dir)
			timed(t, "rebuilt", func(t *testing.T) {
				f := gatewaytest.In(t, n.dir)
				time.Sleep(2 * time.Minute)
				if is := n.certified(t, f); !reflect.DeepEqual(is, was) {
					t.Errorf("the certificates say %+v, and said %+v", is, was)
				}
			})
		})
	}
}

// lost has the catalog lost and rebuilt.
func lost(t *testing.T, dir string) {
	t.Helper()
	drop(t, dir)
	if r := rebuild(t, dir); r.TenantsErased != 1 || r.Erasures != 3 || !r.Complete {
		t.Fatalf("the rebuild did %+v", r)
	}
}

// An erasure that was acknowledged ends with its tenant though the catalog was put back
// to before it, and though the store has beside its record one that is none.
func TestLostErasureEndsWithItsTenant(t *testing.T) {
	dir := t.TempDir()
	timed(t, "put", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, "", "a")
	})
	before := copyCatalog(t, dir)
	var id recording.ErasureID
	timed(t, "asked", func(t *testing.T) { id = erase(t, gatewaytest.In(t, dir, only(gateway.Front)), "a") })
	putBack(t, before, dir)
	timed(t, "the tenant too", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		if _, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for"); err != nil {
			t.Fatal(err)
		}
		acme := tenantOf(t, f)
		none := epochs.RecordKey(acme.ID, acme.Epoch, recording.NewErasureID())
		if err := f.Blobs.Create(t.Context(), none, strings.NewReader("none"), 4); err != nil {
			t.Fatal(err)
		}
	})
	timed(t, "certified", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		time.Sleep(time.Minute)
		info, err := f.Erasure(t.Context(), f.Operator(), id)
		if err != nil || info.State != "certified" {
			t.Fatalf("the erasure is %+v, %v\n%s", info, err, f.Log)
		}
		e, err := f.CertificateKey().Verify(info.Certificate)
		if err != nil || e.Counts.Unreadable != 1 || e.Epochs[0].Key.After != 0 {
			t.Errorf("its certificate says %+v, %v", e, err)
		}
	})
}

// Many more than are certified at a time.
func TestManyErasuresEndWithTheirTenant(t *testing.T) {
	dir := t.TempDir()
	timed(t, "all", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		const many = 210
		for i := range many {
			name := recording.Name(strconv.Itoa(i))
			mustPut(t, f, recorder, "", name)
			if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording(name)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		all, _, err := f.Erasures(t.Context(), f.Operator(), "acme", recording.ErasureID{}, many+2)
		if err != nil || len(all) != many+1 {
			t.Fatalf("%d erasures, %v", len(all), err)
		}
		for _, e := range all {
			if e.State != "certified" || e.Versions == 0 && e.Scope != claim.OfTenant {
				t.Fatalf("one is %+v", e)
			}
		}
	})
}

// Whoever writes the store, or the catalog, has nothing certified with a tenant's
// erasure: not that another asked for it, and nothing that nobody asked for.
func TestForgedEndingIsNotCertified(t *testing.T) {
	for name, forge := range map[string]func(t *testing.T, n *ending, stranger *claim.Signer){
		"the tenant's own": func(t *testing.T, n *ending, stranger *claim.Signer) {
			n.forge(t, stranger, epochs.EndingKey(n.tenant.ID, n.tenant.Erasure.ID))
		},
		"another's": func(t *testing.T, n *ending, stranger *claim.Signer) {
			n.forge(t, stranger, epochs.EndingKey(n.tenant.ID, n.asked[ofSubject].ID))
		},
		"of a request that never was": func(t *testing.T, n *ending, stranger *claim.Signer) {
			n.forge(t, stranger, epochs.EndingKey(n.tenant.ID, recording.NewErasureID()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newEnding(t, 10*time.Second)
			stranger, err := claim.NewSigner(claim.Config{Key: claim.NewKey(), Program: claim.Program{Name: "lethe", Version: "test"}, Provider: claim.Local})
			if err != nil {
				t.Fatal(err)
			}
			forge(t, n, stranger)
			drop(t, n.dir)
			if r := rebuild(t, n.dir); r.TenantsErased != 1 || r.Unknown.Count != 1 || !strings.Contains(r.Unknown.First[0].Why, "is not ours") {
				t.Fatalf("the rebuild did %+v", r)
			}
			timed(t, "not certified", func(t *testing.T) {
				f := gatewaytest.In(t, n.dir)
				time.Sleep(2 * time.Minute)
				all, _, err := f.Erasures(t.Context(), f.Operator(), n.tenant.ID.String(), recording.ErasureID{}, 10)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range all {
					if e.Reason == "forged" {
						t.Errorf("one is %+v", e)
					}
				}
			})
		})
	}
}

// Whoever writes the store has no key destroyed of a tenant that lives, when the catalog
// was lost: not by a head that says erased, nor by the tenant's ending.
func TestForgedEndDestroysNothing(t *testing.T) {
	n := &ending{dir: t.TempDir()}
	timed(t, "put", func(t *testing.T) {
		f := gatewaytest.In(t, n.dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, "", "a")
		n.tenant.ID, n.tenant.Erasure.ID = recorder.Tenant, recording.ErasureOf(recorder.Tenant)
	})
	stranger, err := claim.NewSigner(claim.Config{Key: claim.NewKey(), Program: claim.Program{Name: "lethe", Version: "test"}, Provider: claim.Local})
	if err != nil {
		t.Fatal(err)
	}
	n.forge(t, stranger, epochs.EndingKey(n.tenant.ID, n.tenant.Erasure.ID))
	commitErased(t, n.dir, n.tenant.ID)
	drop(t, n.dir)
	if r := rebuild(t, n.dir); len(r.Unopened) != 1 || r.TenantsErased != 0 {
		t.Errorf("the rebuild did %+v", r)
	}
	timed(t, "served", func(t *testing.T) {
		f := gatewaytest.In(t, n.dir)
		time.Sleep(time.Minute)
		if _, err := f.Keys.Versions(t.Context(), keytree.RootOf(n.tenant.ID)); err != nil {
			t.Errorf("the tenant's key: %v\n%s", err, f.Log)
		}
		if _, err := f.Erasure(t.Context(), f.Operator(), n.tenant.Erasure.ID); !errors.Is(err, recording.ErrNoErasure) {
			t.Errorf("the tenant's erasure: %v", err)
		}
	})
}

// forge puts an ending of a stranger's in the place of one.
func (n *ending) forge(t *testing.T, stranger *claim.Signer, key string) {
	t.Helper()
	id, err := recording.ParseErasureID(key[strings.LastIndex(key, "/")+1:])
	if err != nil {
		id = n.tenant.Erasure.ID
	}
	scope := "subject"
	if id == n.tenant.Erasure.ID {
		scope = "tenant"
	}
	body, err := json.Marshal(epochs.Ending{Tenant: n.tenant.ID, ID: id, Scope: scope, At: time.Now().UTC().Truncate(time.Second), Refused: time.Now(),
		Who: "owner", Reason: "forged", Commitment: bytes.Repeat([]byte{1}, 32), Unreadable: 1, Oldest: 1})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := stranger.Note(body)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := filestore.New(filepath.Join(n.dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	err = errors.Join(blobs.Delete(t.Context(), key), blobs.Create(t.Context(), key, bytes.NewReader(signed), int64(len(signed))))
	if err != nil {
		t.Fatal(err)
	}
}

// Of a row that nobody asked for nothing is certified with the tenant's erasure.
func TestForgedRowDoesNotEndWithItsTenant(t *testing.T) {
	n := newEnding(t, 0, only(gateway.Front))
	asked := n.asked[ofSubject].ID
	timed(t, "erased", func(t *testing.T) {
		execute(t, n.dir, `UPDATE erasures SET reason = 'forged' WHERE id = ?`, asked[:])
		f := gatewaytest.In(t, n.dir)
		time.Sleep(time.Minute)
		info, err := f.Erasure(t.Context(), f.Operator(), asked)
		if err != nil || info.Certificate != nil || !strings.Contains(f.Log.String(), "its sealed record does not ask for it") {
			t.Errorf("the erasure is %+v, %v\n%s", info, err, f.Log)
		}
		tenantCertificate(t, f, "acme", n.tenant.Erasure.Salt)
	})
}

// The admin of an erased tenant has the certificates by the token that they had.
func TestAdminHasTheCertificatesOfAnErasedTenant(t *testing.T) {
	dir := t.TempDir()
	timed(t, "all", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		_, token, err := f.CreateTenant(t.Context(), f.Operator(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		f.Bucket("acme", gateway.BucketSettings{Name: calls})
		in, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for")
		if err != nil {
			t.Fatal(err)
		}
		for _, wait := range []time.Duration{0, time.Minute} {
			time.Sleep(wait)
			admin, err := f.Token(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			info, err := f.Erasure(t.Context(), admin, in.Erasure.ID)
			if err != nil || (info.Certificate != nil) != (wait > 0) {
				t.Errorf("after %v the admin is shown %+v, %v", wait, info, err)
			}
		}
	})
}
