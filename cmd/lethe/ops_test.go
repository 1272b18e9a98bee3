package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/telemetry"
)

// asks gives the answer to a GET of the ops listener.
func (r *running) asks(t *testing.T, path, token string) (int, string) {
	t.Helper()
	return fetch(t, r.at.Ops+path, token)
}

// fetch gives the answer to a GET of HOST:PORT/PATH.
func fetch(t *testing.T, at, token string) (int, string) {
	t.Helper()
	q, err := http.NewRequest("GET", "http://"+at, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	if code, body := s.asks(t, "/readyz", ""); code != 200 || strings.TrimSpace(body) != `{"ready":true,"checks":{"catalog":"ok","store":"ok"}}` {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "blobs", "probe")); len(left) > 0 {
		t.Errorf("the probe left %v, %v", left, err)
	}
}

// A store in which nothing can be deleted is left one blob and is ready.
func TestProbeOfALockedStore(t *testing.T) {
	s, err := filestore.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := &probe{blobs: locked{s}, log: slog.New(slog.DiscardHandler)}
	for range 3 {
		if err := p.check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	for range s.List(t.Context(), "probe/") {
		count++
	}
	if count != 1 {
		t.Errorf("%d blobs were left", count)
	}
	p.blobs = s // unlocked: what was left goes
	if err := p.check(t.Context()); err != nil || p.left != "" {
		t.Errorf("check = %v, left %q", err, p.left)
	}
	for in := range s.List(t.Context(), "probe/") {
		t.Errorf("%s was left", in.Key)
	}
}

// locked is a directory whose blobs a lock keeps.
type locked struct{ *filestore.Store }

func (locked) Delete(context.Context, string) error { return os.ErrPermission }

func TestProfilesAreTheOwners(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	owner, err := readToken(filepath.Join(s.dir, ownerFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=0.1"} {
		for _, token := range []string{"", "wrong", owner + "x", owner[1:]} {
			if code, _ := s.asks(t, path, token); code != 401 {
				t.Errorf("%s with a wrong token: %d", path, code)
			}
		}
		if code, body := s.asks(t, path, owner); code != 200 || body == "" || strings.Contains(body, owner) {
			t.Errorf("%s: %d, %d bytes", path, code, len(body))
		}
	}
	if code, body := s.asks(t, "/debug/pprof/cmdline", owner); code != 404 {
		t.Errorf("the command line is served: %d %s", code, body)
	}
}

// families reads /metrics as Prometheus would, and checks its form.
func (r *running) families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	code, text := r.asks(t, "/metrics", "")
	if code != 200 {
		t.Fatalf("/metrics: %d", code)
	}
	return parse(t, []byte(text))
}

func parse(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "lethe_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// sum adds the samples of a metric that have all of the labels, given as
// name=value.
func sum(f *dto.MetricFamily, labels ...string) (total float64) {
	for _, m := range f.GetMetric() {
		var has []string
		for _, l := range m.GetLabel() {
			has = append(has, l.GetName()+"="+l.GetValue())
		}
		if !slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(has, l) }) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return total
}

// used is a server that a tenant has used, and what its clients may never see
// in a metric or a log.
func used(t *testing.T) (s *running, canaries []string) {
	s = startServer(t, filepath.Join(t.TempDir(), "data"), "--log-level", "debug")
	file := filepath.Join(t.TempDir(), "call.wav")
	if err := os.WriteFile(file, bytes.Repeat([]byte("sound"), 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(args ...string) []string { return append(args, "--data", s.dir) }
	answers[map[string]any](t, at("tenant", "create", "canary-tenant")...)
	answers[map[string]any](t, at("bucket", "create", "--tenant", "canary-tenant", "canary-bucket")...)
	recorder := answers[keyPair](t, at("recorder", "create", "--tenant", "canary-tenant", "pbx", "--bucket", "canary-bucket")...)
	reader := answers[keyPair](t, at("reader", "create", "--tenant", "canary-tenant", "desk", "--bucket", "canary-bucket", "--purpose", "canary-purpose")...)
	as := func(k keyPair, args ...string) []string {
		return at(append(args, "--access-key", k.AccessKey, "--secret-key", k.SecretKey)...)
	}
	answers[map[string]any](t, as(recorder, "put", file, "--bucket", "canary-bucket", "--name", "4912345678901.wav", "--subject", "+4912345678901")...)
	answers[map[string]any](t, as(reader, "get", "canary-bucket/4912345678901.wav", filepath.Join(t.TempDir(), "out"))...)
	answers[map[string]any](t, as(reader, "stat", "canary-bucket/4912345678901.wav")...)
	answers[any](t, as(reader, "ls", "canary-bucket")...)
	if status, _, _ := lethe(t, as(recorder, "get", "canary-bucket/4912345678901.wav", filepath.Join(t.TempDir(), "no"))...); status != failed {
		t.Error("a recorder could read")
	}
	answers[map[string]any](t, at("sweep")...)
	answers[map[string]any](t, at("sweep", "--dry-run")...)
	s.asks(t, "/readyz", "")
	return s, []string{"canary", "4912345678901", recorder.AccessKey, recorder.SecretKey, reader.AccessKey, reader.SecretKey}
}

type keyPair struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s, canaries := used(t)
	all := s.families(t)
	for _, c := range []struct {
		metric string
		least  float64
		labels []string
	}{
		{"lethe_requests_total", 1, []string{"front=s3", "operation=PutObject", "status=2xx"}},
		{"lethe_requests_total", 1, []string{"front=s3", "operation=GetObject", "status=4xx"}},
		{"lethe_requests_total", 1, []string{"front=api", "operation=createTenant", "status=2xx"}},
		{"lethe_request_duration_seconds", 1, []string{"front=s3", "operation=GetObject", "status=2xx"}},
		{"lethe_request_received_bytes_total", 100_000, []string{"operation=PutObject"}},
		{"lethe_request_sent_bytes_total", 100_000, []string{"operation=GetObject"}},
		{"lethe_store_bytes_total", 100_000, []string{"direction=written"}},
		{"lethe_store_bytes_total", 100_000, []string{"direction=read"}},
		{"lethe_store_calls_total", 1, []string{"operation=create", "outcome=ok"}},
		{"lethe_catalog_calls_total", 1, []string{"operation=Create", "outcome=ok"}},
		{"lethe_catalog_calls_total", 1, []string{"operation=Find", "outcome=ok"}},
		{"lethe_audit_events_total", 1, []string{"result=durable"}},
		{"lethe_audit_write_duration_seconds", 1, nil},
		{"lethe_lease_lookups_total", 1, []string{"result=miss"}},
		{"lethe_lease_lookups_total", 1, []string{"result=hit"}},
		{"lethe_sweep_completed_timestamp_seconds", 1, nil},
		{"lethe_ready", 2, nil},
		{"lethe_build_info", 1, nil},
	} {
		if got := sum(all[c.metric], c.labels...); got < c.least {
			t.Errorf("%s%v = %v, want at least %v", c.metric, c.labels, got, c.least)
		}
	}
	for _, metric := range []string{"lethe_unaudited_total", "lethe_panics_total", "lethe_requests_in_flight"} {
		if f, ok := all[metric]; !ok || sum(f) != 0 {
			t.Errorf("%s is %v, %v; want 0", metric, sum(f), ok)
		}
	}
	_, text := s.asks(t, "/metrics", "")
	s.stop()
	for _, canary := range canaries {
		if strings.Contains(text, canary) || strings.Contains(s.log.String(), canary) {
			t.Errorf("%q stands in a metric or in the log", canary)
		}
	}
	if !strings.Contains(s.log.String(), `"operation":"PutObject","status":200`) {
		t.Errorf("no line for the upload in\n%s", s.log)
	}
}

// docs/metrics.md says of every metric what it means, and of none that is not.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	s, _ := used(t)
	shown := s.families(t)
	for name, f := range vaultFamilies(t) { // an embedded server has no Vault
		shown[name] = f
	}
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(lethe_\\w+)` \\| ([a-z, ]*)\\|").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = true
		f, ok := shown[row[1]]
		if !ok && row[1] == "lethe_retention_completed_timestamp_seconds" {
			continue // absent for the first 10 s
		}
		if !ok {
			t.Errorf("docs/metrics.md: %s is not shown", row[1])
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		want := strings.FieldsFunc(row[2], func(r rune) bool { return r == ',' || r == ' ' })
		if slices.Sort(labels); !slices.Equal(labels, slices.Sorted(slices.Values(want))) {
			t.Errorf("docs/metrics.md: labels of %s are %q, and it has %q", row[1], want, labels)
		}
	}
	for name := range shown {
		if strings.HasPrefix(name, "lethe_") && !documented[name] {
			t.Errorf("docs/metrics.md does not say what %s is", name)
		}
	}
	rules, err := os.ReadFile("../../packaging/prometheus/lethe.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`lethe_\w+`).FindAllString(string(rules), -1) {
		if !documented[name] && !documented[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("an alert asks for %s, which there is not", name)
		}
	}
}

// vaultFamilies are the metrics of a process that has asked Vault once.
func vaultFamilies(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	watch, err := telemetry.New(telemetry.Build{}, telemetry.Traces{})
	if err != nil {
		t.Fatal(err)
	}
	_, end := watch.Begin(t.Context(), observe.Call{Part: observe.Vault, Operation: "decrypt", Role: "data"})
	end(observe.OK)
	out := map[string]*dto.MetricFamily{}
	list, err := watch.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if strings.HasPrefix(f.GetName(), "lethe_vault_") {
			out[f.GetName()] = f
		}
	}
	return out
}
