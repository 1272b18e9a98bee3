package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/gateway"
	epochs "github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// An erasure is certified, and then its tenant is erased: a copy of the catalog from
// before knows of the one that it was asked for, and of the other nothing.
func TestCertifiedSinceTheCopy(t *testing.T) {
	dir := t.TempDir()
	var id recording.ErasureID
	timed(t, "put", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, "", "a")
	})
	timed(t, "asked", func(t *testing.T) { id = erase(t, gatewaytest.In(t, dir, only(gateway.Front)), "a") })
	before := copyCatalog(t, dir)
	timed(t, "certified, and the tenant erased", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		time.Sleep(time.Minute)
		if _, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
	})
	putBack(t, before, dir)
	if r := rebuild(t, dir); r.TenantsErased != 1 || !r.Complete {
		t.Errorf("the rebuild did %+v", r)
	}
	timed(t, "rebuilt", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		if info, err := f.Erasure(t.Context(), f.Operator(), id); err != nil || info.State != "certified" || info.Certificate == nil {
			t.Errorf("the erasure is %+v, %v", info, err)
		}
	})
}

// plant writes to the store what nobody has signed.
func plant(t *testing.T, f *gatewaytest.Fixture, key string, told any) {
	t.Helper()
	body, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := json.Marshal(map[string]any{"payload": body})
	if err == nil {
		err = f.Blobs.Create(t.Context(), key, bytes.NewReader(unsigned), int64(len(unsigned)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever writes to the store plants, under an erased tenant, endings and certificates of
// erasures that never were, or are others': none is believed, and none is in the way.
func TestPlantedErasuresAreNotRestored(t *testing.T) {
	dir := t.TempDir()
	var gone [2]recording.Tenant // in the order of a rebuild
	var genuine [2]recording.ErasureID
	var open, never recording.ErasureID
	var other recording.Tenant
	timed(t, "two erased", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		for i, name := range []string{"acme", "zenith"} {
			recorder, _ := f.Pair(name, gateway.BucketSettings{Name: calls})
			mustPut(t, f, recorder, "", "a")
			info, err := f.EraseFor(t.Context(), f.Operator(), name, ofRecording("a"))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if _, err := f.EraseTenant(t.Context(), f.Operator(), name, "asked for"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
			gone[i], genuine[i] = recorder.Tenant, info.ID
		}
		if gone[1].String() < gone[0].String() {
			gone[0], gone[1], genuine[0], genuine[1] = gone[1], gone[0], genuine[1], genuine[0]
		}
		recorder, _ := f.Pair("other", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, "", "x")
		other = recorder.Tenant
	})
	planted := 0
	timed(t, "planted", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		info, err := f.EraseFor(t.Context(), f.Operator(), "other", ofRecording("x"))
		if err != nil {
			t.Fatal(err)
		}
		open, never = info.ID, recording.NewErasureID()
		for _, id := range []recording.ErasureID{open, never, genuine[0], genuine[1], recording.ErasureOf(gone[1]), recording.ErasureOf(other)} {
			plant(t, f, epochs.EndingKey(gone[0], id), epochs.Ending{Tenant: gone[0], ID: id, Scope: "recording", Who: "x", Reason: "forged", Commitment: []byte{}})
			planted++
			if id == genuine[0] { // it has a certificate
				continue
			}
			plant(t, f, epochs.CertificateKey(gone[0], id), map[string]any{"id": id.String(), "tenant": gone[0].String(), "request": map[string]string{"reason": "forged"}})
			planted++
		}
		id := recording.NewErasureID()
		plant(t, f, epochs.EndingKey(gone[0], id), map[string]any{"tenant": gone[0], "id": id, "reason": "forged\x00"})
		planted++
	})
	drop(t, dir)
	if r := rebuild(t, dir); !r.Complete || r.Unknown.Count != int64(planted) {
		t.Errorf("the rebuild did %+v, %d were planted", r, planted)
	}
	timed(t, "rebuilt", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		time.Sleep(time.Minute)
		if _, err := f.EraseTenant(t.Context(), f.Operator(), "other", "asked for"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		of := map[recording.ErasureID]recording.Tenant{open: other, genuine[0]: gone[0], genuine[1]: gone[1]}
		for _, tenant := range append(gone[:], other) {
			of[recording.ErasureOf(tenant)] = tenant
		}
		for id, want := range of {
			info, err := f.Erasure(t.Context(), f.Operator(), id)
			if err != nil || info.Tenant != want || info.State != "certified" || info.Reason == "forged" {
				t.Errorf("the erasure is %+v, %v; want one of %v, certified", info, err, want)
			}
		}
		if info, err := f.Erasure(t.Context(), f.Operator(), never); !errors.Is(err, recording.ErrNoErasure) {
			t.Errorf("what never was is %+v, %v", info, err)
		}
	})
}

// Without the key of certificates nothing of an erased tenant can be told from what was
// planted: it waits for a rebuild that has it.
func TestRebuildNeedsTheKeyOfCertificates(t *testing.T) {
	dir := t.TempDir()
	timed(t, "erased", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		f.Tenant("acme")
		if _, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
	})
	drop(t, dir)
	stranger, err := claim.NewSigner(claim.Config{Key: claim.NewKey(), Program: claim.Program{Name: "lethe", Version: "test"}, Provider: claim.Local})
	if err != nil {
		t.Fatal(err)
	}
	for of, why := range map[*claim.Signer]string{nil: "the role eraser", stranger: "certificates.older-keys"} {
		r, err := rebuildOn(t, dir, func(c *gateway.Config) { c.Signer = of })
		if err != nil || r.Complete || r.TenantsErased != 0 || len(r.Unopened) != 1 || !strings.Contains(r.Unopened[0].Why, why) {
			t.Errorf("the rebuild did %+v, %v", r, err)
		}
	}
	if r := rebuild(t, dir); !r.Complete || r.TenantsErased != 1 || r.Erasures+r.Unknown.Count != 0 {
		t.Errorf("with its own key the rebuild did %+v", r)
	}
}

// What is under way is erased once, though it stays there until it is swept.
func TestUploadIsErasedOnce(t *testing.T) {
	timed(t, "all", func(t *testing.T) {
		f := gatewaytest.New(t)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		d := gateway.Description{Bucket: calls, Name: "u", Metadata: map[string]string{"lethe-subject": fmt.Sprintf("%s,%s", agent, caller)}}
		if _, err := f.CreateUpload(t.Context(), recorder, d); err != nil {
			t.Fatal(err)
		}
		first := eraseSubject(t, f, caller)
		time.Sleep(5 * time.Minute)
		if again := eraseSubject(t, f, caller); again != first {
			t.Errorf("the erasure %v, and again %v", first, again)
		}
		if info, err := f.Erasure(t.Context(), f.Operator(), first); err != nil || info.State != "certified" {
			t.Errorf("the erasure is %+v, %v", info, err)
		}
	})
}
