package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// The root of an upload's tenant is borrowed anew when the body has ended: a
// body may take hours, and a lease is 30 seconds.
func TestUploadOutlivesItsLease(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	var unwraps int
	keys := &faultyKeys{Provider: f.Keys, unwrap: func() error { unwraps++; return nil }}
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: f.Blobs, Catalog: f.Catalog, Keys: keys})
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	for _, name := range []recording.Name{"new", "again"} {
		content := sound(1, 1<<20)
		if name == "again" {
			if _, err := g.Put(t.Context(), recorder, gatewaytest.Upload(calls, name, content)); err != nil {
				t.Fatal(err)
			}
		}
		u, body := gatewaytest.Upload(calls, name, content), gated(content)
		u.Body = gatewaytest.NewBody(body)
		put := make(chan error, 1)
		go func() {
			_, err := g.Put(t.Context(), recorder, u)
			put <- err
		}()
		<-body.reached
		for _, change := range []func(context.Context, gateway.Caller, string) (gateway.TenantInfo, error){g.RevokeTenant, g.RestoreTenant, g.RevokeTenant} {
			if _, err := change(t.Context(), g.Operator(), "acme"); err != nil {
				t.Fatal(err)
			}
		}
		close(body.open)
		if err := <-put; !errors.Is(err, recording.ErrTenantRevoked) {
			t.Errorf("Put %q of a tenant that was revoked: %v, want ErrTenantRevoked", name, err)
		}
		if _, err := g.RestoreTenant(t.Context(), g.Operator(), "acme"); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, g, reader, "again"); !bytes.Equal(got, sound(1, 1<<20)) {
		t.Error("the recording is another")
	}
}

// A range that begins as its session ends is logged all the same.
func TestRangeOfAnOldSessionIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := gatewaytest.New(t)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
		r, err := f.Open(t.Context(), reader, calls, "a")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		body, err := r.Range(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			t.Fatal(err)
		}
		body.Close()
		body.Close() // a reader may be closed twice
		time.Sleep(time.Minute)
		if n := len(events(t, f, reader, "served")); n != 1 {
			t.Errorf("%d events of what was served, want 1", n)
		}
	})
}

// A session that cannot log what was served keeps little of it.
func TestServedRangesAreBounded(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 10_000))); err != nil {
		t.Fatal(err)
	}
	r, err := f.Open(t.Context(), reader, calls, "a")
	if err != nil {
		t.Fatal(err)
	}
	mend := breakLog(t, f)
	for range 3 {
		for i := range 600 {
			span(t, r, int64(i*7), 2)
		}
		f.FlushSessions(t.Context())
	}
	mend()
	f.FlushSessions(t.Context())
	e := f.Unseal(events(t, f, reader, "served")[0])
	if n := len(e.Detail.Ranges); n > 512 {
		t.Errorf("%d ranges in one event, want 512 at most", n)
	}
}

// A stream goes on for as long as something is known of its tenant.
func TestStreamEndsWhenNothingIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := gatewaytest.New(t)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1<<20))); err != nil {
			t.Fatal(err)
		}
		r, err := f.Open(t.Context(), reader, calls, "a")
		if err != nil {
			t.Fatal(err)
		}
		body, err := r.Range(t.Context(), 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		execute(t, f.Dir, `ALTER TABLE tenants RENAME TO away`)
		time.Sleep(7 * time.Second)
		if n, err := io.Copy(io.Discard, body); !errors.Is(err, recording.ErrUnavailable) || n > 64<<10 {
			t.Errorf("stream after 7 s without the catalog: %d bytes, %v; want ErrUnavailable", n, err)
		}
		if f.Ready(t.Context()) == nil {
			t.Error("Ready though nothing is known of the tenants")
		}
		execute(t, f.Dir, `ALTER TABLE away RENAME TO tenants`)
		if got := read(t, f, reader, "a"); !bytes.Equal(got, sound(1, 1<<20)) { // no poll was since
			t.Error("the recording is another")
		}
		time.Sleep(time.Second)
		if err := f.Ready(t.Context()); err != nil {
			t.Errorf("Ready a second after the catalog is back: %v", err)
		}
	})
}

// What was served when the server stops is in the log.
func TestCloseLogsWhatWasServed(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
		t.Fatal(err)
	}
	read(t, f, reader, "a")
	f.Gateway.Close()
	if n := len(events(t, f, reader, "served")); n != 1 {
		t.Errorf("%d events of what was served, want 1", n)
	}
}

// An unwrapping that was begun before its tenant was dropped is not leased.
func TestUnwrapThatEndsAfterDropIsNotKept(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	head, err := keytree.Plant(t.Context(), f.Keys, f.Blobs, recording.NewTenant())
	if err != nil {
		t.Fatal(err)
	}
	var unwraps int
	begun, goOn := make(chan struct{}), make(chan struct{})
	leases := keytree.NewLeases(&faultyKeys{Provider: f.Keys, unwrap: func() error {
		if unwraps++; unwraps == 1 {
			close(begun)
			<-goOn
		}
		return nil
	}}, nil, func(recording.Tenant) {})
	defer leases.Close()
	first := make(chan error, 1)
	go func() {
		_, err := leases.Keys(t.Context(), head)
		first <- err
	}()
	<-begun
	leases.Drop(head.Tenant)
	close(goOn)
	if err := <-first; err != nil {
		t.Errorf("Keys of who asked before: %v", err)
	}
	if _, err := leases.Keys(t.Context(), head); err != nil || unwraps != 2 {
		t.Errorf("Keys after: %v with %d unwrappings, want another", err, unwraps)
	}
}
