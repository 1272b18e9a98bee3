// Package system runs a whole Lethe for tests: the built program, on its
// embedded default or on Vault, MinIO and PostgreSQL, as an operator would.
package system

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/test/servers"
)

// Binary builds the program once for a test binary and gives its path.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "lethe-binary-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "lethe")
	out, err := exec.Command("go", "build", "-o", path, "github.com/lethe-vault/lethe/cmd/lethe").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build lethe: %w\n%s", err, out)
	}
	return path, nil
})

// System is one Lethe server, running or stopped.
type System struct {
	Dir string // its data directory
	S3  string // http://host:port of the S3 front, while it runs; https:// of a secure one
	API string // http://host:port of the REST API; https:// of a secure one
	Ops string // http://host:port of the probes
	CA  string // file of the certificate that vouches for a secure one; "" for others

	// Of a scaled-out system; nil for an embedded one.
	Vault    *servers.VaultServer
	Store    *servers.S3Server
	Postgres *servers.PostgresServer

	t       testing.TB
	binary  string
	env     []string
	whole   []string // env with every role's identity; of what Apart gave
	flags   []string // of serve, beside those that all have
	store   *counter // before Store; nil for an embedded one
	backup  backup
	catalog backup // of the catalog alone
	log     string
	run     *exec.Cmd
	ended   chan struct{} // closed when run has ended
}

// Embedded starts a server that keeps everything in one directory.
func Embedded(t testing.TB) *System {
	t.Helper()
	s := &System{t: t, Dir: t.TempDir(), binary: Binary(t)}
	s.begin()
	return s
}

// EmbeddedOf is Embedded, but of another binary, with env beside what the test
// has, in a directory of the test's.
func EmbeddedOf(t testing.TB, binary, dir string, env ...string) *System {
	t.Helper()
	s := &System{t: t, Dir: dir, binary: binary, env: env}
	s.begin()
	return s
}

// CopyOf is an embedded server of the same binary on a copy of the directory of s,
// with env beside what s has. It is not started yet, and s must be stopped.
func (s *System) CopyOf(t testing.TB, env ...string) *System {
	t.Helper()
	c := &System{t: t, Dir: t.TempDir(), binary: s.binary, env: append(slices.Clone(s.env), env...)}
	if err := os.CopyFS(c.Dir, os.DirFS(s.Dir)); err != nil {
		t.Fatal(err)
	}
	c.prepareLog()
	return c
}

// Secure is Embedded, but for a server that speaks TLS on S3 and the REST API.
func Secure(t testing.TB) *System {
	t.Helper()
	s := &System{t: t, Dir: t.TempDir(), binary: Binary(t)}
	s.certify()
	s.begin()
	return s
}

// Scaled starts a server on Vault, MinIO and PostgreSQL of its own, with one
// Vault identity for each role.
func Scaled(t testing.TB) *System {
	t.Helper()
	return On(t, servers.Vault(t), servers.MinIO(t), servers.PostgreSQL(t))
}

// ScaledAWS is Scaled, but for a server that reaches its store as it would
// Amazon S3: through the AWS SDK, with the identity that its environment has.
func ScaledAWS(t testing.TB) *System {
	t.Helper()
	store := servers.MinIO(t)
	return On(t, servers.Vault(t), store, servers.PostgreSQL(t), "LETHE_STORE_KIND=aws", "LETHE_STORE_ACCESS_KEY=",
		"AWS_ACCESS_KEY_ID="+store.AccessKey, "AWS_SECRET_ACCESS_KEY="+store.SecretKey)
}

// On starts a server on the servers given, with env beside what says where
// they are.
func On(t testing.TB, v *servers.VaultServer, store *servers.S3Server, pg *servers.PostgresServer, env ...string) *System {
	t.Helper()
	return OnOf(t, Binary(t), v, store, pg, env...)
}

// OnOf is On, but of another binary.
func OnOf(t testing.TB, binary string, v *servers.VaultServer, store *servers.S3Server, pg *servers.PostgresServer, env ...string) *System {
	t.Helper()
	s := prepare(t, v, store, pg, env...)
	s.binary = binary
	s.begin()
	return s
}

// prepare is On, but for starting it.
func prepare(t testing.TB, v *servers.VaultServer, store *servers.S3Server, pg *servers.PostgresServer, env ...string) *System {
	t.Helper()
	s := &System{t: t, Dir: t.TempDir(), binary: Binary(t), Vault: v, Store: store, Postgres: pg, store: count(t, store.Endpoint)}
	s.env = []string{
		"LETHE_CATALOG=" + pg.Database(t),
		"LETHE_STORE_ENDPOINT=" + s.store.endpoint,
		"LETHE_STORE_BUCKET=" + store.Bucket(t, servers.Versioned),
		"LETHE_STORE_REGION=" + store.Region,
		"LETHE_STORE_ACCESS_KEY=" + store.AccessKey,
		"LETHE_STORE_SECRET_KEY=" + store.SecretKey,
		"LETHE_VAULT=" + v.Addr,
	}
	for prefix, role := range identities {
		name := "lethe-" + string(role)
		v.Policy(t, name, hashivault.Policy(role, "transit"))
		id, secret := v.AppRole(t, name, name)
		file := filepath.Join(s.Dir, name+".secret-id")
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		s.env = append(s.env, prefix+"ROLE_ID="+id, prefix+"SECRET_ID_FILE="+file)
	}
	key := filepath.Join(s.Dir, "certificate.pem") // all processes of a system sign with one
	if err := os.WriteFile(key, claim.NewKey(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = append(append(s.env, "LETHE_CERTIFICATES_KEY_FILE="+key), env...)
	return s
}

// identities are the prefixes of the variables that give each role's login.
var identities = map[string]hashivault.Role{
	"LETHE_VAULT_": hashivault.Data, "LETHE_VAULT_ERASER_": hashivault.Eraser, "LETHE_VAULT_PROVISIONER_": hashivault.Provisioner,
}

// Set gives the server more of an environment from its next start on.
func (s *System) Set(env ...string) { s.env = append(s.env, env...) }

func (s *System) begin() {
	s.t.Helper()
	s.prepareLog()
	s.Start()
}

// prepareLog has the server log to a file of its own, and end with the test.
func (s *System) prepareLog() {
	s.t.Helper()
	s.log = filepath.Join(s.t.TempDir(), "lethe.log")
	s.t.Cleanup(s.Kill)
}

// Start starts a stopped or killed server, and waits until it is ready.
func (s *System) Start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	args := []string{"serve", "--data", s.Dir, "--listen-s3", "127.0.0.1:0", "--listen-api", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0"}
	if s.Store != nil {
		args = append(args, "--store-insecure")
	}
	args = append(args, s.flags...)
	s.run = exec.Command(s.binary, args...)
	s.run.Env = append(os.Environ(), s.env...) // the last of several values counts
	s.run.Stderr = log
	out, err := s.run.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.run.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadBytes('\n')
	s.ended = make(chan struct{})
	go func(run *exec.Cmd, ended chan struct{}) { // ends with the server
		io.Copy(io.Discard, lines)
		run.Wait()
		close(ended)
	}(s.run, s.ended)
	var ready struct{ S3, API, Ops string }
	if err != nil || json.Unmarshal(line, &ready) != nil || ready.Ops == "" {
		s.t.Fatalf("lethe serve did not become ready: %q, %v\n%s", line, err, s.Log())
	}
	s.S3, s.API, s.Ops = withScheme(ready.S3), withScheme(ready.API), withScheme(ready.Ops)
}

// withScheme gives the URL of an address that serve printed: it names the
// scheme itself if that is not plain HTTP, and prints no address of a listener
// that the process's roles do not open.
func withScheme(addr string) string {
	if addr == "" || strings.HasPrefix(addr, "https://") {
		return addr
	}
	return "http://" + addr
}

// Stop ends the server in order.
func (s *System) Stop() { s.signal(syscall.SIGTERM) }

// Kill ends the server as a power cut would.
func (s *System) Kill() { s.signal(syscall.SIGKILL) }

func (s *System) signal(sig syscall.Signal) {
	if s.run == nil {
		return
	}
	s.run.Process.Signal(sig)
	select {
	case <-s.ended:
	case <-time.After(40 * time.Second):
		s.run.Process.Kill()
		<-s.ended
		s.t.Errorf("lethe serve did not end after %v\n%s", sig, s.Log())
	}
	s.run = nil
}

// Ended reports whether the server ends by itself within d.
func (s *System) Ended(d time.Duration) bool {
	select {
	case <-s.ended:
		return true
	case <-time.After(d):
		return false
	}
}

// PID is the server's process.
func (s *System) PID() int { return s.run.Process.Pid }

// Log is what the server has logged since it was first started.
func (s *System) Log() string {
	b, _ := os.ReadFile(s.log)
	return string(b)
}

// Places are the directories and files in which nothing may be readable: of
// the store, of the database and of the logs. The embedded keys directory
// plays Vault's part and is not among them.
func (s *System) Places() []string {
	places := []string{s.log}
	if s.Store != nil {
		return append(places, s.Store.Dir(), s.Postgres.Dir(), s.Vault.AuditLog)
	}
	return append(places, s.embedded(s.Dir)...)
}

// Keys is an S3 key pair.
type Keys struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// Env gives the pair, and where to use it, to the command line.
func (s *System) Env(k Keys) []string {
	return []string{"LETHE_S3=" + s.S3, "LETHE_ACCESS_KEY=" + k.AccessKey, "LETHE_SECRET_KEY=" + k.SecretKey}
}

// Lethe runs the command line against the server and decodes what it answers
// with --json; answer may be nil.
func (s *System) Lethe(answer any, args ...string) error {
	return s.LetheAs(Keys{}, answer, args...)
}

// LetheAs is Lethe with an S3 key pair.
func (s *System) LetheAs(k Keys, answer any, args ...string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, append(args, "--data", s.Dir, "--json")...)
	cmd.Env = append(os.Environ(), s.Env(k)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("lethe %s: %w: %s", strings.Join(args, " "), err, errs.Bytes())
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(out.Bytes(), answer)
}

// Pair makes a tenant with a bucket, and a recorder and a reader of it.
func (s *System) Pair(tenant, bucket string) (recorder, reader Keys) {
	s.t.Helper()
	for _, step := range []struct {
		answer any
		args   []string
	}{
		{nil, []string{"tenant", "create", tenant}},
		{nil, []string{"bucket", "create", "--tenant", tenant, bucket}},
		{&recorder, []string{"recorder", "create", "--tenant", tenant, "pbx", "--bucket", bucket}},
		{&reader, []string{"reader", "create", "--tenant", tenant, "quality", "--bucket", bucket, "--purpose", "quality"}},
	} {
		if err := s.Lethe(step.answer, step.args...); err != nil {
			s.t.Fatal(err)
		}
	}
	return recorder, reader
}
