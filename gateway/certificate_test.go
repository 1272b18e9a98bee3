package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	epochs "github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// certificate drives erasures to their certificates, and gives that of one.
func certificate(t *testing.T, f *gatewaytest.Fixture, id recording.ErasureID) *claim.Erasure {
	t.Helper()
	acme, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	var info gateway.ErasureInfo
	until(t, "the certificate", func() bool { // another may drive the tenant just now
		if err := f.CertifyNow(t.Context(), acme.ID); err != nil {
			t.Fatal(err)
		}
		info, err = f.Erasure(t.Context(), f.Operator(), id)
		return err == nil && info.State == "certified"
	})
	e, err := f.CertificateKey().Verify(info.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// An eraser that is killed when it has destroyed the old versions, and has not noted
// it, finds them gone when it goes on; and perhaps it had come several epochs further.
func TestErasureIsCertifiedWhoseEndWasNotNoted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var first, second recording.ErasureID
	t.Run("queued", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front, gateway.Eraser))
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		put(t, f, recorder, "first", sound(1, 1000))
		put(t, f, recorder, "second", sound(2, 1000))
	})
	t.Run("asked", func(t *testing.T) { first = erase(t, gatewaytest.In(t, dir, only(gateway.Front)), "first") })
	copied := copyCatalog(t, dir)
	t.Run("destroyed", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		effective(t, f, first)
		second = erase(t, f, "second")
		effective(t, f, second)
	})
	putBack(t, copied, dir)
	t.Run("certified", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		for _, id := range []recording.ErasureID{first, second} {
			k := certificate(t, f, id).Epochs[0].Key
			if k.OldestBefore <= k.Before || k.OldestAfter <= k.Before {
				t.Errorf("versions %+v: the old one was gone when the provider was asked", k)
			}
		}
	})
}

// A certificate comes before the sweep that erases the rows below a subject or a day,
// and counts those all the same.
func TestCertificateCountsWhatIsNotSettled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := gatewaytest.In(t, dir, only(gateway.Front, gateway.Eraser))
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90, Overwrite: gateway.OverwriteVersion})
	for i, of := range []string{"+4930111", "+4930111", "+4930222, +4930111", "+4930333", "+4930333"} {
		putTold(t, f, recorder, recording.Name(strings.Repeat("x", 1+i/2)), of, sound(uint64(i), 100))
	}
	subject := eraseSubject(t, f, "+4930111")
	effective(t, f, subject)
	if n := certificate(t, f, subject).Counts.Unreadable; n != 3 {
		t.Errorf("of the subject: %d versions, want 3", n)
	}
	if _, err := f.SweepOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	day := recording.RetentionDay{Days: 90, Expires: time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 91)}
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Day: day, Reason: "asked for"})
	if err != nil {
		t.Fatal(err)
	}
	effective(t, f, info.ID)
	if n := certificate(t, f, info.ID).Counts.Unreadable; n != 2 {
		t.Errorf("of the day: %d versions, want 2", n)
	}
}

// tenantCertificate asks again for the erasure of a tenant that is erased, and gives its
// certificate, which catalog and store have alike and whose scope the salt opens.
func tenantCertificate(t *testing.T, f *gatewaytest.Fixture, name string, salt claim.Salt) *claim.Erasure {
	t.Helper()
	in, err := f.EraseTenant(t.Context(), f.Operator(), name, "asked again")
	if err != nil || in.State != "erased" || in.Erasure.State != "certified" || in.Erasure.Salt != (claim.Salt{}) {
		t.Fatalf("EraseTenant of an erased tenant = %+v, %v", in, err)
	}
	e, err := f.CertificateKey().Verify(in.Erasure.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if e.Scope.Kind != claim.OfTenant || e.Tenant != in.ID.String() || e.Request != (claim.Request{Requester: "owner", Reason: "asked for"}) {
		t.Errorf("the certificate is of %+v", e)
	}
	if err := e.Scope.OpenCommitment(salt, claim.Scope{Kind: claim.OfTenant, Tenant: in.ID.String()}); err != nil {
		t.Error(err)
	}
	body, err := f.Blobs.Open(t.Context(), epochs.CertificateKey(in.ID, in.Erasure.ID), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if stored, err := io.ReadAll(body); err != nil || !bytes.Equal(stored, in.Erasure.Certificate) {
		t.Errorf("the store has another certificate: %s, %v", stored, err)
	}
	if listed, _, err := f.Erasures(t.Context(), f.Operator(), name, recording.ErasureID{}, 1); err != nil || len(listed) != 1 || listed[0].ID != in.Erasure.ID {
		t.Errorf("the tenant's erasures are %+v, %v", listed, err)
	}
	return e
}

// A tenant's certificate outlives the catalog, be that lost before the certificate was
// made or after; what it says of the request outlives the tenant's keys in clear.
func TestTenantCertificateOutlivesTheCatalog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var id recording.Tenant
	var salt claim.Salt
	timed(t, "erased", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		put(t, f, recorder, "a", nil)
		in, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for")
		if err != nil {
			t.Fatal(err)
		}
		id, salt = in.ID, in.Erasure.Salt
		time.Sleep(10 * time.Second) // its key is destroyed, and it is not certified
	})
	var was *claim.Erasure
	for _, lost := range []string{"before it is certified", "after that", "again"} {
		drop(t, dir)
		if r := rebuild(t, dir); r.TenantsErased != 1 || !r.Complete {
			t.Fatalf("the rebuild did %+v", r)
		}
		timed(t, "lost "+lost, func(t *testing.T) {
			f := gatewaytest.In(t, dir)
			time.Sleep(time.Minute)
			is := tenantCertificate(t, f, id.String(), salt)
			if is.Counts.Unreadable != 1 || was != nil && !reflect.DeepEqual(is, was) {
				t.Errorf("the certificate says %+v, and said %+v", is, was)
			}
			was = is
		})
	}
}

// timed runs a part of a test in time that passes at once.
func timed(t *testing.T, name string, part func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, part) })
}

// Of two records in the store that say who asked, the one that the journal has counts:
// before anything is destroyed, another is found out.
func TestForgedTenantRecordIsAnIncident(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	f.Tenant("acme")
	row, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	id := row.ID
	forged := `{"at":"2026-01-01T00:00:00Z","refused":"2026-01-01T00:00:00Z","who":"owner","reason":"forged","commitment":"","oldest":1}`
	if err := f.Blobs.Create(t.Context(), epochs.EndingKey(id, recording.ErasureOf(id)), strings.NewReader(forged), int64(len(forged))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for"); err != nil {
		t.Fatal(err)
	}
	until(t, "the alarm", func() bool { return strings.Contains(f.Log.String(), "is not ours, or of another request") })
	if _, err := f.Keys.Versions(t.Context(), keytree.RootOf(id)); err != nil {
		t.Errorf("the tenant's key: %v", err)
	}
	if err := f.Blobs.Delete(t.Context(), epochs.EndingKey(id, recording.ErasureOf(id))); err != nil {
		t.Fatal(err)
	}
	until(t, "the destruction", func() bool {
		_, err := f.Keys.Versions(t.Context(), keytree.RootOf(id))
		return errors.Is(err, keytree.ErrForgotten)
	})
}

// stored gives the certificates that the store has of an erasure: the first and the second.
func stored(t *testing.T, f *gatewaytest.Fixture, of recording.Tenant, id recording.ErasureID) (both [2][]byte) {
	t.Helper()
	for i, key := range []string{epochs.CertificateKey(of, id), epochs.UnlinkableKey(of, id)} {
		body, err := f.Blobs.Open(t.Context(), key, 0, -1)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			both[i], err = io.ReadAll(body)
			body.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return both
}

// Once its generation of blind indexes is forgotten, an erasure gets a second certificate,
// that says so; the first stays. An eraser that was killed between store and catalog goes
// on with what it finds, and a rebuild gives the second.
func TestUnlinkableIsCertified(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var id recording.ErasureID
	var was, is *claim.Erasure
	var both [2][]byte
	t.Run("certified", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front, gateway.Eraser), gateway.Announce(shortly))
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, "", "a", "b")
		id = erase(t, f, "a")
		effective(t, f, id)
		was = certificate(t, f, id)
		if both = stored(t, f, recorder.Tenant, id); both[0] == nil || both[1] != nil || was.Replaces != "" || !was.Dates.Unlinkable.IsZero() {
			t.Errorf("before that the certificate is %+v", was)
		}
		began := time.Now()
		reindex(t, f, "acme")
		if is = certificate(t, f, id); is.Replaces != was.Sum() || is.Dates.Unlinkable.Before(began) || is.Issued.Before(is.Dates.Unlinkable) {
			t.Errorf("the certificate is %+v", is)
		}
		first := both[0]
		if both = stored(t, f, recorder.Tenant, id); !bytes.Equal(both[0], first) || both[1] == nil {
			t.Errorf("the store has %q, and had %q", both, first)
		}
	})
	t.Run("killed before the catalog followed", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		acme, err := f.Catalog.TenantByName(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		row, err := f.Catalog.Erasure(t.Context(), acme.ID, id)
		if err != nil || !bytes.Equal(row.Certificate, both[1]) {
			t.Fatalf("the catalog has %q, %v", row.Certificate, err)
		}
		execute(t, f.Dir, `UPDATE erasures SET unlinkable_at = NULL, certificate = ?`, both[0])
		if now := certificate(t, f, id); !reflect.DeepEqual(now, is) {
			t.Errorf("the certificate is %+v, and was %+v", now, is)
		}
	})
	drop(t, dir)
	if r := rebuild(t, dir); !r.Complete || r.Erasures != 1 {
		t.Fatalf("the rebuild did %+v", r)
	}
	t.Run("rebuilt", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		if now := certificate(t, f, id); !reflect.DeepEqual(now, is) {
			t.Errorf("the certificate is %+v, and was %+v", now, is)
		}
	})
}

// signedBy has a gateway sign with a key of its own, which follows others.
func signedBy(t *testing.T, key []byte, older ...string) func(*gateway.Config) {
	s, err := claim.NewSigner(claim.Config{
		Key: key, Program: claim.Program{Name: "lethe", Version: "test"}, Provider: claim.Local, Older: older,
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *gateway.Config) { c.Signer = s }
}

// Erasers with different keys do not sign beside each other; one that is told to follow
// does, takes what the older has signed for its own, and the older signs no more.
func TestOneKeySignsCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := claim.NewKey(), claim.NewKey()
	var older string
	asked := map[string]recording.ErasureID{}
	ask := func(t *testing.T, f *gatewaytest.Fixture, name recording.Name) {
		asked[string(name)] = erase(t, f, name)
		effective(t, f, asked[string(name)])
	}
	t.Run("the first", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front, gateway.Eraser), signedBy(t, bytes.Clone(first)))
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, "", "a", "b", "c")
		ask(t, f, "a")
		certificate(t, f, asked["a"])
		ask(t, f, "b")
		older = f.CertificateKey().ID()
	})
	refused := func(name string, key []byte) {
		t.Run(name, func(t *testing.T) {
			f := gatewaytest.In(t, dir, only(gateway.Front, gateway.Eraser), signedBy(t, bytes.Clone(key)))
			acme, err := f.Catalog.TenantByName(t.Context(), "acme")
			if err != nil {
				t.Fatal(err)
			}
			until(t, "the alarm", func() bool { return strings.Contains(f.Log.String(), "erasures get no certificates yet") })
			until(t, "the refusal", func() bool { // another may drive the tenant just now
				err = f.CertifyNow(t.Context(), acme.ID)
				return err != nil
			})
			if !errors.Is(err, epochs.ErrOtherSigner) || !strings.Contains(err.Error(), "certificates.older-keys") {
				t.Errorf("CertifyNow = %v, want ErrOtherSigner", err)
			}
		})
	}
	refused("another", second)
	t.Run("another that follows", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front, gateway.Eraser), gateway.Announce(shortly), signedBy(t, bytes.Clone(second), older))
		certificate(t, f, asked["b"])
		a := asked["a"]
		execute(t, f.Dir, `UPDATE erasures SET state = 'effective', certificate = NULL WHERE id = ?`, a[:])
		acme, err := f.Catalog.TenantByName(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the older certificate", func() bool {
			if err := f.CertifyNow(t.Context(), acme.ID); err != nil {
				t.Fatal(err)
			}
			info, err := f.Erasure(t.Context(), f.Operator(), asked["a"])
			return err == nil && info.State == "certified" && strings.Contains(string(info.Certificate), older)
		})
		reindex(t, f, "acme")
		if e := certificate(t, f, asked["a"]); e.Replaces == "" { // by the key in use
			t.Errorf("the certificate is %+v", e)
		}
		ask(t, f, "c")
	})
	refused("the older again", first)
}

// Erasures that cannot be certified, however many, hold up none that was asked for later.
func TestCertificatesThatFailHoldUpNoOther(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "gone")
	id := erase(t, f, "gone")
	effective(t, f, id)
	execute(t, f.Dir, `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1200)
		INSERT INTO erasures (id, tenant, scope, state, who, reason, commitment, asked_at, base, record, recorded, versions, refiled, epoch, generation)
		SELECT randomblob(16), tenant, scope, 'effective', who, reason, commitment, asked_at - n, base, record, TRUE, 1, 0, epoch, generation
		FROM s, erasures WHERE id = ?`, id[:]) // of which nobody knows what punctured them
	until(t, "certified", func() bool {
		err := f.CertifyNow(t.Context(), tenantOf(t, f).ID)
		info, unknown := f.Erasure(t.Context(), f.Operator(), id)
		if unknown != nil {
			t.Fatal(unknown)
		}
		return info.State == "certified" && err != nil // of the others
	})
}

// Whoever writes the catalog has nothing certified that lives: rows that say that its key
// was destroyed are seen to be wrong, and it is destroyed then.
func TestForgedPunctureIsNotCertified(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "first", "second")
	second := versionOf(t, f, reader, "second")
	effective(t, f, erase(t, f, "first"))
	f.Gateway.Close()
	id := erase(t, gatewaytest.On(t, f.Parts, only(gateway.Front)), "second")
	execute(t, f.Dir, `UPDATE punctures SET epoch = 1 WHERE erasure = ?`, id[:])
	execute(t, f.Dir, `UPDATE erasures SET state = 'effective', epoch = 1 WHERE id = ?`, id[:])
	g := gatewaytest.On(t, f.Parts, only(gateway.Front, gateway.Eraser))
	until(t, "certified", func() bool {
		_ = g.CertifyNow(t.Context(), tenantOf(t, g).ID) // which finds it
		info, err := g.Erasure(t.Context(), g.Operator(), id)
		return err == nil && info.State == "certified"
	})
	wantGone(t, g, "what was certified", second)
	if e := certificate(t, g, id); len(e.Epochs) != 1 || e.Epochs[0].After != tenantOf(t, g).Epoch || e.Epochs[0].After == 1 {
		t.Errorf("certified by %+v", e.Epochs)
	}
}

// What is no key in the place of one that signs keeps nobody from signing.
func TestForgedSignerIsPassedOver(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "gone", "later")
	certificate(t, f, erase(t, f, "gone"))
	if err := f.Blobs.Create(t.Context(), "signers/00000002", strings.NewReader("no key"), 6); err != nil {
		t.Fatal(err)
	}
	f.Gateway.Close()
	g := gatewaytest.On(t, f.Parts)
	certificate(t, g, erase(t, g, "later"))
	if !strings.Contains(g.Log.String(), "signers/00000002") {
		t.Error("nobody is told of it")
	}
}
