package restapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/accesslog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/gateway/restapi"
	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

// front is a REST front on a real gateway.
type front struct {
	*gatewaytest.Fixture
	url   string
	owner string
	log   *bytes.Buffer // read it only after the requests it tells of
}

func newFront(t *testing.T) *front {
	f := &front{Fixture: gatewaytest.New(t), log: new(bytes.Buffer)}
	log := slog.New(slog.NewJSONHandler(f.log, nil))
	s := httptest.NewServer(restapi.New(f.Gateway, log, accesslog.Options{Observer: gatewaytest.Explained(t)}))
	t.Cleanup(s.Close)
	f.url, f.owner = s.URL, f.Owner.Reveal()
	return f
}

// as gives the generated client with a token.
func (f *front) as(t *testing.T, token string) *client.ClientWithResponses {
	t.Helper()
	c, err := client.NewClientWithResponses(f.url, client.WithRequestEditorFn(
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// admin creates a tenant and gives its admin token.
func (f *front) admin(t *testing.T, name string) string {
	t.Helper()
	res, err := f.as(t, f.owner).CreateTenantWithResponse(t.Context(), client.NewTenant{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	if res.JSON201 == nil || res.JSON201.Tenant != name || res.JSON201.AdminToken == "" {
		t.Fatalf("CreateTenant(%q) = %s %s", name, res.Status(), res.Body)
	}
	return res.JSON201.AdminToken
}

func TestTenantFromCreationToErasure(t *testing.T) {
	f := newFront(t)
	admin := f.as(t, f.admin(t, "acme"))
	ctx := t.Context()

	state := func(want client.TenantState, now *client.Tenant, err error) {
		t.Helper()
		if err != nil || now == nil || now.State != want || now.Tenant != "acme" || len(now.Id) != 26 || now.CreatedAt.IsZero() {
			t.Fatalf("tenant = %+v, %v; want state %s", now, err, want)
		}
	}
	got, err := admin.GetTenantWithResponse(ctx, "acme")
	state(client.TenantStateActive, got.JSON200, err)
	revoked, err := admin.RevokeTenantWithResponse(ctx, "acme")
	state(client.TenantStateRevoked, revoked.JSON200, err)
	refused, err := admin.CreateBucketWithResponse(ctx, "acme", client.NewBucket{Name: "calls"})
	if err != nil || refused.ApplicationproblemJSONDefault.Code != "tenant-revoked" {
		t.Errorf("CreateBucket while revoked = %s %s, %v", refused.Status(), refused.Body, err)
	}
	restored, err := admin.RestoreTenantWithResponse(ctx, "acme")
	state(client.TenantStateActive, restored.JSON200, err)
	erased, err := admin.EraseTenantWithResponse(ctx, "acme", client.TenantErasure{Reason: "contract ended"})
	state(client.TenantStateErasing, erased.JSON202, err)
	e := erased.JSON202.Erasure
	if e == nil || len(e.Salt) != 64 || e.Scope != client.ErasureScopeTenant || e.Requester != "admin" || e.Reason != "contract ended" || e.TenantId != erased.JSON202.Id {
		t.Fatalf("its erasure is %+v", e)
	}
	owner := f.as(t, f.owner)
	again, err := owner.EraseTenantWithResponse(ctx, "acme", client.TenantErasure{})
	state(client.TenantStateErasing, again.JSON202, err)
	if is := again.JSON202.Erasure; is == nil || is.Erasure != e.Erasure || is.Salt != "" || is.Reason != e.Reason {
		t.Errorf("erased again, its erasure is %+v", is)
	}
	seen, err := owner.GetErasureWithResponse(ctx, e.Erasure)
	if err != nil || seen.JSON200 == nil || seen.JSON200.State != client.ErasureStateQueued || seen.JSON200.Scope != client.ErasureScopeTenant {
		t.Errorf("GetErasure = %s %s, %v", seen.Status(), seen.Body, err)
	}
	late, err := admin.RestoreTenantWithResponse(ctx, "acme")
	if err != nil || late.StatusCode() != http.StatusGone || late.ApplicationproblemJSONDefault.Code != "tenant-erased" {
		t.Errorf("RestoreTenant after its erasure = %s %s, %v", late.Status(), late.Body, err)
	}
}

func TestBucketsAndKeys(t *testing.T) {
	f := newFront(t)
	admin := f.as(t, f.admin(t, "acme"))
	ctx := t.Context()
	for _, b := range []client.NewBucket{
		{Name: "calls"},
		{Name: "kept", Retention: "90d", Overwrite: "version", MinClass: "A", Etag: "md5", Purpose: "quality"},
		{Name: "longest", Retention: "36500d", Overwrite: "replace"},
	} {
		res, err := admin.CreateBucketWithResponse(ctx, "acme", b)
		if err != nil || res.JSON201 == nil || *res.JSON201 != (client.BucketCreated{Tenant: "acme", Bucket: b.Name}) {
			t.Errorf("CreateBucket(%+v) = %s %s, %v", b, res.Status(), res.Body, err)
		}
	}
	recorder, err := admin.CreateRecorderWithResponse(ctx, "acme", client.NewRecorder{Name: "pbx", Bucket: "calls", Prefix: "in/"})
	if err != nil || recorder.JSON201 == nil || recorder.JSON201.AccessKey == "" || recorder.JSON201.SecretKey == "" {
		t.Errorf("CreateRecorder = %s, %v", recorder.Status(), err)
	}
	reader, err := admin.CreateReaderWithResponse(ctx, "acme", client.NewReader{Name: "qa", Bucket: "*", Purpose: "quality", Write: true})
	if err != nil || reader.JSON201 == nil || reader.JSON201.SecretKey == "" {
		t.Errorf("CreateReader = %s, %v", reader.Status(), err)
	}
	if cache := reader.HTTPResponse.Header.Get("Cache-Control"); cache != "no-store" {
		t.Errorf("Cache-Control of a secret = %q, want no-store", cache)
	}
}

// A tenant's name reaches the server as the operator wrote it.
func TestNamesTravel(t *testing.T) {
	f := newFront(t)
	for _, name := range []string{"a b", "a+b", "a,b", "a%2Fb", "a?b#c", "Ämter & Söhne", "...", "a;b=c", "[x]", `"x"`} {
		f.admin(t, name)
		res, err := f.as(t, f.owner).GetTenantWithResponse(t.Context(), name)
		if err != nil || res.JSON200 == nil || res.JSON200.Tenant != name {
			t.Errorf("GetTenant(%q) = %s %s, %v", name, res.Status(), res.Body, err)
		}
	}
}

// A request goes to the front as bytes, past the generated client.
type request struct {
	method, path, token, contentType, body string
}

func (f *front) send(t *testing.T, q request) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), q.method, f.url+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.token != "" {
		r.Header.Set("Authorization", q.token)
	}
	if q.contentType != "" {
		r.Header.Set("Content-Type", q.contentType)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

func TestRefusals(t *testing.T) {
	f := newFront(t)
	acme, other := "Bearer "+f.admin(t, "acme"), "Bearer "+f.admin(t, "other")
	asOwner := "Bearer " + f.owner
	const tenants, buckets, recorders, readers = "/v1/tenants", "/v1/tenants/acme/buckets", "/v1/tenants/acme/recorders", "/v1/tenants/acme/readers"
	const erasures = "/v1/tenants/acme/erasures"
	get := func(path, token string) request { return request{"GET", path, token, "", ""} }
	post := func(path, token, body string) request {
		return request{"POST", path, token, "application/json", body}
	}
	if res, body := f.send(t, post(buckets, acme, `{"name":"calls"}`)); res.StatusCode != http.StatusCreated {
		t.Fatalf("create bucket: %s %s", res.Status, body)
	}
	for _, tt := range []struct {
		request
		status int
		code   string
		detail string // what the detail must mention
	}{
		{get(tenants, ""), 401, "unauthenticated", "Bearer"},
		{get(tenants, "Basic b3duZXI6"), 401, "unauthenticated", "Bearer"},
		{get(tenants, "Bearer "), 401, "unauthenticated", ""},
		{get(tenants, "Bearer nonsense"), 401, "unauthenticated", "unknown"},
		{post(tenants, acme, `{"name":"mine"}`), 403, "denied", ""},
		{get("/v1/tenants/acme", other), 403, "denied", ""},
		{post("/v1/tenants/acme/erase", other, `{}`), 403, "denied", ""},
		{get("/v1/tenants/nobody", asOwner), 404, "no-such-tenant", ""},
		{get("/", asOwner), 404, "no-such-route", ""},
		{get("/v1/tenants/", asOwner), 404, "no-such-route", ""},
		{get("/v1/tenants/acme/erase/now", asOwner), 404, "no-such-route", ""},
		{request{"DELETE", tenants, asOwner, "", ""}, 405, "no-such-method", ""},
		{post(tenants, asOwner, `{"name":"acme"}`), 409, "tenant-exists", ""},
		{post(tenants, asOwner, `{"name":""}`), 400, "bad-tenant-name", ""},
		{post(tenants, asOwner, `{"name":".."}`), 400, "bad-tenant-name", "slash"},
		{post(tenants, asOwner, `{"name":"a/b"}`), 400, "bad-tenant-name", "slash"},
		{post(tenants, asOwner, `{"name":"a\u0007"}`), 400, "bad-tenant-name", ""},
		{post(tenants, asOwner, ``), 400, "bad-request", "empty"},
		{post(tenants, asOwner, `{"name":`), 400, "bad-request", ""},
		{post(tenants, asOwner, `{"name":"x"} {}`), 400, "bad-request", "more than one"},
		{post(tenants, asOwner, `{"name":"x","admin":true}`), 400, "bad-request", `"admin"`},
		{post(tenants, asOwner, `{"name":7}`), 400, "bad-request", `"name"`},
		{post(tenants, asOwner, `["name"]`), 400, "bad-request", "array"},
		{post(tenants, asOwner, `{"name":"`+strings.Repeat("x", 1<<20)+`"}`), 413, "too-large", "1 MiB"},
		{request{"POST", tenants, asOwner, "text/plain", `{"name":"x"}`}, 415, "not-json", "application/json"},
		{post("/v1/tenants/acme/erase", asOwner, ``), 400, "bad-request", "empty"},
		{post("/v1/tenants/acme/erase", asOwner, `{"because":"x"}`), 400, "bad-request", `"because"`},
		{post("/v1/tenants/acme/erase", asOwner, `{"reason":"he rang from 030 1234567"}`), 400, "bad-reason", "telephone"},
		{post(buckets, acme, `{"name":"calls"}`), 409, "bucket-exists", ""},
		{post(buckets, acme, `{"name":"Calls"}`), 400, "bad-bucket-name", ""},
		{post(buckets, acme, `{"name":"more","retention":"90"}`), 400, "bad-retention", "90d"},
		{post(buckets, acme, `{"name":"more","retention":"0d"}`), 400, "bad-retention", "90d"},
		{post(buckets, acme, `{"name":"more","retention":"-1d"}`), 400, "bad-retention", "90d"},
		{post(buckets, acme, `{"name":"more","retention":"+9d"}`), 400, "bad-retention", "90d"},
		{post(buckets, acme, `{"name":"more","retention":"36501d"}`), 400, "bad-retention", "90d"},
		{post(buckets, acme, `{"name":"more","overwrite":"always"}`), 400, "bad-setting", "never"},
		{post(buckets, acme, `{"name":"more","etag":"sha1"}`), 400, "bad-setting", "opaque"},
		{post(buckets, acme, `{"name":"more","min_class":"E"}`), 400, "bad-class", ""},
		{post(recorders, acme, `{"name":"pbx","bucket":"none"}`), 404, "no-such-bucket", ""},
		{post(recorders, acme, `{"name":"pbx","bucket":"*"}`), 400, "bad-bucket-name", ""},
		{post(recorders, acme, `{"name":"","bucket":"calls"}`), 400, "bad-request", "name"},
		{post(recorders, acme, `{"name":"pbx","bucket":"calls","signing":true}`), 501, "not-implemented", "without signing"},
		{post(erasures, acme, `{}`), 400, "bad-request", "subject"},
		{post(erasures, acme, `{"subject":"a","day":"90d/2026-12-31"}`), 400, "bad-request", "subject"},
		{post(erasures, acme, `{"subject":"a,b"}`), 400, "bad-request", "one data subject"},
		{post(erasures, acme, `{"subject":"nobody"}`), 404, "nothing-to-erase", "spelt"},
		{post(erasures, acme, `{"subject":"nobody","reason":"he rang from 030 1234567"}`), 400, "bad-reason", "telephone"},
		{post(erasures, acme, `{"day":"90/2026-12-31"}`), 400, "bad-day", "90d/2026-12-31"},
		{post(erasures, acme, `{"recording":{"bucket":"calls","name":"never"}}`), 404, "nothing-to-erase", "spelt"},
		{post(erasures, acme, `{"recording":{"bucket":"none","name":"never"}}`), 404, "no-such-bucket", ""},
		{post(erasures, acme, `{"recording":{"bucket":"Calls","name":"a"}}`), 400, "bad-bucket-name", ""},
		{post(erasures, acme, `{"recording":{"bucket":"calls"}}`), 400, "bad-name", "1024"},
		{post(erasures, acme, `{"recording":{"bucket":"calls","name":"`+strings.Repeat("x", 1025)+`"}}`), 400, "bad-name", "1024"},
		{post(erasures, acme, `{"recording":{"bucket":"calls","name":"a","version":"1"}}`), 400, "bad-version", "32 hex"},
		{post(erasures, acme, `{"recording":{"bucket":"calls","name":"a","versions":"1"}}`), 400, "bad-request", `"versions"`},
		{post("/v1/tenants/nobody/erasures", asOwner, `{"subject":"a"}`), 404, "no-such-tenant", ""},
		{get("/v1/erasures/1", acme), 404, "no-such-erasure", "32 hex"},
		{get("/v1/erasures/"+strings.Repeat("1", 32), asOwner), 404, "no-such-erasure", "32 hex"},
		{get(erasures+"?limit=1001", acme), 400, "bad-request", "1000"},
		{get(erasures+"?limit=many", acme), 400, "bad-request", "limit"},
		{get(erasures+"?before=1", acme), 404, "no-such-erasure", ""},
		{get(erasures+"?before="+strings.Repeat("1", 32), acme), 404, "no-such-erasure", ""},
		{post(readers, acme, `{"name":"qa","bucket":"calls","prefix":"a\u0000"}`), 400, "bad-request", "prefix"},
	} {
		res, body := f.send(t, tt.request)
		name := tt.method + " " + tt.path + " " + tt.body[:min(len(tt.body), 60)]
		var p client.Problem
		if err := json.Unmarshal(body, &p); err != nil {
			t.Errorf("%s = %s %q, not a problem: %v", name, res.Status, body, err)
			continue
		}
		if res.StatusCode != tt.status || p.Status != tt.status || p.Code != tt.code || !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%s = %d %+v, want %d %s mentioning %q", name, res.StatusCode, p, tt.status, tt.code, tt.detail)
		}
		if p.Title == "" || p.Detail == "" || p.Type != "/v1/openapi.yaml#/x-problems/"+p.Code ||
			p.RequestId == "" || p.RequestId != res.Header.Get("X-Request-Id") ||
			res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: malformed problem %+v, header %v", name, p, res.Header)
		}
		if challenge := res.Header.Get("WWW-Authenticate"); (tt.status == 401) != (challenge != "") {
			t.Errorf("%s: WWW-Authenticate = %q", name, challenge)
		}
	}
	if logged := f.log.String(); strings.Contains(logged, "request failed") || strings.Contains(logged, `"error"`) {
		t.Errorf("the caller's mistakes are logged as the vault's:\n%s", logged)
	}
}

// What fails here and not at the caller is logged once, under the request's
// id, and may be tried again.
func TestUnavailable(t *testing.T) {
	f := newFront(t)
	if err := f.Catalog.Close(); err != nil {
		t.Fatal(err)
	}
	res, body := f.send(t, request{"GET", "/v1/tenants", "Bearer " + f.owner, "", ""})
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("without a catalog: %s %s, Retry-After %q", res.Status, body, res.Header.Get("Retry-After"))
	}
	log, id := f.log.String(), res.Header.Get("X-Request-Id")
	if strings.Count(log, id) != 1 || strings.Count(log, "\n") != 1 || strings.Contains(log, f.owner) {
		t.Errorf("log of request %s:\n%s", id, log)
	}
}

func TestSpecificationIsShown(t *testing.T) {
	res, body := newFront(t).send(t, request{"GET", restapi.SpecificationPath, "", "", ""})
	if res.StatusCode != http.StatusOK || !bytes.Equal(body, restapi.Specification) {
		t.Errorf("GET %s = %s, %d bytes", restapi.SpecificationPath, res.Status, len(body))
	}
}
