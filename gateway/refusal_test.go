package gateway_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// Every refusal is in the log, whatever refuses.
func TestEveryRefusalIsLogged(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	admin := f.Tenant("acme")
	f.Bucket("acme", gateway.BucketSettings{Name: calls})
	key, _ := f.Key("acme", gateway.NewKey{Kind: policy.Reader, Bucket: policy.AnyBucket, Write: true})
	reader := f.Caller(key)
	type call func() error
	expect := func(action, reason string, want error, do call) {
		t.Helper()
		if err := do(); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", action, err, want)
		}
		for _, e := range events(t, f, admin, action) {
			if e.Outcome == audit.Denied && e.Reason == reason {
				return
			}
		}
		t.Errorf("no event says that %s was refused for %s", action, reason)
	}
	put := func(u gateway.Upload) call {
		return func() error { _, err := f.Put(t.Context(), reader, u); return err }
	}
	expect("open", "no-bucket", recording.ErrNoBucket, func() error { _, err := f.Open(t.Context(), reader, "guess", "a"); return err })
	expect("stat", "no-bucket", recording.ErrNoBucket, func() error { _, err := f.Stat(t.Context(), reader, "guess", "a"); return err })
	expect("list", "no-bucket", recording.ErrNoBucket, func() error {
		_, err := f.List(t.Context(), reader, "guess", gateway.Page{Max: 1})
		return err
	})
	expect("bucket.see", "no-bucket", recording.ErrNoBucket, func() error { _, err := f.Gateway.Bucket(t.Context(), reader, "guess"); return err })
	expect("put", "no-bucket", recording.ErrNoBucket, put(gatewaytest.Upload("guess", "a", nil)))
	huge := gatewaytest.Upload(calls, "a", nil)
	huge.Size = recording.MaxSize + 1
	expect("put", "too-large", recording.ErrTooLarge, put(huge))
	if _, err := f.RevokeTenant(t.Context(), admin, "acme"); err != nil {
		t.Fatal(err)
	}
	expect("authenticate", "tenant-revoked", recording.ErrTenantRevoked, func() error { _, err := f.Credential(t.Context(), key); return err })
}

// What is let through is in the log too, even what changes nothing.
func TestEveryGrantIsLogged(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	admin := f.Tenant("acme")
	f.Bucket("acme", gateway.BucketSettings{Name: calls})
	key, _ := f.Key("acme", gateway.NewKey{Kind: policy.Recorder, Bucket: string(calls)})
	for action, do := range map[string]func() error{
		"bucket.see":     func() error { _, err := f.Gateway.Bucket(t.Context(), f.Caller(key), calls); return err },
		"tenant.see":     func() error { _, err := f.Tenants(t.Context(), admin); return err },
		"tenant.restore": func() error { _, err := f.RestoreTenant(t.Context(), admin, "acme"); return err },
	} {
		mend := breakLog(t, f)
		if err := do(); err == nil {
			t.Errorf("%s was let through while the log cannot be written", action)
		}
		mend()
		if err := do(); err != nil {
			t.Errorf("%s: %v", action, err)
		}
		if n := allowed(events(t, f, admin, action)); n != 1 {
			t.Errorf("%d events of %s, want 1", n, action)
		}
	}
}

// A client's name for itself is its own choice, in every request another.
func TestLongAgentIsCut(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", nil)); err != nil {
		t.Fatal(err)
	}
	reader.Agent = strings.Repeat("é", 8<<10)
	if _, err := f.Open(t.Context(), reader, calls, "a"); err != nil {
		t.Fatal(err)
	}
	if e := f.Unseal(events(t, f, reader, "open")[0]); len(e.Detail.Agent) > 256 || !strings.HasPrefix(reader.Agent, e.Detail.Agent) {
		t.Errorf("%d bytes of an agent are kept", len(e.Detail.Agent))
	}
}

// What fails says nothing of what it failed on.
func TestErrorsQuoteNothingPersonal(t *testing.T) {
	t.Parallel()
	const canary = "Zaphod-Beeblebrox"
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	name := recording.Name(canary + "/" + canary)
	upload := func(b recording.Bucket) gateway.Upload {
		u := gatewaytest.Upload(b, name, sound(1, 1000))
		u.Metadata = map[string]string{"lethe-subject": canary, "note": canary}
		u.ContentType = canary
		return u
	}
	reader.Agent, reader.From, reader.Purpose = canary, canary, canary
	var said []string
	note := func(_ any, err error) {
		if err != nil {
			said = append(said, err.Error())
		}
	}
	note(f.Put(t.Context(), recorder, upload("elsewhere")))
	note(f.Open(t.Context(), reader, calls, name))
	broken := faultyStore{f.Blobs, func(string) error { return blob.ErrUnavailable }}
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: broken, Catalog: f.Catalog, Keys: f.Keys})
	note(g.Put(t.Context(), recorder, upload(calls)))
	mend := breakLog(t, f)
	note(f.Put(t.Context(), recorder, upload(calls)))
	mend()
	if _, err := f.Put(t.Context(), recorder, upload(calls)); err != nil {
		t.Fatal(err)
	}
	execute(t, f.Dir, `UPDATE versions SET sealed_facts = wrapped_dek`)
	note(f.Open(t.Context(), reader, calls, name))
	note(f.Put(t.Context(), recorder, upload(calls)))
	note(f.List(t.Context(), reader, calls, gateway.Page{Prefix: canary, Max: 1}))
	note(f.List(t.Context(), reader, calls, gateway.Page{Token: canary, Max: 1}))
	_, _, err := f.CreateKey(t.Context(), f.Operator(), "acme", gateway.NewKey{Kind: canary, Bucket: canary})
	note(nil, err)
	note(f.Credential(t.Context(), canary))
	if len(said) != 10 {
		t.Errorf("%d failures, want 10: %q", len(said), said)
	}
	for _, s := range append(said, f.Log.String(), g.Log.String()) {
		if strings.Contains(s, "Beeblebrox") {
			t.Errorf("quotes what is personal: %s", s)
		}
	}
	for _, b := range copyCatalog(t, f.Dir) {
		if bytes.Contains(b, []byte("Beeblebrox")) {
			t.Error("what is personal stands in the catalog in clear")
		}
	}
}
