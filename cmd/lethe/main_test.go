package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

// beLethe in the environment makes the test's program lethe itself, for tests
// that need a process of their own.
const beLethe = "TEST_BE_LETHE"

// The tests are the environment's only voice.
func TestMain(m *testing.M) {
	if os.Getenv(beLethe) != "" {
		limitFiles()
		main()
	}
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "LETHE_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// lethe runs the program and gives its exit status and what it printed.
func lethe(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, &o, &e)
	return status, o.String(), e.String()
}

// answers runs the program with --json, which must succeed with one object.
func answers[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	status, out, errs := lethe(t, append(args, "--json")...)
	if status != done {
		t.Fatalf("lethe %s: status %d: %s", strings.Join(args, " "), status, errs)
	}
	d := json.NewDecoder(strings.NewReader(out))
	if err := d.Decode(&v); err != nil {
		t.Fatalf("lethe %s printed %q: %v", strings.Join(args, " "), out, err)
	}
	if rest, _ := io.ReadAll(d.Buffered()); strings.TrimSpace(string(rest)) != "" {
		t.Fatalf("lethe %s printed more than one object: %q", strings.Join(args, " "), out)
	}
	return v
}

// running is a server of this program, on free ports.
type running struct {
	dir   string
	at    server
	ready string        // the line it printed
	log   *bytes.Buffer // read it only after stop
	stop  func() int
}

func startServer(t *testing.T, dir string, more ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	r := &running{dir: dir, log: new(bytes.Buffer)}
	status := make(chan int, 1)
	go func() { // ends with ctx
		status <- run(ctx, append([]string{"serve", "--data", dir, "--listen-s3", "127.0.0.1:0",
			"--listen-api", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0"}, more...), in, r.log)
		in.Close()
	}()
	r.stop = func() int {
		cancel()
		s := <-status
		status <- s // for whoever stops it again
		return s
	}
	t.Cleanup(func() { r.stop() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("server did not get ready: %s", r.log)
	}
	var ready struct {
		Ready bool
		server
	}
	if err := json.Unmarshal([]byte(line), &ready); err != nil || !ready.Ready {
		t.Fatalf("ready line %q: %v", line, err)
	}
	r.at, r.ready = ready.server, line
	return r
}

func TestExitStatus(t *testing.T) {
	const nowhere = "127.0.0.1:1"
	token := []string{"--addr", nowhere, "--token", "t"}
	keys := []string{"--s3", nowhere, "--access-key", "a", "--secret-key", "s"}
	for _, tt := range []struct {
		args   string
		more   []string
		status int
		says   string
	}{
		{"version", nil, done, ""},
		{"doctor extra", nil, misuse, "lethe doctor"},
		{"doctor --roles singer", nil, misuse, "singer"},
		{"--help", nil, done, ""},
		{"tenant create --help", nil, done, ""},
		{"", nil, misuse, "say what to do"},
		{"erase --tenant acme", token, misuse, "subject"},
		{"erase --recording calls/a", token, misuse, "tenant"},
		{"erase --tenant acme --subject a --day 90d/2026-12-31", token, misuse, "none of the others"},
		{"erase --tenant acme --subject a --version " + strings.Repeat("1", 32), token, misuse, "none of the others"},
		{"erase --tenant acme --version " + strings.Repeat("1", 32), token, misuse, "recording"},
		{"erase --tenant acme --recording calls/a --version 1", token, misuse, "32 lower-case hex digits"},
		{"erase --tenant acme --recording calls", token, misuse, "BUCKET/NAME"},
		{"erase --tenant acme --day 90d", token, misuse, "90d/2026-12-31"},
		{"erase --tenant acme --day 90d/2026-12-31", token, failed, "lethe serve"},
		{"erase --tenant acme --subject a --wait-for 1m", token, misuse, "give --wait too"},
		{"tenant erase acme --wait-for 2m", token, misuse, "give --wait too"},
		{"certificate 1 --wait-for 1m", token, misuse, "give --wait too"},
		{"erasure list --tenant acme --limit 0", token, misuse, "1 to 1000"},
		{"erasure list --tenant acme --limit 1001", token, misuse, "1 to 1000"},
		{"erasure", token, misuse, "say what to do"},
		{"certificate", token, misuse, "lethe certificate"},
		{"recover vault --unproved perhaps", nil, misuse, "puncture or leave"},
		{"recover vault --roles front --vault http://127.0.0.1:1 --vault-token-file x --store-bucket b --store-endpoint 127.0.0.1:1 --catalog postgres://127.0.0.1/l", nil, misuse, "role eraser"},
		{"sing", nil, misuse, `no command "sing"`},
		{"tenant", nil, misuse, "See lethe tenant --help"},
		{"tenant sing", nil, misuse, `no command "sing"`},
		{"tenant create", nil, misuse, "arg"},
		{"tenant create a b", nil, misuse, "arg"},
		{"tenant create a --colour", nil, misuse, "--colour"},
		{"tenant create a", nil, misuse, "--addr"},
		{"tenant create a --addr " + nowhere, nil, misuse, "--token"},
		{"tenant create a --token t --addr ftp://x", nil, misuse, "not an address"},
		{"tenant create a --data /nonexistent", nil, failed, "lethe serve --data /nonexistent"},
		{"tenant create a", token, failed, "lethe serve"},
		{"tenant erase a --wait", token, failed, "lethe serve"},
		{"bucket create b", token, misuse, "tenant"},
		{"recorder create --tenant a r", token, misuse, "bucket"},
		{"reader create --tenant a r", token, misuse, "bucket"},
		{"serve extra", nil, misuse, "lethe serve"},
		{"serve --log-level loud", nil, misuse, "loud"},
		{"put f --bucket b", keys, misuse, "name"},
		{"put f --bucket B --name n", keys, misuse, "bucket name"},
		{"put f --bucket calls --name n", nil, misuse, "--s3"},
		{"put f --bucket calls --name n --s3 " + nowhere, nil, misuse, "lethe recorder create"},
		{"put /nonexistent --bucket calls --name n", keys, failed, "no such file"},
		{"put f --bucket calls --name n --sign k", keys, failed, "without --sign"},
		{"get calls", keys, misuse, "BUCKET/NAME"},
		{"get calls/", keys, misuse, "name"},
		{"get calls/n --json", keys, misuse, "FILE"},
		{"get calls/n --range 5", keys, misuse, "--range"},
		{"get calls/n --range 5-4x", keys, misuse, "--range"},
		{"stat calls/n", keys, failed, "no answer"},
		{"ls", keys, failed, "no answer"},
		{"ls Calls", keys, misuse, "bucket name"},
	} {
		status, out, errs := lethe(t, append(strings.Fields(tt.args), tt.more...)...)
		if status != tt.status || !strings.Contains(errs, tt.says) {
			t.Errorf("lethe %s = %d %q, want %d mentioning %q", tt.args, status, errs, tt.status, tt.says)
		}
		if status != done && out != "" {
			t.Errorf("lethe %s failed and printed %q on standard output", tt.args, out)
		}
	}
}

func TestVersionIsOneObject(t *testing.T) {
	if b := answers[build](t, "version"); b.Go == "" || b.Platform == "" {
		t.Errorf("version = %+v", b)
	}
}

// A recording goes in with a recorder's key and comes out with a reader's.
func TestMainJob(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	data := []string{"--data", s.dir}
	with := func(args ...string) []string { return append(args, data...) }
	made := answers[map[string]string](t, with("tenant", "create", "acme")...)
	if made["tenant"] != "acme" || made["admin_token"] == "" {
		t.Fatalf("tenant create = %v", made)
	}
	admin := []string{"--addr", s.at.API, "--token", made["admin_token"]}
	answers[any](t, append([]string{"bucket", "create", "--tenant", "acme", "calls", "--retention", "90d"}, admin...)...)
	recorder := answers[map[string]string](t, append([]string{"recorder", "create", "--tenant", "acme", "pbx", "--bucket", "calls"}, admin...)...)
	reader := answers[map[string]string](t, with("reader", "create", "--tenant", "acme", "qa", "--bucket", "*")...)
	as := func(pair map[string]string, args ...string) []string {
		return with(append(args, "--access-key", pair["access_key"], "--secret-key", pair["secret_key"])...)
	}

	content := bytes.Repeat([]byte("0123456789"), 20_000)
	path := filepath.Join(t.TempDir(), "call.wav")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	const name = "2026/11 23/ä+b.wav"
	r := answers[receipt](t, as(recorder, "put", path, "--bucket", "calls", "--name", name, "--subject", "+43 1 2345678", "--call", "7")...)
	if r.Bucket != "calls" || r.Name != name || r.Size != int64(len(content)) || r.Class != "B" || r.Recording == "" || r.ETag == "" || len(r.SHA256) != 64 {
		t.Errorf("receipt = %+v", r)
	}
	if l := answers[listing](t, as(reader, "ls", "calls/2026/")...); len(l.Recordings) != 1 || l.Recordings[0].Name != name {
		t.Errorf("ls = %+v", l)
	}
	if i := answers[status](t, as(reader, "stat", "calls/"+name)...); i.Recording != r.Recording || i.ContentType != "audio/wav" || i.Metadata["lethe-call"] != "7" {
		t.Errorf("stat = %+v", i)
	}
	copied := filepath.Join(t.TempDir(), "copy.wav")
	f := answers[fetched](t, as(reader, "get", "calls/"+name, copied)...)
	if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, content) || f.Checksum != "sha256" {
		t.Errorf("get = %+v, %d bytes, %v", f, len(got), err)
	}
	if code, out, errs := lethe(t, as(reader, "get", "calls/"+name, "--range", "65530-65549")...); code != done || out != string(content[65530:65550]) {
		t.Errorf("get --range = %d %q %s", code, out, errs)
	}
	if code, out, errs := lethe(t, as(reader, "get", "calls/"+name, "--range", "9-5")...); code != failed || out != "" {
		t.Errorf("get of an upside-down range = %d, %d bytes, %s", code, len(out), errs)
	}
	if code, _, errs := lethe(t, as(recorder, "get", "calls/"+name)...); code != failed || !strings.Contains(errs, "AccessDenied") {
		t.Errorf("get with a recorder's key = %d %s", code, errs)
	}
	answers[any](t, with("tenant", "revoke", "acme")...)
	if code, out, errs := lethe(t, as(reader, "get", "calls/"+name)...); code != failed || out != "" {
		t.Errorf("get of a revoked tenant = %d %s", code, errs)
	}
	if code := s.stop(); code != done {
		t.Errorf("serve ended with %d: %s", code, s.log)
	}
	for _, secret := range []string{name, "2345678", made["admin_token"], recorder["secret_key"], reader["secret_key"]} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, s.log)
		}
	}
}

func TestTerminalIsNotSteered(t *testing.T) {
	var out bytes.Buffer
	p := &program{out: &out}
	if err := p.answer(nil, table{{"\x1b[2Jcleared", "Ämter"}}); err != nil {
		t.Fatal(err)
	}
	if want := `"\x1b[2Jcleared"  Ämter` + "\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestErasureIsWaitedFor(t *testing.T) {
	t.Parallel() // with the other tests that have a server: this one waits half a minute
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	answers[any](t, "tenant", "create", "acme", "--data", s.dir)
	code, out, errs := lethe(t, "tenant", "erase", "acme", "--reason", "contract ended", "--wait", "--wait-for", "1s", "--data", s.dir)
	told := regexp.MustCompile(`lethe certificate ([0-9a-f]{32}) erasure.json --wait --data \S+\n(?s:.*)--salt ([0-9a-f]{64}) (--scope-tenant [a-z2-7]{26})\n`).FindStringSubmatch(errs)
	if code != failed || !strings.Contains(errs, "goes on") || told == nil || !strings.Contains(out, told[2]) {
		t.Fatalf("erase with little patience = %d %s%s", code, out, errs)
	}
	start := time.Now()
	now := answers[client.Tenant](t, "tenant", "erase", "acme", "--wait", "--data", s.dir)
	if now.State != client.TenantStateErased || now.Erasure == nil || now.Erasure.Erasure != told[1] || now.Erasure.Salt != "" {
		t.Fatalf("erase --wait = %+v after %v", now, time.Since(start))
	}
	file := filepath.Join(t.TempDir(), "erasure.json")
	answers[any](t, "certificate", told[1], file, "--data", s.dir)
	v := answers[verified](t, append([]string{"verify", "certificate", file, "--key", filepath.Join(s.dir, publicFile), "--salt", told[2]}, strings.Fields(told[3])...)...)
	if !v.ScopeOpened || v.Certificate.Scope.Kind != claim.OfTenant || v.Certificate.Request.Reason != "contract ended" {
		t.Errorf("verify certificate = %+v", v)
	}
	for _, again := range []string{"", "--wait"} {
		code, out, errs = lethe(t, append([]string{"tenant", "erase", "acme", "--data", s.dir}, strings.Fields(again)...)...)
		if code != done || !strings.Contains(out, told[1]) || strings.Contains(out, "salt") || !strings.Contains(errs, "erased before") {
			t.Errorf("erase what is erased = %d %s%s", code, out, errs)
		}
	}
}

// limitFiles bounds the files of a process to so many bytes as the environment
// says, as a full disk would.
func limitFiles() {
	var most uint64
	if _, err := fmt.Sscan(os.Getenv("TEST_MAX_FILE"), &most); err != nil {
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		panic(err)
	}
}
