package s3test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/test/servers"
)

func (s Suite) storeDown(t *testing.T) {
	server := servers.VersityGW(t)
	p := at(server, server.Bucket(t, servers.Plain))
	store := s.open(t, p)
	create(t, store, "key", "apple")
	server.Kill()
	calls := map[string]func() error{
		"New":             func() error { _, err := s.Open(t.Context(), p); return err },
		"Create":          func() error { return store.Create(t.Context(), "new", strings.NewReader("x"), 1) },
		"Create of parts": func() error { return store.Create(t.Context(), "new", io.LimitReader(zeros{}, 6<<20), -1) },
		"Open":            func() error { _, err := store.Open(t.Context(), "key", 0, -1); return err },
		"Delete":          func() error { return store.Delete(t.Context(), "key") },
		"List": func() (last error) {
			for _, err := range store.List(t.Context(), "") {
				last = err
			}
			return last
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, blob.ErrUnavailable) || strings.Contains(err.Error(), p.Bucket) {
			t.Errorf("%s of a store that is down = %v, want %v", name, err, blob.ErrUnavailable)
		}
	}
	server.Start(t)
	if r, err := store.Open(t.Context(), "key", 0, -1); err != nil {
		t.Errorf("Open once the store is back = %v", err)
	} else {
		r.Close()
	}
}

func (s Suite) cutReadIsNoEnd(t *testing.T) {
	server := servers.SharedMinIO(t)
	p := at(server, server.Bucket(t, servers.Plain))
	create(t, s.open(t, p), "key", strings.Repeat("x", 1<<20))
	p.Endpoint = cutAfter(t, p.Endpoint, 100<<10)
	r, err := s.open(t, p).Open(t.Context(), "key", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("a body cut after %d bytes reads as %v, want %v", n, err, io.ErrUnexpectedEOF)
	}
}

// cutAfter is a way to the server that closes every connection when so many
// bytes have come back through it.
func cutAfter(t *testing.T, server string, bytes int64) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go carry(client, server, bytes)
		}
	}()
	return l.Addr().String()
}

func carry(client net.Conn, server string, bytes int64) {
	defer client.Close()
	upstream, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer upstream.Close()
	go io.Copy(upstream, client) // ends when either is closed
	io.CopyN(client, upstream, bytes)
}

func (s Suite) errorsSayNothingOfTheStores(t *testing.T) {
	server := servers.SharedMinIO(t)
	p := at(server, "no-such-bucket")
	if _, err := s.Open(t.Context(), p); !errors.Is(err, s.NoBucket) {
		t.Errorf("a store without its bucket opens with %v, want %v", err, s.NoBucket)
	}
	p.Bucket = server.Bucket(t, servers.Plain)
	store := s.open(t, p)
	if err := server.Client(t).RemoveBucket(t.Context(), p.Bucket); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), "key", 0, -1)
	const want = "open: store answers 404 NoSuchBucket"
	if err == nil || !strings.HasSuffix(err.Error(), want) || errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Open in a bucket that is gone = %v, want %q", err, want)
	}
}
