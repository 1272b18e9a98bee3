package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A PostgresServer is a scratch PostgreSQL cluster that syncs to disk as a
// production one does.
type PostgresServer struct {
	Port int // on 127.0.0.1, the same after a restart

	dir        string
	bin        string              // the directory of initdb and postgres
	credential *syscall.Credential // nil: as the user who runs the tests
	process    *process
}

// PostgreSQL starts a cluster for t alone.
func PostgreSQL(t testing.TB) *PostgresServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "lethe-postgres-") // not t.TempDir: the server's user must be able to reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p, err := newPostgres(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop) // in order, so that it releases its shared memory
	return p
}

// SharedPostgreSQL gives the one cluster of this test binary.
func SharedPostgreSQL(t testing.TB) *PostgresServer {
	t.Helper()
	return must(t, sharedPostgres)
}

var sharedPostgres = sync.OnceValues(func() (*PostgresServer, error) {
	dir, err := sharedDir("lethe-postgres-")
	if err != nil {
		return nil, err
	}
	return newPostgres(dir)
})

func newPostgres(dir string) (*PostgresServer, error) {
	p := &PostgresServer{dir: dir}
	for _, step := range []func() error{p.findBinaries, p.findUser, p.initialise} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("servers: postgresql: %w", err)
		}
	}
	return p, retryPort(func() (err error) {
		if p.Port, err = freePort(); err != nil {
			return err
		}
		return p.run()
	})
}

// findBinaries takes the newest version that Debian has installed, or the
// directory of initdb on the path.
func (p *PostgresServer) findBinaries() error {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return err
	}
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return versionOf(a) - versionOf(b) })
		p.bin = filepath.Dir(newest)
		return nil
	}
	initdb, err := exec.LookPath("initdb")
	p.bin = filepath.Dir(initdb)
	return err
}

// versionOf reads 15 from /usr/lib/postgresql/15/bin/initdb; 0 from anything else.
func versionOf(path string) int {
	v, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return v
}

// findUser picks whom to run as: PostgreSQL refuses to run as root.
func (p *PostgresServer) findUser() error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	p.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.dir, int(uid), int(gid))
}

// initialise makes the cluster, with one superuser who needs no password on
// the loopback.
func (p *PostgresServer) initialise() error {
	cmd := p.command("initdb", "--pgdata", p.data(), "--username", "lethe", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-instructions")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (p *PostgresServer) data() string { return filepath.Join(p.dir, "data") }

// command prepares one of PostgreSQL's programs to run as the server's user.
func (p *PostgresServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.Env = environment(p.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	return cmd
}

// run starts the process and waits until it takes queries.
func (p *PostgresServer) run() (err error) {
	cmd := p.command("postgres", "-D", p.data(), "-p", strconv.Itoa(p.Port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200", "-c", "logging_collector=off")
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT // "immediate shutdown", which releases its shared memory
	if p.process, err = start(cmd, filepath.Join(p.dir, "postgres.log")); err != nil {
		return err
	}
	return p.process.waitReady(func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, p.dsn("postgres"))
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		return conn.Ping(ctx)
	})
}

func (p *PostgresServer) dsn(database string) string {
	return fmt.Sprintf("postgres://lethe@127.0.0.1:%d/%s?sslmode=disable", p.Port, database)
}

// At is the connection string of a database of this server that has the name of
// another's.
func (p *PostgresServer) At(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return p.dsn(strings.TrimPrefix(u.Path, "/"))
}

// Either is the connection string of a database that is on both servers, for a
// client that takes the first one which is up.
func Either(t testing.TB, first, second *PostgresServer, dsn string) string {
	t.Helper()
	one := fmt.Sprintf("127.0.0.1:%d", first.Port)
	both := strings.Replace(dsn, one, fmt.Sprintf("%s,127.0.0.1:%d", one, second.Port), 1)
	if both == dsn {
		t.Fatalf("%s is not on the first server", dsn)
	}
	return both
}

// Database creates a fresh, empty database and gives its connection string.
func (p *PostgresServer) Database(t testing.TB) (dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	name := "test_" + strings.ToLower(rand.Text()[:12])
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return p.dsn(name)
}

// Replica gives a server that has everything p has now, and nothing p gets from
// now on: a standby that lags, and takes over.
func (p *PostgresServer) Replica(t testing.TB) *PostgresServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "lethe-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &PostgresServer{dir: dir}
	for _, step := range []func() error{r.findBinaries, r.findUser, func() error { return r.follow(p) }} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if r.Port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	r.Start(t)
	t.Cleanup(r.Stop)
	conn, err := pgx.Connect(t.Context(), r.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	promoted := false
	if err := conn.QueryRow(t.Context(), `SELECT pg_promote()`).Scan(&promoted); err != nil || !promoted {
		t.Fatalf("pg_promote() = %t, %v", promoted, err)
	}
	return r
}

// follow copies a running server, and makes a standby of the copy.
func (p *PostgresServer) follow(primary *PostgresServer) error {
	out, err := p.command("pg_basebackup", "--pgdata", p.data(), "--dbname", primary.dsn("postgres"), "--checkpoint", "fast").CombinedOutput()
	if err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	signal := filepath.Join(p.data(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil || p.credential == nil {
		return err
	}
	return os.Chown(signal, int(p.credential.Uid), int(p.credential.Gid))
}

// Stop ends the server in order, cutting its sessions: PostgreSQL's "fast shutdown".
func (p *PostgresServer) Stop() { p.process.stop(syscall.SIGINT) }

// StopImmediately ends the server without a checkpoint, its sessions without a
// word: PostgreSQL's "immediate shutdown". It recovers at its next start.
func (p *PostgresServer) StopImmediately() { p.process.stop(syscall.SIGQUIT) }

// Kill ends the server as a power cut would, its sessions' processes too, and
// returns when none of them holds its shared memory any more.
func (p *PostgresServer) Kill() {
	p.process.signal(syscall.SIGSTOP) // it forks no more
	children := p.process.children()
	p.process.kill()
	for _, pid := range children {
		syscall.Kill(pid, syscall.SIGKILL) // each leads a process group of its own
	}
	for _, pid := range children {
		for !dead(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// dead reports whether a process has ended, though nobody may have waited for
// it yet. Source: proc_pid_stat(5), the state after the name in parentheses.
func dead(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ") || strings.Contains(string(stat), ") X ")
}

// Start starts a stopped or killed server again, at the same address.
func (p *PostgresServer) Start(t testing.TB) {
	t.Helper()
	if err := p.run(); err != nil {
		t.Fatal(err)
	}
}

// Restart ends the server in order and starts it again.
func (p *PostgresServer) Restart(t testing.TB) {
	t.Helper()
	p.Stop()
	p.Start(t)
}
