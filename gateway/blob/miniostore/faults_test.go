package miniostore_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/miniostore"
	"github.com/lethe-vault/lethe/test/servers"
	"github.com/minio/minio-go/v7"
)

func create(t *testing.T, s blob.Store, key, body string) {
	t.Helper()
	if err := s.Create(t.Context(), key, strings.NewReader(body), int64(len(body))); err != nil {
		t.Fatalf("Create(%q) = %v", key, err)
	}
}

// counting counts the requests that leave.
type counting struct {
	http.RoundTripper
	requests atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func TestOneRequestACall(t *testing.T) {
	server := servers.SharedMinIO(t)
	requests := &counting{RoundTripper: http.DefaultTransport}
	c := config(server, server.Bucket(t, servers.Plain))
	c.Transport = requests
	s := open(t, c)
	once := func(name string, call func()) {
		t.Helper()
		before := requests.requests.Load()
		call()
		if n := requests.requests.Load() - before; n != 1 {
			t.Errorf("%s sends %d requests, want 1", name, n)
		}
	}
	opens := func(key string, off, n int64) func() {
		return func() {
			if r, err := s.Open(t.Context(), key, off, n); err == nil {
				io.Copy(io.Discard, r)
				r.Close()
			}
		}
	}
	once("Create", func() { create(t, s, "a", "apple") })
	once("Create of unknown size", func() { s.Create(t.Context(), "b", strings.NewReader("bear"), -1) })
	once("Open", opens("a", 0, -1))
	once("Open of a range", opens("a", 1, 2))
	once("Open past the end", opens("a", 9, 1))
	once("Open of nothing", opens("a", 0, 0))
	once("Open of what is not there", opens("z", 0, -1))
	once("List", func() {
		for range s.List(t.Context(), "") {
		}
	})
}

func TestCreateStreams(t *testing.T) {
	server := servers.SharedMinIO(t)
	s := open(t, config(server, server.Bucket(t, servers.Plain)))
	const size, bound = 64 << 20, 1 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := s.Create(t.Context(), "key", io.LimitReader(zeros{}, size), size)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; err != nil || allocated > bound {
		t.Errorf("Create of %d bytes allocates %d, %v, want at most %d", size, allocated, err, bound)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestDeleteRemovesEveryVersion(t *testing.T) {
	for name, shared := range map[string]func(testing.TB) *servers.S3Server{
		"minio":     servers.SharedMinIO,
		"versitygw": servers.SharedVersityGW,
	} {
		t.Run(name, func(t *testing.T) {
			server := shared(t)
			bucket := server.Bucket(t, servers.Versioned)
			s, admin := open(t, config(server, bucket)), server.Client(t)
			create(t, s, "kept", "k")
			create(t, s, "gone", "1")
			for _, body := range []string{"22", "333"} { // an admin overwrites what Lethe never would
				_, err := admin.PutObject(t.Context(), bucket, "gone", strings.NewReader(body), int64(len(body)), minio.PutObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := admin.RemoveObject(t.Context(), bucket, "gone", minio.RemoveObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := s.Delete(t.Context(), "gone"); err != nil {
				t.Fatalf("Delete = %v", err)
			}
			for v := range admin.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
				if v.Err != nil || v.Key != "kept" {
					t.Errorf("after Delete there is %q %q, %v", v.Key, v.VersionID, v.Err)
				}
			}
		})
	}
}

func TestDeleteReportsALock(t *testing.T) {
	server := servers.SharedMinIO(t)
	bucket := server.Bucket(t, servers.Locked)
	s := open(t, config(server, bucket))
	create(t, s, "held", "x")
	mode, until := minio.Compliance, time.Now().Add(time.Hour)
	err := server.Client(t).PutObjectRetention(t.Context(), bucket, "held",
		minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "held"); err == nil || errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("Delete of a locked blob = %v, want a refusal", err)
	}
	if r, err := s.Open(t.Context(), "held", 0, -1); err != nil {
		t.Errorf("Open of a locked blob after Delete = %v", err)
	} else {
		r.Close()
	}
}

func TestFailedCreateLeavesNoParts(t *testing.T) {
	server := servers.SharedMinIO(t)
	bucket := server.Bucket(t, servers.Plain)
	s := open(t, config(server, bucket))
	body := io.MultiReader(io.LimitReader(zeros{}, 12<<20), failing{})
	if err := s.Create(t.Context(), "key", body, -1); !errors.Is(err, errBody) {
		t.Fatalf("Create = %v, want %v", err, errBody)
	}
	for upload := range server.Client(t).ListIncompleteUploads(t.Context(), bucket, "key", true) {
		t.Errorf("an upload is left: %+v", upload)
	}
}

var errBody = errors.New("body fails")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBody }

func TestStoreDown(t *testing.T) {
	server := servers.VersityGW(t)
	c := config(server, server.Bucket(t, servers.Plain))
	s := open(t, c)
	create(t, s, "key", "apple")
	server.Kill()
	calls := map[string]func() error{
		"New":             func() error { _, err := miniostore.New(t.Context(), c); return err },
		"Create":          func() error { return s.Create(t.Context(), "new", strings.NewReader("x"), 1) },
		"Create of parts": func() error { return s.Create(t.Context(), "new", io.LimitReader(zeros{}, 6<<20), -1) },
		"Open":            func() error { _, err := s.Open(t.Context(), "key", 0, -1); return err },
		"Delete":          func() error { return s.Delete(t.Context(), "key") },
		"List": func() (last error) {
			for _, err := range s.List(t.Context(), "") {
				last = err
			}
			return last
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%s of a store that is down = %v, want %v", name, err, blob.ErrUnavailable)
		}
	}
	server.Start(t)
	if r, err := s.Open(t.Context(), "key", 0, -1); err != nil {
		t.Errorf("Open once the store is back = %v", err)
	} else {
		r.Close()
	}
}

func TestCutReadIsNoEnd(t *testing.T) {
	server := servers.SharedMinIO(t)
	c := config(server, server.Bucket(t, servers.Plain))
	create(t, open(t, c), "key", strings.Repeat("x", 1<<20))
	c.Endpoint = cutAfter(t, c.Endpoint, 100<<10)
	r, err := open(t, c).Open(t.Context(), "key", 0, -1)
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

func TestErrorsSayNothingOfTheStores(t *testing.T) {
	server := servers.SharedMinIO(t)
	c := config(server, server.Bucket(t, servers.Plain))
	c.Bucket = "no-such-bucket"
	if _, err := miniostore.New(t.Context(), c); !errors.Is(err, miniostore.ErrNoBucket) {
		t.Errorf("New without the bucket = %v, want %v", err, miniostore.ErrNoBucket)
	}
	c = config(server, server.Bucket(t, servers.Plain))
	s := open(t, c)
	if err := server.Client(t).RemoveBucket(t.Context(), c.Bucket); err != nil {
		t.Fatal(err)
	}
	_, err := s.Open(t.Context(), "key", 0, -1)
	want := "miniostore: open: store answers 404 NoSuchBucket"
	if err == nil || err.Error() != want || errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Open in a bucket that is gone = %v, want %q", err, want)
	}
}
