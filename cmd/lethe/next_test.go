package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// household is what a user may get wrong: servers with and without TLS, one
// that has ended, and keys.
type household struct {
	plain, secure     *running
	ended             string // directory of a server that runs no more
	skewed            string // the S3 front, as seen by a wrong clock
	admin             string // token of the tenant other
	reader, recorder  []string
	revoked           []string // keys of a reader
	dir, file, absent string
}

func newHousehold(t *testing.T) household {
	t.Helper()
	dir := t.TempDir()
	h := household{
		plain:  startServer(t, filepath.Join(dir, "plain")),
		secure: startServer(t, filepath.Join(dir, "secure"), selfSigned(t, t.TempDir(), 1)...),
		dir:    dir, file: filepath.Join(dir, "call.wav"), absent: filepath.Join(dir, "absent", "call.wav"),
	}
	ended := startServer(t, filepath.Join(dir, "ended"))
	ended.stop()
	h.ended = ended.dir
	h.skewed = behindClock(t, h.plain.at.S3)
	if err := os.WriteFile(h.file, make([]byte, 300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	make := func(args string) map[string]string {
		return answers[map[string]string](t, append(strings.Fields(args), "--data", h.plain.dir)...)
	}
	keys := func(args string) []string {
		pair := make(args)
		return []string{"--access-key", pair["access_key"], "--secret-key", pair["secret_key"]}
	}
	h.admin = make("tenant create other")["admin_token"]
	for _, tenant := range []string{"acme", "gone"} {
		make("tenant create " + tenant)
		make("bucket create calls --tenant " + tenant)
	}
	h.reader = keys("reader create --tenant acme r --bucket *")
	h.recorder = keys("recorder create --tenant acme p --bucket calls")
	h.revoked = keys("reader create --tenant gone r --bucket * --write")
	make("tenant revoke gone")
	put := append([]string{"put", h.file, "--bucket", "calls", "--name", "taken.wav", "--data", h.plain.dir}, h.recorder...)
	answers[any](t, put...)
	return h
}

// behindClock gives the address of a proxy that dates requests 20 minutes away
// from now, on the same day.
func behindClock(t *testing.T, front string) string {
	now := time.Now().UTC()
	wrong := now.Add(-20 * time.Minute)
	if wrong.Day() != now.Day() {
		wrong = now.Add(20 * time.Minute)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: front})
		r.Out.Host = r.In.Host
		r.Out.Header.Set("X-Amz-Date", wrong.Format("20060102T150405Z"))
	}})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// Whatever a user gets wrong, the answer says what to do next.
func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	h := newHousehold(t)
	const nowhere = "127.0.0.1:1"
	rest := func(addr, token string) []string { return []string{"--addr", addr, "--token", token} }
	s3 := func(addr string, keys []string) []string { return append([]string{"--s3", addr}, keys...) }
	ofData := func(dir string, more ...string) []string { return append([]string{"--data", dir}, more...) }
	plain := func(keys []string) []string { return ofData(h.plain.dir, keys...) }
	putTo := func(name string) string { return "put " + h.file + " --bucket calls --name " + name }
	for _, tt := range []struct {
		when   string
		args   string
		more   []string
		status int
		next   string
	}{
		{"no server runs", "tenant list", rest(nowhere, "t"), failed, "Start a server with lethe serve"},
		{"no server runs", "ls", s3(nowhere, h.reader), failed, "Start a server with lethe serve"},
		{"no server runs any more", "tenant list", ofData(h.ended), failed, "lethe serve --data " + h.ended},
		{"no server runs any more", "ls", ofData(h.ended, h.reader...), failed, "lethe serve --data " + h.ended},
		{"no store", "serve --data " + filepath.Join(h.dir, "storeless"), []string{"--store-endpoint", nowhere, "--store-bucket", "b", "--store-insecure"}, failed, "lethe doctor"},
		{"no database", "serve --data " + filepath.Join(h.dir, "baseless"), []string{"--catalog", "postgres://lethe@" + nowhere + "/lethe"}, failed, "lethe doctor"},
		{"a server runs", "rebuild", ofData(h.plain.dir), failed, "Stop the lethe serve"},
		{"a server runs", "recover vault", ofData(h.plain.dir), failed, "Stop the lethe serve"},
		{"no server ever ran", "rebuild", ofData(h.dir), failed, "Check --data"},
		{"no server ever ran", "recover vault", ofData(h.dir), failed, "Check --data"},
		{"no server ever ran", "tenant list", ofData(h.dir), failed, "lethe serve --data " + h.dir},
		{"no such host", "tenant list", rest("http://nowhere.invalid:9001", "t"), failed, "spelling of the host"},
		{"S3 at the API", "ls calls", s3(h.plain.at.API, h.reader), failed, "--s3 or LETHE_S3"},
		{"S3 at the API", "get calls/taken.wav", s3(h.plain.at.API, h.reader), failed, "--s3 or LETHE_S3"},
		{"S3 at the API", putTo("a"), s3(h.plain.at.API, h.recorder), failed, "--s3 or LETHE_S3"},
		{"S3 at ops", "ls calls", s3(h.plain.at.Ops, h.reader), failed, "Check the address"},
		{"API at S3", "tenant list", rest(h.plain.at.S3, "t"), failed, "--addr or LETHE_ADDR"},
		{"API at ops", "tenant list", rest(h.plain.at.Ops, "t"), failed, "Check the address"},
		{"TLS to a plain API", "tenant list", rest("https://"+h.plain.at.API, "t"), failed, "http://HOST:PORT"},
		{"TLS to a plain S3 front", "ls", s3("https://"+h.plain.at.S3, h.reader), failed, "http://HOST:PORT"},
		{"plain to an API on TLS", "tenant list", rest(strings.Replace(h.secure.at.API, "https", "http", 1), "t"), failed, "https://HOST:PORT"},
		{"plain to an S3 front on TLS", "ls", s3(strings.Replace(h.secure.at.S3, "https", "http", 1), h.reader), failed, "https://HOST:PORT"},
		{"plain to an S3 front on TLS", putTo("a"), s3(strings.Replace(h.secure.at.S3, "https", "http", 1), h.recorder), failed, "https://HOST:PORT"},
		{"unknown authority", "tenant list", rest(h.secure.at.API, "t"), failed, "--ca FILE"},
		{"unknown authority", "ls", s3(h.secure.at.S3, h.reader), failed, "--ca FILE"},
		{"certificate of another host", "tenant list", append(rest(strings.Replace(h.secure.at.API, "127.0.0.1", "localhost", 1), "t"), "--ca", h.secure.at.CA), failed, "Use a name in the address"},
		{"no such --ca", "ls", append(s3(h.plain.at.S3, h.reader), "--ca", h.absent), misuse, "lethe ls --help"},

		{"wrong token", "tenant list", rest(h.plain.at.API, "wrong"), failed, "--token or LETHE_TOKEN"},
		{"token of another tenant", "tenant revoke acme", rest(h.plain.at.API, h.admin), failed, "admin token of this very tenant"},
		{"no such tenant", "bucket create b-1 --tenant nobody", ofData(h.plain.dir), failed, "lethe tenant create"},
		{"tenant exists", "tenant create acme", ofData(h.plain.dir), failed, "lethe tenant list"},
		{"bucket exists", "bucket create calls --tenant acme", ofData(h.plain.dir), failed, "Nothing was changed"},
		{"recorder of no bucket", "recorder create x --tenant acme --bucket other", ofData(h.plain.dir), failed, "lethe bucket create"},
		{"change of a revoked tenant", "bucket create b-1 --tenant gone", ofData(h.plain.dir), failed, "lethe tenant restore"},

		{"no such erasure", "certificate 1", ofData(h.plain.dir), failed, "lethe erasure list"},
		{"nothing to erase", "erase --tenant acme --subject nobody", ofData(h.plain.dir), failed, "lethe erasure list"},
		{"nothing to erase", "erase --tenant acme --recording calls/absent.wav", ofData(h.plain.dir), failed, "lethe ls"},
		{"no such bucket", "erase --tenant acme --recording other/a", ofData(h.plain.dir), failed, "lethe bucket create"},
		{"reason with a number", "erase --tenant acme --subject a --reason 030-1234567", ofData(h.plain.dir), failed, "telephone number"},
		{"erasure of a revoked tenant", "erase --tenant gone --subject a", ofData(h.plain.dir), failed, "lethe tenant restore"},
		{"no keys", "ls", plain(nil), misuse, "lethe reader create"},
		{"unknown access key", "ls", plain([]string{"--access-key", "AKNOTHERE", "--secret-key", "s"}), failed, "Check --access-key"},
		{"wrong secret key", "ls", plain([]string{h.reader[0], h.reader[1], "--secret-key", "s"}), failed, "Check --secret-key"},
		{"wrong clock", "ls", s3(h.skewed, h.reader), failed, "timedatectl"},
		{"wrong clock", putTo("a"), s3(h.skewed, h.recorder), failed, "timedatectl"},
		{"revoked tenant", putTo("a"), plain(h.revoked), failed, "lethe tenant restore"},
		{"revoked tenant", "stat calls/a", plain(h.revoked), failed, "lethe tenant restore"},
		{"no such bucket", "ls other", plain(h.reader), failed, "lethe bucket create"},
		{"no such name", "get calls/absent.wav", plain(h.reader), failed, "lethe ls"},
		{"no such name", "stat calls/absent.wav", plain(h.reader), failed, "lethe ls"},
		{"name is taken", "put " + os.Args[0] + " --bucket calls --name taken.wav", plain(h.recorder), failed, "another --name"},
		{"reader puts", putTo("a"), plain(h.reader), failed, "--write"},
		{"recorder opens", "get calls/taken.wav", plain(h.recorder), failed, "A recorder only writes"},
		{"range beyond the end", "get calls/taken.wav --range 300000-", plain(h.reader), failed, "lethe stat"},

		{"no such file", "put " + h.absent + " --bucket calls --name a", plain(h.recorder), failed, "Check the path"},
		{"a directory is put", "put " + h.dir + " --bucket calls --name a", plain(h.recorder), misuse, "lethe put --help"},
		{"into no directory", "get calls/taken.wav " + h.absent, plain(h.reader), failed, "Check the path"},
		{"onto a directory", "get calls/taken.wav " + h.dir, plain(h.reader), misuse, "name a file in it"},
		{"onto a full device", "get calls/taken.wav /dev/full", plain(h.reader), failed, "no room"},
	} {
		t.Run(tt.when+": "+strings.Fields(tt.args)[0], func(t *testing.T) {
			status, out, errs := lethe(t, append(strings.Fields(tt.args), tt.more...)...)
			if status != tt.status || out != "" || !strings.Contains(errs, tt.next) {
				t.Errorf("lethe %s = %d %q %s\nwant %d and %q", tt.args, status, out, errs, tt.status, tt.next)
			}
			t.Log(errs)
		})
	}
	t.Run("onto a full disk", func(t *testing.T) { fullDisk(t, h) })
}

// A disk that is full leaves nothing of a recording behind.
func fullDisk(t *testing.T, h household) {
	dir := t.TempDir()
	c := exec.Command(os.Args[0], append([]string{"get", "calls/taken.wav", filepath.Join(dir, "call.wav"), "--data", h.plain.dir}, h.reader...)...)
	c.Env = append(os.Environ(), beLethe+"=1", fmt.Sprint("TEST_MAX_FILE=", 100_000))
	var errs bytes.Buffer
	c.Stderr = &errs
	if err := c.Run(); c.ProcessState.ExitCode() != failed || !strings.Contains(errs.String(), "no room") {
		t.Errorf("get on a full disk: %v: %s", err, &errs)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A server that never answers is given up, with what to look at.
func TestSilentServer(t *testing.T) {
	silent := &http.Client{Timeout: time.Millisecond}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer s.Close()
	_, err := silent.Get(s.URL)
	if next := (&program{}).next(unreachable(err)); !strings.Contains(next, "firewall") {
		t.Errorf("next = %q after %v", next, err)
	}
}
