package clients

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/test/system"
)

// A client is one S3 client at work on one bucket.
type client interface {
	put(ctx context.Context, file, name string) error
	get(ctx context.Context, name, file string) error
	span(ctx context.Context, name string, s span) ([]byte, error)
	list(ctx context.Context, prefix string) ([]string, error) // lines "SIZE NAME"
	size(ctx context.Context, name string) (int64, error)      // by HEAD
	remove(ctx context.Context, name string) error
}

// span is a range of bytes of a recording; last is that of its last byte.
type span struct{ first, last int64 }

// site is a server as a client is to see it: where it is, and as whom to speak.
type site struct {
	endpoint string // scheme://host:port
	ca       string // file of the certificate to trust; "" without TLS
	bucket   string
	keys     system.Keys
}

func (s site) host() string { return s.url().Host }

func (s site) secure() bool { return s.ca != "" }

func (s site) url() *url.URL {
	u, err := url.Parse(s.endpoint)
	if err != nil {
		panic(err) // cannot be: the server's own address
	}
	return u
}

// A connector prepares a client for a site.
type connector func(t testing.TB, s site) client

// A kind is a client that the tests know.
type kind struct {
	name    string
	connect connector
	record  connector // with a key that may only write
	spans   spans
	parts   parts
}

// spans says which ranges a client's user can ask for.
type spans int

const (
	anySpan  spans = iota
	fromHere       // from an offset to the end
)

// parts says whether a client sends a large file in parts, and what becomes of
// a transfer whose connection is cut.
type parts struct {
	sends bool
	up    persistence
	down  persistence
}

// persistence is who sees to it that a transfer that was cut is finished.
type persistence int

const (
	retries persistence = iota // the client itself
	repeats                    // its user, by running it again
)

var (
	whole   = parts{}
	retried = parts{sends: true}
)

var kinds = []kind{
	{"aws-cli", newAWSCLI, newAWSCLI, anySpan, retried},
	{"boto3", newBoto3, newBoto3, anySpan, whole},
	{"boto3-transfer", newBoto3Transfer, newBoto3Transfer, anySpan, retried},
	{"s3cmd", newS3cmd, newS3cmd, fromHere, retried},
	{"rclone", newRclone, newRcloneBlind, anySpan, retried},
	{"mc", newMC, newMC, fromHere, parts{sends: true, down: repeats}},
	{"aws-sdk-js", newJavaScript, newJavaScript, anySpan, whole},
	{"aws-sdk-js-lib-storage", newLibStorage, newLibStorage, anySpan, parts{sends: true, down: repeats}},
	{"aws-sdk-go-v2-transfermanager", newTransferManager, newTransferManager, anySpan, retried},
	{"minio-go", newMinioGo, newMinioGo, anySpan, parts{sends: true, down: repeats}},
}

// pick gives the kinds with these names.
func pick(names ...string) (picked []kind) {
	for _, k := range kinds {
		for _, name := range names {
			if k.name == name {
				picked = append(picked, k)
			}
		}
	}
	return picked
}

// newSite makes a bucket for one client alone and a key pair for general S3
// tools: it may read and write.
func newSite(t testing.TB, s *system.System, bucket string) site {
	t.Helper()
	at := site{endpoint: s.S3, ca: s.CA, bucket: bucket}
	lethe(t, s, nil, "bucket", "create", "--tenant", tenant, bucket)
	lethe(t, s, &at.keys, "reader", "create", "--tenant", tenant, bucket, "--bucket", bucket, "--purpose", "test", "--write")
	return at
}

// asRecorder is the site as seen with a key pair that may only write.
func asRecorder(t testing.TB, s *system.System, at site) site {
	t.Helper()
	lethe(t, s, &at.keys, "recorder", "create", "--tenant", tenant, at.bucket+"-pbx", "--bucket", at.bucket)
	return at
}

const tenant = "acme"

func lethe(t testing.TB, s *system.System, answer any, args ...string) {
	t.Helper()
	if err := s.Lethe(answer, args...); err != nil {
		t.Fatal(err)
	}
}

// digest is the SHA-256 of a whole file.
func digest(t testing.TB, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// entry is a line of a listing.
func entry(size int64, name string) string { return fmt.Sprintf("%d %s", size, name) }

// lines splits what a program prints, leaving out empty lines.
func lines(out []byte) (all []string) {
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			all = append(all, line)
		}
	}
	return all
}

func writeFile(t testing.TB, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
