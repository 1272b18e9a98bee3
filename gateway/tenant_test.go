package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

func TestRevokeRefusesAndRestoreUndoesIt(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	content := sound(1, 8<<20)
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", content)); err != nil {
		t.Fatal(err)
	}
	running, err := f.Open(t.Context(), reader, calls, "a")
	if err != nil {
		t.Fatal(err)
	}
	body, err := running.Range(t.Context(), 0, running.Info.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 1<<20)); err != nil {
		t.Fatalf("first bytes of a stream: %v", err)
	}
	if _, err := f.RevokeTenant(t.Context(), f.Operator(), "acme"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(body); !errors.Is(err, recording.ErrTenantRevoked) {
		t.Errorf("running stream: %v, want ErrTenantRevoked", err)
	}
	if _, err := f.Credential(t.Context(), reader.Who); !errors.Is(err, recording.ErrTenantRevoked) {
		t.Errorf("Credential of a revoked tenant: %v, want ErrTenantRevoked", err)
	}
	if _, err := f.Open(t.Context(), reader, calls, "a"); !errors.Is(err, recording.ErrTenantRevoked) {
		t.Errorf("Open by a caller from before: %v, want ErrTenantRevoked", err)
	}
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "b", nil)); !errors.Is(err, recording.ErrTenantRevoked) {
		t.Errorf("Put by a caller from before: %v, want ErrTenantRevoked", err)
	}
	if _, err := f.RestoreTenant(t.Context(), f.Operator(), "acme"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, f, f.Caller(reader.Who), "a"); !bytes.Equal(got, content) {
		t.Error("after restore the recording is another")
	}
}

func TestEraseTenantDestroysItsKey(t *testing.T) {
	t.Parallel() // it waits for leases
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	bystander, other := f.Pair("other", gateway.BucketSettings{Name: calls})
	for _, c := range []gateway.Caller{recorder, bystander} {
		if _, err := f.Put(t.Context(), c, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
	}
	in, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for")
	if err != nil || in.State != "erasing" {
		t.Fatalf("EraseTenant = %q, %v; want erasing", in.State, err)
	}
	if _, err := f.Open(t.Context(), reader, calls, "a"); !errors.Is(err, recording.ErrTenantErased) {
		t.Errorf("Open right after: %v, want ErrTenantErased", err)
	}
	if _, err := f.RestoreTenant(t.Context(), f.Operator(), "acme"); !errors.Is(err, recording.ErrTenantErased) {
		t.Errorf("RestoreTenant of an erased tenant: %v, want ErrTenantErased", err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		in, err := f.Gateway.Tenant(t.Context(), f.Operator(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if in.State == "erased" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("tenant is %q after a minute\n%s", in.State, f.Log)
		}
	}
	if got := read(t, f, other, "a"); !bytes.Equal(got, sound(1, 1000)) {
		t.Error("another tenant's recording was harmed")
	}
	e := tenantCertificate(t, f, "acme", in.Erasure.Salt)
	if n := e.Counts; n.Unreadable != 1 || n.Refiled != 0 {
		t.Errorf("certified are %+v, want 1 version", n)
	}
	if k := e.Epochs[0].Key; k != (claim.Versions{Before: 1, OldestBefore: 1}) || e.Epochs[0].Before != 0 || e.Epochs[0].After != 1 {
		t.Errorf("certified are epochs %+v", e.Epochs)
	}
	if d := e.Dates; d.Effective.Sub(d.Refused) < keytree.LeaseTime || d.Effective != d.Unlinkable {
		t.Errorf("certified are dates %+v", d)
	}
}

func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	_, stranger := f.Pair("other", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "secret", nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(t.Context(), stranger, calls, "secret"); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("another tenant opens by name: %v, want ErrNotFound", err)
	}
	admin := f.Tenant("third")
	for name, do := range map[string]func() error{
		"revoke": func() error { _, err := f.RevokeTenant(t.Context(), admin, "acme"); return err },
		"erase":  func() error { _, err := f.EraseTenant(t.Context(), admin, "acme", "asked for"); return err },
		"bucket": func() error {
			return f.CreateBucket(t.Context(), admin, "acme", gateway.BucketSettings{Name: "more"})
		},
		"key": func() error {
			_, _, err := f.CreateKey(t.Context(), admin, "acme", gateway.NewKey{Kind: policy.Reader, Bucket: "*"})
			return err
		},
		"tenant":  func() error { _, _, err := f.CreateTenant(t.Context(), admin, "mine"); return err },
		"missing": func() error { _, err := f.Gateway.Tenant(t.Context(), admin, "nobody"); return err },
	} {
		if err := do(); !errors.Is(err, recording.ErrDenied) {
			t.Errorf("an admin of another tenant does %s: %v, want ErrDenied", name, err)
		}
	}
}

func TestRecorderOnlyWrites(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	f.Bucket("acme", gateway.BucketSettings{Name: "elsewhere"})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", nil)); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"open": func() error { _, err := f.Open(t.Context(), recorder, calls, "a"); return err },
		"stat": func() error { _, err := f.Stat(t.Context(), recorder, calls, "a"); return err },
		"list": func() error { _, err := f.List(t.Context(), recorder, calls, gateway.Page{Max: 1}); return err },
		"put elsewhere": func() error {
			_, err := f.Put(t.Context(), recorder, gatewaytest.Upload("elsewhere", "a", nil))
			return err
		},
	} {
		if err := do(); !errors.Is(err, recording.ErrDenied) {
			t.Errorf("a recorder's %s: %v, want ErrDenied", name, err)
		}
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	content := sound(1, 100_000)
	var key string
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", content)); err != nil {
			t.Fatal(err)
		}
		key = reader.Who
	})
	t.Run("after", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		if got := read(t, f, f.Caller(key), "a"); !bytes.Equal(got, content) {
			t.Error("after a restart the recording is another")
		}
	})
}

func TestSettingsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	f.Tenant("acme")
	for _, name := range []string{"", "..", "a/b", "a\nb", strings.Repeat("x", 129)} {
		if _, _, err := f.CreateTenant(t.Context(), f.Operator(), name); !errors.Is(err, recording.ErrTenantName) {
			t.Errorf("CreateTenant(%.10q): %v, want ErrTenantName", name, err)
		}
	}
	if _, _, err := f.CreateTenant(t.Context(), f.Operator(), "acme"); !errors.Is(err, recording.ErrTenantExists) {
		t.Errorf("CreateTenant of a name that is taken: %v, want ErrTenantExists", err)
	}
	f.Bucket("acme", gateway.BucketSettings{Name: calls})
	for want, s := range map[error]gateway.BucketSettings{
		recording.ErrBucketExists: {Name: calls},
		recording.ErrBucketName:   {Name: "UPPER"},
		recording.ErrRetention:    {Name: "days", RetentionDays: -1},
		recording.ErrSettings:     {Name: "over", Overwrite: "sometimes"},
		recording.ErrClassInvalid: {Name: "class", MinClass: "E"},
	} {
		if err := f.CreateBucket(t.Context(), f.Operator(), "acme", s); !errors.Is(err, want) {
			t.Errorf("CreateBucket(%+v): %v, want %v", s, err, want)
		}
	}
	if _, _, err := f.CreateKey(t.Context(), f.Operator(), "acme", gateway.NewKey{Kind: policy.Recorder, Bucket: "absent"}); !errors.Is(err, recording.ErrNoBucket) {
		t.Errorf("CreateKey for no bucket: %v, want ErrNoBucket", err)
	}
}
