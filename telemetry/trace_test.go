package telemetry_test

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/accesslog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/gateway/restapi"
	"github.com/lethe-vault/lethe/telemetry"
)

// receiver is an OTLP/HTTP receiver.
type receiver struct {
	url  string
	mu   sync.Mutex // guards the rest
	got  []*spans.Span
	body strings.Builder // all that was sent, as it came
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, err := io.ReadAll(q.Body)
		var in collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(b, &in) != nil || q.Header.Get("Content-Type") != "application/x-protobuf" {
			http.Error(w, "not OTLP", http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.body.Write(b)
		for _, of := range in.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				r.got = append(r.got, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	r.url = s.URL + "/v1/traces"
	return r
}

// named gives the one span of a name.
func (r *receiver) named(t *testing.T, name string) *spans.Span {
	t.Helper()
	for _, s := range r.got {
		if s.Name == name {
			return s
		}
	}
	var names []string
	for _, s := range r.got {
		names = append(names, s.Name)
	}
	t.Fatalf("no span %q among %q", name, names)
	return nil
}

func attribute(s *spans.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return strings.Trim(a.Value.String(), " ")
		}
	}
	return ""
}

const (
	strangersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	strangers      = "00-" + strangersTrace + "-00f067aa0ba902b7-01"
)

// traced has a tenant made over REST by a client with a traceparent, and gives
// the answer's request id once all spans were sent.
func traced(t *testing.T, c telemetry.Traces) (requestID string) {
	t.Helper()
	watch, err := telemetry.New(telemetry.Build{Version: "v0"}, c)
	if err != nil {
		t.Fatal(err)
	}
	parts := gatewaytest.New(t).Parts
	parts.Blobs = watch.Store(parts.Blobs)
	f := gatewaytest.On(t, parts, func(c *gateway.Config) { c.Observer = watch })
	s := httptest.NewServer(restapi.New(f.Gateway, slog.New(slog.DiscardHandler), accesslog.Options{Observer: watch}))
	defer s.Close()
	r, _ := http.NewRequest("POST", s.URL+"/v1/tenants", strings.NewReader(`{"name":"canary-name"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+f.Owner.Reveal())
	r.Header.Set("Traceparent", strangers)
	r.Header.Set("Tracestate", "canary=state")
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", answer, err)
	}
	answer.Body.Close()
	if err := watch.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return answer.Header.Get(restapi.RequestHeader)
}

func TestTraceOfARequest(t *testing.T) {
	r := newReceiver(t)
	id := traced(t, telemetry.Traces{Endpoint: r.url, Ratio: 1, Log: slog.New(slog.DiscardHandler)})
	root := r.named(t, "api createTenant")
	if !strings.Contains(attribute(root, "lethe.request_id"), id) || !strings.Contains(attribute(root, "http.response.status_code"), "201") {
		t.Errorf("request span %v", root)
	}
	for _, name := range []string{"gateway permit", "store create"} {
		s := r.named(t, name)
		if string(s.TraceId) != string(root.TraceId) || !strings.Contains(attribute(s, "lethe.outcome"), "ok") {
			t.Errorf("span %v", s)
		}
	}
	if hex.EncodeToString(root.TraceId) == strangersTrace || len(root.ParentSpanId) != 0 {
		t.Error("a stranger chose the trace's identity")
	}
	if len(root.Links) != 1 || hex.EncodeToString(root.Links[0].TraceId) != strangersTrace {
		t.Errorf("links %v", root.Links)
	}
	if strings.Contains(r.body.String(), "canary") {
		t.Error("a name or a tracestate stands in a trace")
	}
}

// A client that says its request is sampled is not believed.
func TestStrangersForceNoTrace(t *testing.T) {
	r := newReceiver(t)
	traced(t, telemetry.Traces{Endpoint: r.url, Ratio: 0, Log: slog.New(slog.DiscardHandler)})
	if len(r.got) != 0 {
		t.Errorf("%d spans were sent", len(r.got))
	}
}

func TestEndpoint(t *testing.T) {
	for endpoint, ok := range map[string]bool{"": true, "http://h:4318/v1/traces": true, "https://h": true, "h:4318": false, "ftp://h": false, "http://": false} {
		if err := (telemetry.Traces{Endpoint: endpoint}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}
