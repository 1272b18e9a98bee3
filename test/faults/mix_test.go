package faults_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lethe-vault/lethe/test/system"
)

// What clients say of people, as they write it: no log, metric, trace or crash may
// show any of it. A name stands in whatever has a name, a number in whatever may.
const (
	oddName   = `Zeppelín "Winifred" & <Söhne>` // is escaped by whatever quotes it
	plain     = "4917212345678"
	formatted = "+49 (172) 123-45678"
	local     = "0172/12345678"
)

// names is a bucket; inNames is what all of its recordings are called after.
const names = inNames + "-calls"

// addresses is where a server is. Each restart changes them.
type addresses struct{ s3, api, ops string }

// mix is all that clients ask of both fronts, right and wrong, from many of them at
// once. Whatever they say holds a name, a number or a secret.
type mix struct {
	t            *testing.T
	at           atomic.Pointer[addresses]
	all          system.Keys // may read and write anything of the tenant
	recorder     system.Keys
	owner, admin string // tokens
	tenant       string
	client       http.Client

	over                    atomic.Bool // there is nobody left to ask
	serial                  atomic.Int64
	sent                    atomic.Int64 // requests that reached the server
	served, refused, failed atomic.Int64
	cut                     atomic.Int64 // have no whole answer

	mu         sync.Mutex // guards the rest
	kept       []string   // recordings that are probably there
	ids        []string   // of requests: a sample
	signatures []string   // a sample
}

const (
	keptMost    = 300
	sampledMost = 300
)

func newMix(t *testing.T) *mix {
	m := &mix{t: t, tenant: inNames + " " + plain}
	transport := newTransport()
	transport.DisableCompression = true
	t.Cleanup(transport.CloseIdleConnections)
	m.client = http.Client{Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return m
}

// run asks, as many at a time, until there was enough of it.
func (m *mix) run(enough func() bool) {
	var asking sync.WaitGroup
	for range 24 {
		asking.Go(func() {
			for !m.over.Load() && !enough() {
				pick(visits).do(m)
			}
		})
	}
	asking.Wait()
}

// visit is something that a client comes for.
type visit struct {
	weight int
	do     func(*mix)
}

// pick draws a visit.
func pick(from []visit) visit {
	total := 0
	for _, v := range from {
		total += v.weight
	}
	n := rand.N(total)
	for _, v := range from {
		if n -= v.weight; n < 0 {
			return v
		}
	}
	panic("the weights have changed")
}

// ask sends a request and reads its answer; a status of 0 is none.
func (m *mix) ask(r *http.Request) answer {
	response, err := m.client.Do(r)
	if err != nil {
		if strings.Contains(err.Error(), "connection refused") { // the server is away
			time.Sleep(20 * time.Millisecond)
			return answer{err: err}
		}
		m.sent.Add(1)
		m.cut.Add(1)
		return answer{err: err}
	}
	a := readAnswer(response)
	m.count(a)
	return a
}

func (m *mix) count(a answer) {
	switch n := m.sent.Add(1); {
	case a.err != nil:
		m.cut.Add(1)
	case n%10 == 0:
		m.sample(&m.ids, a.header.Get("X-Amz-Request-Id")+a.header.Get("X-Request-Id"))
		fallthrough
	default:
		class := map[int]*atomic.Int64{2: &m.served, 3: &m.served, 4: &m.refused, 5: &m.failed}[a.status/100]
		class.Add(1)
	}
}

func (m *mix) sample(into *[]string, s string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s != "" && len(*into) < sampledMost {
		*into = append(*into, s)
	} else if s != "" {
		(*into)[rand.N(sampledMost)] = s
	}
}

// fresh is a name that nothing had. The directories are small, and many.
func (m *mix) fresh() string {
	n := m.serial.Add(1)
	return fmt.Sprintf("%s %d/%s/%s %s %d.wav", inNames, n/100, formatted, plain, oddName, n)
}

// some is the name of a recording that is there, or was, or never.
func (m *mix) some() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kept) == 0 || rand.N(10) == 0 {
		return inNames + "/" + plain
	}
	return m.kept[rand.N(len(m.kept))]
}

// keep remembers a recording, in place of another if there are many.
func (m *mix) keep(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kept) < keptMost {
		m.kept = append(m.kept, name)
		return
	}
	m.kept[rand.N(keptMost)] = name
}

// wish is one request for S3, before it is signed.
type wish struct {
	method       string
	bucket, name string
	query        url.Values
	header       http.Header
	body         string
	keys         system.Keys // zero: those that may everything
}

// path encodes as S3 signs: whatever is not unreserved, but for slashes.
func (w wish) path() string {
	path := "/"
	if w.bucket != "" {
		path += w.bucket
	}
	if w.name != "" {
		path += "/" + w.name
	}
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(path), "+", "%20"), "%2F", "/")
}

// request makes a signed request of a wish.
func (m *mix) request(w wish) *http.Request {
	r := m.unsigned(w)
	m.sign(r, w)
	return r
}

func (m *mix) unsigned(w wish) *http.Request {
	target := m.at.Load().s3 + w.path()
	if len(w.query) > 0 {
		target += "?" + strings.ReplaceAll(w.query.Encode(), "+", "%20")
	}
	r := m.plainRequest(w.method, target, w.body)
	sum := sha256.Sum256([]byte(w.body))
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	for name, values := range w.header {
		r.Header[name] = values
	}
	return r
}

func (m *mix) sign(r *http.Request, w wish) {
	keys := w.keys
	if keys == (system.Keys{}) {
		keys = m.all
	}
	sign(m.t, r, keys)
	if _, signature, ok := strings.Cut(r.Header.Get("Authorization"), "Signature="); ok && rand.N(100) == 0 {
		m.sample(&m.signatures, signature)
	}
}

// plainRequest makes a request that tells of itself what clients and proxies tell.
func (m *mix) plainRequest(method, target, body string) *http.Request {
	r, err := http.NewRequestWithContext(m.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		m.t.Error(err)
		panic(err)
	}
	for name, value := range map[string]string{
		"User-Agent":      inNames + "/" + plain,
		"Referer":         "https://" + inNames + ".example/" + plain,
		"Cookie":          "caller=" + plain + "; agent=" + inNames,
		"From":            inNames + "@example.org",
		"X-Forwarded-For": inNames + ", " + plain,
		"Forwarded":       "for=" + inNames,
		"Tracestate":      inNames + "=" + plain,
		"Baggage":         "caller=" + plain,
		"X-Request-Id":    inNames,
		"Traceparent":     "00-" + inNames + "-" + plain + "-01",
		inNames:           formatted,
	} {
		r.Header.Set(name, value)
	}
	return r
}

// presigned makes a URL that reads a recording, and may be lying about.
func (m *mix) presigned(w wish, valid time.Duration, signedAt time.Time) *http.Request {
	w.query.Set("X-Amz-Expires", fmt.Sprint(int(valid.Seconds())))
	target := m.at.Load().s3 + w.path() + "?" + strings.ReplaceAll(w.query.Encode(), "+", "%20")
	r, err := http.NewRequestWithContext(m.t.Context(), w.method, target, nil)
	if err != nil {
		m.t.Error(err)
		panic(err)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	who := aws.Credentials{AccessKeyID: m.all.AccessKey, SecretAccessKey: m.all.SecretKey}
	signed, _, err := signer.PresignHTTP(context.Background(), who, r, "UNSIGNED-PAYLOAD", "s3", region, signedAt)
	if err != nil {
		m.t.Error(err)
		panic(err)
	}
	m.sample(&m.signatures, signed[strings.LastIndex(signed, "Signature=")+len("Signature="):])
	return m.plainRequest(w.method, signed, "")
}

// api makes a request for the REST API.
func (m *mix) api(method, path, token, body string) *http.Request {
	r := m.plainRequest(method, m.at.Load().api+path, body)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	return r
}
