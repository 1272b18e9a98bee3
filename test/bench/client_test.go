package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// clientSettings says what a reader of the figures must know of the client. It
// is the same on every side.
func clientSettings() map[string]string {
	return map[string]string{
		"client":     "minio-go " + minioVersion() + ", in one process with the measuring, on the same machine",
		"signing":    "Signature Version 4 in the header, each body signed by its SHA-256, which the server verifies",
		"checksum":   "none beside the signed SHA-256, which was computed before the measuring",
		"parts":      "none: one PutObject, one GetObject a request; never tried again",
		"connection": "plain HTTP/1.1 over the loopback, kept alive, one for each client",
		"reads":      "every byte is compared with what was put",
		"sessions":   "every get of a whole recording opens an access session, which costs Lethe a durable event; the ranges of a measurement share one",
	}
}

// client is one key pair on one bucket of one side, for one goroutine.
type client struct {
	core    *minio.Core
	bucket  string
	content *content
	buffer  []byte
}

// place is where clients go, and as whom.
type place struct {
	endpoint, accessKey, secretKey, region, bucket string
}

func newClient(t testing.TB, p place, c *content) *client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	core, err := minio.NewCore(p.endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(p.accessKey, p.secretKey, ""), Region: p.region, MaxRetries: 1,
		Transport: named{transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &client{core: core, bucket: p.bucket, content: c, buffer: make([]byte, 64<<10)}
}

// object is one that was put.
type object struct{ name, version string }

func (c *client) put(ctx context.Context, name string, size int64) (object, error) {
	body := c.content.of(size)
	info, err := c.core.PutObject(ctx, c.bucket, name, bytes.NewReader(body.bytes), size, "", body.sha256,
		minio.PutObjectOptions{ContentType: "audio/wav", DisableContentSha256: true})
	return object{name, info.VersionID}, err
}

var errOther = errors.New("other bytes came back")

// get reads n bytes from off of a recording of size bytes.
func (c *client) get(ctx context.Context, name string, off, n, size int64) error {
	var opts minio.GetObjectOptions
	if n < size {
		opts.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	}
	body, _, _, err := c.core.GetObject(ctx, c.bucket, name, opts)
	if err != nil {
		return err
	}
	defer body.Close()
	for want := c.content.all[off : off+n]; ; {
		n, err := body.Read(c.buffer)
		if n > len(want) || !bytes.Equal(c.buffer[:n], want[:n]) {
			return errOther
		}
		want = want[n:]
		if err == io.EOF && len(want) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *client) erase(ctx context.Context, o object) error {
	return c.core.RemoveObject(ctx, c.bucket, o.name, minio.RemoveObjectOptions{VersionID: o.version})
}

// content is what recordings hold: all begin alike.
type content struct {
	all    []byte
	bodies map[int64]body
}

type body struct {
	bytes  []byte
	sha256 string // hex
}

// of gives the content of a recording of size bytes, one of those prepared.
func (c *content) of(size int64) body { return c.bodies[size] }

func (c *content) prepare(size int64) {
	sum := sha256.Sum256(c.all[:size])
	c.bodies[size] = body{c.all[:size], hex.EncodeToString(sum[:])}
}

// named gives the program another name for each request in a fresh session: by
// its name, too, Lethe tells one session from another.
type named struct{ http.RoundTripper }

type agentKey struct{}

var agents atomic.Uint64

func freshSession(ctx context.Context) context.Context {
	return context.WithValue(ctx, agentKey{}, fmt.Sprintf("lethe-bench/%d", agents.Add(1)))
}

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	if agent, ok := r.Context().Value(agentKey{}).(string); ok {
		r.Header.Set("User-Agent", agent) // which no signature covers
	}
	return n.RoundTripper.RoundTrip(r)
}
