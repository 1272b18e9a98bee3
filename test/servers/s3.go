package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// An S3Server is a real S3 server on plain HTTP.
type S3Server struct {
	Endpoint  string // "127.0.0.1:port", the same after a restart
	AccessKey string
	SecretKey string
	Region    string

	dir     string
	command func(s *S3Server) (*exec.Cmd, error)
	health  func(ctx context.Context) error
	process *process
}

// MinIO starts a MinIO on one drive for t alone.
func MinIO(t testing.TB) *S3Server {
	t.Helper()
	return ownS3(t, minioServer)
}

// VersityGW starts a versitygw on a directory for t alone.
func VersityGW(t testing.TB) *S3Server {
	t.Helper()
	return ownS3(t, versitygwServer)
}

// SharedMinIO gives the one MinIO of this test binary.
func SharedMinIO(t testing.TB) *S3Server {
	t.Helper()
	return must(t, sharedMinIO)
}

// SharedVersityGW gives the one versitygw of this test binary.
func SharedVersityGW(t testing.TB) *S3Server {
	t.Helper()
	return must(t, sharedVersityGW)
}

var (
	sharedMinIO     = sync.OnceValues(func() (*S3Server, error) { return sharedS3(minioServer) })
	sharedVersityGW = sync.OnceValues(func() (*S3Server, error) { return sharedS3(versitygwServer) })
)

func ownS3(t testing.TB, server func(*S3Server) (*exec.Cmd, error)) *S3Server {
	t.Helper()
	s, err := newS3(t.TempDir(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func sharedS3(server func(*S3Server) (*exec.Cmd, error)) (*S3Server, error) {
	dir, err := sharedDir("lethe-s3-")
	if err != nil {
		return nil, err
	}
	return newS3(dir, server)
}

func newS3(dir string, command func(*S3Server) (*exec.Cmd, error)) (*S3Server, error) {
	s := &S3Server{
		AccessKey: "test-" + strings.ToLower(rand.Text()[:10]),
		SecretKey: rand.Text(),
		Region:    "us-east-1",
		dir:       dir,
		command:   command,
	}
	for _, sub := range []string{"data", "versions"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	return s, retryPort(func() error {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.Endpoint = fmt.Sprintf("127.0.0.1:%d", port)
		return s.run()
	})
}

// run starts the process and waits until it serves.
func (s *S3Server) run() error {
	cmd, err := s.command(s)
	if err != nil {
		return err
	}
	s.process, err = start(cmd, filepath.Join(s.dir, "server.log"))
	if err != nil {
		return err
	}
	return s.process.waitReady(s.health)
}

func minioServer(s *S3Server) (*exec.Cmd, error) {
	binary, err := minioTool.binary(context.Background())
	if err != nil {
		return nil, err
	}
	s.health = probeHTTP("http://"+s.Endpoint+"/", http.StatusForbidden) // its /minio/health/ready comes before it knows users
	cmd := exec.Command(binary, "server", "--address", s.Endpoint, filepath.Join(s.dir, "data"))
	cmd.Env = environment(s.dir, "MINIO_ROOT_USER="+s.AccessKey, "MINIO_ROOT_PASSWORD="+s.SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off")
	return cmd, nil
}

func versitygwServer(s *S3Server) (*exec.Cmd, error) {
	binary, err := versitygwTool.binary(context.Background())
	if err != nil {
		return nil, err
	}
	s.health = probeHTTP("http://"+s.Endpoint+"/", http.StatusForbidden) // it refuses the anonymous once it serves
	cmd := exec.Command(binary, "--port", s.Endpoint, "--quiet", "posix",
		"--versioning-dir", filepath.Join(s.dir, "versions"), filepath.Join(s.dir, "data"))
	cmd.Env = environment(s.dir, "ROOT_ACCESS_KEY_ID="+s.AccessKey, "ROOT_SECRET_ACCESS_KEY="+s.SecretKey)
	return cmd, nil
}

// BucketKind says what a bucket keeps of what is deleted.
type BucketKind int

// The kinds of bucket.
const (
	Plain      BucketKind = iota // nothing
	Versioned                    // every version
	Locked                       // every version, and allows object locks
	Governance                   // every version, each for a day unless a privileged client says otherwise
	Compliance                   // every version, each for a day whoever says otherwise
)

// Bucket makes a fresh bucket and gives its name.
func (s *S3Server) Bucket(t testing.TB, kind BucketKind) string {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:12])
	client := s.Client(t)
	err := client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{ObjectLocking: kind >= Locked})
	if err == nil && kind == Versioned {
		err = client.EnableVersioning(t.Context(), name)
	}
	if mode, retains := retention[kind]; err == nil && retains {
		length, unit := uint(1), minio.Days
		err = client.SetBucketObjectLockConfig(t.Context(), name, &mode, &length, &unit)
	}
	if err != nil {
		t.Fatalf("make bucket: %v", err)
	}
	return name
}

var retention = map[BucketKind]minio.RetentionMode{Governance: minio.Governance, Compliance: minio.Compliance}

// Client gives a client with the root credentials.
func (s *S3Server) Client(t testing.TB) *minio.Client {
	t.Helper()
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds:  credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Region: s.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Stop ends the server in order. Its address refuses connections until Start.
func (s *S3Server) Stop() { s.process.stop(syscall.SIGTERM) }

// Kill ends the server as a power cut would.
func (s *S3Server) Kill() { s.process.kill() }

// Start starts a stopped or killed server again, at the same address.
func (s *S3Server) Start(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

// Restart ends the server in order and starts it again.
func (s *S3Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop()
	s.Start(t)
}
