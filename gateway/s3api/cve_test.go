package s3api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/policy"
)

// Each test here is what another gateway got wrong, and is named for it.

// MinIO's signature gate looked at the header, its streaming handlers at the
// query: an unsigned trailer with a stolen access key and no signature wrote.
func TestCVE_2025_31489_AuthKindsAreNotMixed(t *testing.T) {
	for _, mode := range bodyModes {
		v := newVault(t)
		key := v.recorder.key + "%2F" + time.Now().UTC().Format("20060102") + "%2Fus-east-1%2Fs3%2Faws4_request"
		for name, edit := range map[string]func(*sending){
			"a forged header": func(s *sending) { s.secret = "unknown" },
			"no header, a credential in the query": func(s *sending) {
				s.target += "?X-Amz-Credential=" + key
				s.late = func(r *http.Request) { r.Header.Del("Authorization") }
			},
			"a forged header, a credential in the query": func(s *sending) {
				s.target += "?X-Amz-Credential=" + key
				s.secret = "unknown"
			},
			"a whole query without a signature that is true": func(s *sending) {
				s.target += "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + key + "&X-Amz-Date=" + time.Now().UTC().Format("20060102T150405Z") +
					"&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + strings.Repeat("0", 64)
				s.late = func(r *http.Request) {
					r.Header.Del("Authorization")
				}
			},
			"a true header and a query": func(s *sending) { s.target += "?X-Amz-Signature=" + strings.Repeat("0", 64) },
			"an empty header":           func(s *sending) { s.late = func(r *http.Request) { r.Header.Set("Authorization", "") } },
			"a bearer": func(s *sending) {
				s.late = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+v.recorder.key) }
			},
			"version 2": func(s *sending) {
				s.late = func(r *http.Request) { r.Header.Set("Authorization", "AWS "+v.recorder.key+":c2ln") }
			},
		} {
			s := newSending(mode, "/calls/call", v.recorder)
			edit(s)
			if status, code := s.deliver(t, v, v.recorder); status != 400 && status != 403 {
				t.Errorf("%s with %s: %d %s, want 400 or 403", mode, name, status, code)
			}
			v.wantNothing(name)
		}
	}
}

// A client's header became MinIO's own encryption metadata.
func TestCVE_2026_34204_NoHeaderBecomesOurs(t *testing.T) {
	v := newVault(t)
	r := v.request(v.recorder, "PUT", "/calls/call", "sound", func(r *http.Request) {
		for _, name := range []string{
			"X-Lethe-Class", "X-Lethe-Recording", "Etag", "Last-Modified", "X-Minio-Internal-Server-Side-Encryption-Sealed-Key",
			"X-Amz-Meta-X-Lethe-Class", "X-Amz-Meta-Class",
		} {
			r.Header.Set(name, "forged")
		}
	})
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	head, err := http.DefaultClient.Do(v.request(v.reader, "HEAD", "/calls/call", "", unchanged))
	if err != nil {
		t.Fatal(err)
	}
	head.Body.Close()
	for name, values := range head.Header {
		if slices.Contains(values, "forged") && !strings.HasPrefix(strings.ToLower(name), "x-amz-meta-") {
			t.Errorf("%s was taken from the client", name)
		}
	}
	if got := head.Header.Get("X-Lethe-Class"); got != "B" {
		t.Errorf("class %s, want B", got)
	}
	r = v.request(v.recorder, "PUT", "/calls/other", "sound", func(r *http.Request) {
		r.Header.Set("X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256")
	})
	if status, code := v.send(r); status != 501 || code != "NotImplemented" {
		t.Errorf("a key of the client's own: %d %s, want 501", status, code)
	}
}

// A header that asks to bypass a rule skipped MinIO's Deny.
func TestCVE_2023_25812_BypassHeadersAreRefused(t *testing.T) {
	v := newVault(t)
	for _, name := range []string{
		"X-Amz-Bypass-Governance-Retention", "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date",
		"X-Amz-Object-Lock-Legal-Hold", "X-Amz-Grant-Full-Control", "X-Amz-Request-Payer", "X-Amz-Expected-Bucket-Owner",
	} {
		r := v.request(v.recorder, "PUT", "/calls/call", "sound", func(r *http.Request) { r.Header.Set(name, "true") })
		if status, code := v.send(r); status != 501 || code != "NotImplemented" {
			t.Errorf("%s: %d %s, want 501 NotImplemented", name, status, code)
		}
		v.wantNothing(name)
	}
}

// RustFS copied from a source it had not checked.
func TestCVE_2026_39360_CopyIsRefused(t *testing.T) {
	v := newVault(t)
	for _, source := range []string{"/calls/other", "calls/other", "/other/../calls/x", "%2Fcalls%2Fother"} {
		r := v.request(v.recorder, "PUT", "/calls/call", "", func(r *http.Request) { r.Header.Set("X-Amz-Copy-Source", source) })
		if status, code := v.send(r); status != 501 || code != "NotImplemented" {
			t.Errorf("copy of %s: %d %s, want 501 NotImplemented", source, status, code)
		}
	}
	v.wantNothing("copies")
}

// RustFS believed X-Forwarded-For about where a client is.
func TestCVE_2026_21862_ForwardedForIsNotBelieved(t *testing.T) {
	v := newVault(t)
	forge := func(r *http.Request) {
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "Cf-Connecting-Ip", "True-Client-Ip"} {
			r.Header.Set(name, "192.0.2.7")
		}
	}
	if answer, err := http.DefaultClient.Do(v.request(v.recorder, "PUT", "/calls/call", "sound", forge)); err != nil || answer.StatusCode != 200 {
		t.Fatalf("%v, %v", answer, err)
	}
	tenants, err := v.Parts.Catalog.Tenants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	puts := 0
	for _, tenant := range tenants {
		records, err := v.Parts.Catalog.Events(t.Context(), tenant.ID, time.Time{}, time.Now().Add(time.Hour), 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records {
			if e := v.Unseal(record); e.Action == "put" {
				puts++
				if e.Detail.From != "127.0.0.1" {
					t.Errorf("%s came from %q, want 127.0.0.1", e.Action, e.Detail.From)
				}
			}
		}
	}
	if puts == 0 {
		t.Error("the put is not in the log")
	}
}

// s3-proxy authorised one path and served another: %2F.
func TestCVE_2026_42882_OnePathIsAuthorisedAndServed(t *testing.T) {
	v := newVault(t)
	var p pair
	p.key, p.secret = v.Key("acme", gateway.NewKey{Kind: policy.Recorder, Bucket: calls, Prefix: "in/"})
	for target, want := range map[string]int{
		"/calls/in/a": 200, "/calls/in%2Fb": 200, "/calls%2Fin/c": 200, "/calls/in/../d": 200, // ".." is a part of a name
		"/calls/out/a": 403, "/calls/out%2Fin/a": 403, "/calls/in%252Fa": 403, "/calls/%2Fin/a": 403, "/calls//in/a": 403, "/calls/x/../in/a": 403,
	} {
		answer, err := http.DefaultClient.Do(v.request(p, "PUT", target, "sound", unchanged))
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != want {
			t.Errorf("PUT %s: %d, want %d", target, answer.StatusCode, want)
		}
	}
	want := []string{"in/../d", "in/a", "in/b", "in/c"}
	if got := v.names(); !slices.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
}

// MinIO showed its environment to whoever asked its bootstrap endpoint, and
// Ceph's gateway fell over an empty URL. Here nothing is served without a
// signature, wherever it points.
func TestCVE_2023_28432_CVE_2022_3854_NothingIsServedUnsigned(t *testing.T) {
	v := newVault(t)
	for _, line := range []string{
		"POST /minio/bootstrap/v1/verify", "GET /minio/health/live", "GET /metrics", "GET /debug/pprof/", "GET /",
		"GET //", "GET /?", "GET /%00", "GET /%", "GET *", "OPTIONS *", "OPTIONS /calls/call", "TRACE /calls", "CONNECT /calls", "GET ?", "GET http://", "GET http:///x", "HEAD /..", "PUT /calls/call?%", "GET /calls?a;b",
	} {
		conn, err := net.Dial("tcp", v.host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", line, v.host)
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		conn.Close()
		if answer.StatusCode != 400 && answer.StatusCode != 403 {
			t.Errorf("%s: %d %q, want 400 or 403", line, answer.StatusCode, text)
		}
	}
	if logged := v.log.String(); strings.Contains(logged, "panic") {
		t.Errorf("the front fell over: %s", logged)
	}
}
