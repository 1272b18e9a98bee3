package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

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

// Whoever writes to the store plants what an erased tenant has of an erasure that is
// another's, and open: that is restored all the same.
func TestPlantedErasureKeepsNoneFromBeingRestored(t *testing.T) {
	for name, planted := range map[string]struct {
		key  func(recording.Tenant, recording.ErasureID) string
		told func(of recording.Tenant, id recording.ErasureID) any
	}{
		"certificate": {epochs.CertificateKey, func(of recording.Tenant, id recording.ErasureID) any {
			return map[string]any{"id": id.String(), "tenant": of.String(), "request": map[string]string{"requester": "x", "reason": "forged"}}
		}},
		"ending": {epochs.EndingKey, func(of recording.Tenant, id recording.ErasureID) any {
			return epochs.Ending{Tenant: of, ID: id, Scope: "recording", Who: "x", Reason: "forged", Commitment: []byte{}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var erased recording.Tenant
			timed(t, "one erased", func(t *testing.T) {
				f := gatewaytest.In(t, dir)
				_, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
				erased = reader.Tenant
				if _, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				recorder, _ := f.Pair("other", gateway.BucketSettings{Name: calls})
				mustPut(t, f, recorder, "", "x")
			})
			var id recording.ErasureID
			timed(t, "planted", func(t *testing.T) {
				f := gatewaytest.In(t, dir, only(gateway.Front))
				info, err := f.EraseFor(t.Context(), f.Operator(), "other", ofRecording("x"))
				if err != nil {
					t.Fatal(err)
				}
				id = info.ID
				told, err := json.Marshal(planted.told(erased, id))
				if err != nil {
					t.Fatal(err)
				}
				signed, err := json.Marshal(map[string]any{"payload": told})
				if err == nil {
					err = f.Blobs.Create(t.Context(), planted.key(erased, id), strings.NewReader(string(signed)), int64(len(signed)))
				}
				if err != nil {
					t.Fatal(err)
				}
			})
			drop(t, dir)
			if r := rebuild(t, dir); !r.Complete {
				t.Errorf("the rebuild did %+v", r)
			}
			timed(t, "rebuilt", func(t *testing.T) {
				f := gatewaytest.In(t, dir)
				time.Sleep(2 * time.Minute)
				info, err := f.Erasure(t.Context(), f.Operator(), id)
				if err != nil || info.State != "certified" || info.Reason == "forged" {
					t.Errorf("the erasure is %+v, %v", info, err)
				}
			})
		})
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
