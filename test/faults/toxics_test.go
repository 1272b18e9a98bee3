package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/lethe-vault/lethe/test/servers"
	"github.com/lethe-vault/lethe/test/system"
)

// toxic is what the way to a part does to what goes through it: see toxiproxy.
type toxic struct{ name, attributes string }

var toxics = []toxic{
	{"latency", `{"latency": 60, "jitter": 40}`},
	{"reset_peer", `{"timeout": 50}`},
	{"timeout", `{"timeout": 0}`}, // nothing comes through, and nothing is said
	{"slow_close", `{"delay": 1000}`},
	{"limit_data", `{"bytes": 3000}`},
	{"bandwidth", `{"rate": 64}`},
}

// TestToxics puts each toxic on the way to each part, while clients put, get and
// erase. No answer has wrong bytes or is a success that was none, refusals ask to
// come back, and everything works again soon after the toxic is gone.
func TestToxics(t *testing.T) {
	t.Parallel()
	parts := parts{servers.Vault(t), servers.MinIO(t), servers.PostgreSQL(t)}
	for _, part := range []string{"store", "vault", "sql"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			w := newWay(t, parts, part)
			for _, x := range toxics {
				for _, stream := range sized(t, []string{"downstream"}, []string{"downstream", "upstream"}, []string{"downstream", "upstream"}) {
					w.suffer(x, stream)
				}
			}
			w.allIsTrue()
			t.Logf("%d answers of success, %d refusals, %d bodies cut; the slowest answer took %v, the slowest recovery %v",
				w.worked, w.refused, w.cut, w.slowest.Round(time.Millisecond), w.recovery.Round(time.Millisecond))
			if t.Failed() {
				t.Log(w.s.Log())
			}
		})
	}
}

// parts are what a scaled-out server needs.
type parts struct {
	vault *servers.VaultServer
	store *servers.S3Server
	sql   *servers.PostgresServer
}

// way is a server with a proxy on the way to one of its parts.
type way struct {
	t      *testing.T
	s      *system.System
	part   string
	proxy  *toxiproxy.Proxy
	keys   system.Keys
	client client
	serial int

	mu                   sync.Mutex // guards the rest
	whole, gone          map[string]content
	doubt                map[string]content // puts and erasures that were refused
	worked, refused, cut int
	slowest, recovery    time.Duration
}

func newWay(t *testing.T, p parts, part string) *way {
	w := &way{t: t, part: part, whole: map[string]content{}, gone: map[string]content{}, doubt: map[string]content{}}
	vault, sql, env := *p.vault, *p.sql, "LETHE_STORE_ENDPOINT="
	switch part {
	case "store":
		env += w.through(p.store.Endpoint)
	case "vault":
		u, err := url.Parse(vault.Addr)
		if err != nil {
			t.Fatal(err)
		}
		vault.Addr, env = "http://"+w.through(u.Host), env+p.store.Endpoint
	case "sql":
		at := w.through(fmt.Sprintf("127.0.0.1:%d", sql.Port))
		if _, err := fmt.Sscanf(at, "127.0.0.1:%d", &sql.Port); err != nil {
			t.Fatal(err)
		}
		env += p.store.Endpoint
	}
	w.s = system.On(t, &vault, p.store, &sql, env)
	w.s.Pair("acme", "calls")
	err := w.s.Lethe(&w.keys, "reader", "create", "--tenant", "acme", "all", "--bucket", "*", "--write")
	if err != nil {
		t.Fatal(err)
	}
	w.client = newClient(t, w.s.S3, w.keys, "calls")
	return w
}

// through makes the proxy and gives its address.
func (w *way) through(upstream string) string {
	w.t.Helper()
	w.proxy = newProxy(w.t, w.part, upstream)
	return w.proxy.Listen
}

// newProxy starts a proxy on the way to upstream, through which all goes as it came
// until it is given a toxic.
func newProxy(t *testing.T, name, upstream string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// poison gives a proxy a toxic on one of its streams.
func poison(t *testing.T, p *toxiproxy.Proxy, x toxic, stream string) {
	t.Helper()
	_, err := p.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name": "it", "type": %q, "stream": %q, "attributes": %s}`, x.name, stream, x.attributes)))
	if err != nil {
		t.Fatal(err)
	}
}

// cure takes the toxic away.
func cure(t *testing.T, p *toxiproxy.Proxy) {
	t.Helper()
	if err := p.Toxics.RemoveToxic(t.Context(), "it"); err != nil {
		t.Fatal(err)
	}
}

// suffer has clients work while the toxic is there, and then until all works.
func (w *way) suffer(x toxic, stream string) {
	w.t.Helper()
	work := w.prepare(sized(w.t, 4, 100, 1000))
	if w.part == "vault" { // whose key is in memory
		w.s.Stop()
		w.s.Start()
		w.client = newClient(w.t, w.s.S3, w.keys, "calls")
	}
	before := w.refused
	poison(w.t, w.proxy, x, stream)
	began := time.Now()
	w.do(work, x.name)
	took := time.Since(began)
	cure(w.t, w.proxy)
	recovered := w.recovers(x.name)
	w.t.Logf("%s %s: %d operations in %v, %d refused, works again after %v", x.name, stream, len(work),
		took.Round(time.Millisecond), w.refused-before, recovered.Round(time.Millisecond))
	w.settle(x.name)
}

// errand is one operation on one recording.
type errand struct {
	method, name string
	content      content
}

// prepare makes what will be read and erased, and gives n errands of each kind.
func (w *way) prepare(n int) (work []errand) {
	for range n {
		for _, method := range []string{"PUT", "GET", "DELETE"} {
			w.serial++
			e := errand{method, fmt.Sprintf("%s-%d.wav", strings.ToLower(method), w.serial), newContent(100_000)}
			work = append(work, e)
			if method == "PUT" {
				continue
			}
			if err := w.client.put(w.t.Context(), e.name, e.content); err != nil {
				w.t.Fatalf("before the toxic: %v", err)
			}
			w.whole[e.name] = e.content
		}
	}
	return work
}

func (w *way) do(work []errand, during string) {
	var wg sync.WaitGroup
	queue := make(chan errand)
	for range 12 {
		wg.Go(func() {
			for e := range queue {
				w.run(e, during)
			}
		})
	}
	for _, e := range work {
		queue <- e
	}
	close(queue)
	wg.Wait()
}

// run does one errand and notes what its answer makes true.
func (w *way) run(e errand, during string) {
	began := time.Now()
	a, err := w.ask(e)
	took := time.Since(began)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slowest = max(w.slowest, took)
	if took > answersWithin+5*time.Second {
		w.t.Errorf("%s: %s answered after %v", during, e.method, took)
	}
	switch {
	case errors.Is(err, errOther):
		w.t.Errorf("%s: %s: %v", during, e.method, err)
	case err != nil && e.method == "GET" && a.status == http.StatusOK:
		w.cut++
	case err != nil:
		w.t.Errorf("%s: %s has no answer: %v", during, e.method, err)
	case a.status < 300:
		w.note(e)
	default:
		w.refuse(e, a, during)
	}
}

// ask sends the request. Of a GET that is answered, the bytes are compared.
func (w *way) ask(e errand) (answer, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var body *content
	if e.method == "PUT" {
		body = &e.content
	}
	r := newRequest(w.t, e.method, w.s.S3+"/calls/"+e.name, body).WithContext(ctx)
	sign(w.t, r, w.keys)
	transport := newTransport()
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	if e.method != "GET" || response.StatusCode != http.StatusOK {
		a := readAnswer(response)
		return a, a.err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err == nil {
		err = equals(strings.NewReader(string(got)), e.content.reader())
	}
	return answer{status: response.StatusCode}, err
}

// note notes a success.
func (w *way) note(e errand) {
	w.worked++
	switch e.method {
	case "PUT":
		w.whole[e.name] = e.content
	case "DELETE":
		w.gone[e.name] = e.content
		delete(w.whole, e.name)
	}
}

// refuse checks that a refusal asks to come back, and leaves in doubt what it was about.
func (w *way) refuse(e errand, a answer, during string) {
	w.refused++
	code := a.code(w.t)
	again := slices.Contains([]string{"ServiceUnavailable", "SlowDown", "InternalError"}, code)
	if a.status < 500 || !again || a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "" {
		w.t.Errorf("%s: %s is refused with %d %s, Retry-After %q", during, e.method, a.status, code, a.header.Get("Retry-After"))
	}
	if e.method != "GET" {
		w.doubt[e.name] = e.content
		delete(w.whole, e.name)
	}
}

// recovers waits until each kind of errand works, and gives the time it took.
func (w *way) recovers(after string) time.Duration {
	began := time.Now()
	for n := 0; ; n++ {
		e := errand{"PUT", fmt.Sprintf("after-%s-%d-%d.wav", after, w.serial, n), newContent(10_000)}
		var errs error
		for _, e.method = range []string{"PUT", "GET", "DELETE"} {
			a, err := w.ask(e)
			if err == nil && a.status >= 300 {
				err = fmt.Errorf("%s: %d %s", e.method, a.status, a.body)
			}
			if errs = errors.Join(errs, err); err != nil {
				break
			}
		}
		took := time.Since(began)
		if errs == nil {
			w.recovery = max(w.recovery, took)
			if took > recoversWithin {
				w.t.Errorf("%s: works again only %v after it", after, took)
			}
			return took
		}
		if took > 3*recoversWithin {
			w.t.Fatalf("%s: %v after it: %v\n%s", after, took, errs, w.s.Log())
		}
		w.doubt[e.name] = e.content
		time.Sleep(50 * time.Millisecond)
	}
}

// settle repeats what was refused: it is whole or absent, and then as it was meant.
func (w *way) settle(after string) {
	ctx := w.t.Context()
	for name, what := range w.doubt {
		err := w.client.check(ctx, name, what)
		if status, _ := refusal(err); err != nil && status != 404 {
			w.t.Errorf("%s: %s, which was refused: %v", after, name, err)
		}
		if strings.HasPrefix(name, "put") {
			if err := w.client.put(ctx, name, what); err != nil {
				w.t.Errorf("%s: %s, put again: %v", after, name, err)
			}
			w.whole[name] = what
		} else {
			if err := w.client.remove(ctx, name); err != nil {
				w.t.Errorf("%s: %s, erased again: %v", after, name, err)
			}
			w.gone[name] = what
		}
	}
	clear(w.doubt)
}

// allIsTrue reads all there ever was, after a restart.
func (w *way) allIsTrue() {
	w.s.Kill()
	w.s.Start()
	w.client = newClient(w.t, w.s.S3, w.keys, "calls")
	ctx := w.t.Context()
	for name, what := range w.whole {
		if err := w.client.check(ctx, name, what); err != nil {
			w.t.Errorf("%s was acknowledged: %v", name, err)
		}
	}
	for name := range w.gone {
		if err := w.client.isAbsent(ctx, name); err != nil {
			w.t.Errorf("%s was erased: %v", name, err)
		}
	}
}
