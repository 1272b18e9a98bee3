package faults_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// visits are what clients come for, right and wrong.
var visits = []visit{
	{16, (*mix).put},
	{14, (*mix).get},
	{4, (*mix).presign},
	{8, (*mix).list},
	{3, (*mix).lookAround},
	{1, (*mix).inParts},
	{4, (*mix).erase},
	{2, (*mix).eraseMany},
	{1, (*mix).makeBucket},
	{30, (*mix).wrongS3},
	{5, (*mix).garbage},
	{8, (*mix).manage},
	{8, (*mix).wrongAPI},
	{4, (*mix).operate},
}

// described are the headers that a recorder describes a call with.
func described() http.Header {
	return http.Header{
		"Content-Type":             {"audio/" + inNames},
		"Content-Disposition":      {`attachment; filename="` + inNames + `.wav"`},
		"X-Amz-Meta-Lethe-Subject": {plain + ", " + formatted},
		"X-Amz-Meta-Lethe-Agent":   {inNames},
		"X-Amz-Meta-Caller":        {local},
		"X-Amz-Meta-" + inNames:    {plain},
	}
}

func (m *mix) put() {
	w := wish{method: "PUT", bucket: names, name: m.fresh(), header: described(), body: strings.Repeat(saidInCalls, 1+rand.N(60))}
	if rand.N(2) == 0 {
		w.keys = m.recorder
	}
	if a := m.ask(m.request(w)); a.status == http.StatusOK {
		m.keep(w.name)
	}
}

func (m *mix) get() {
	w := wish{method: "GET", bucket: names, name: m.some()}
	switch rand.N(6) {
	case 0:
		w.method = "HEAD"
	case 1:
		w.header = http.Header{"Range": {"bytes=10-60"}}
	case 2:
		w.header = http.Header{"If-None-Match": {`"` + inNames + `"`}, "If-Match": {`"` + plain + `"`}}
	}
	m.ask(m.request(w))
}

func (m *mix) presign() {
	w := wish{method: "GET", bucket: names, name: m.some(), query: url.Values{
		"response-content-disposition": {`attachment; filename="` + oddName + plain + `"`}, "response-content-type": {"audio/" + inNames},
	}}
	m.ask(m.presigned(w, 5*time.Minute, time.Now()))
}

// listings are the queries of every way to list, of one directory of many.
func (m *mix) listings() []url.Values {
	below := fmt.Sprintf("%s %d/", inNames, rand.N(m.serial.Load()/100+1))
	return []url.Values{
		{"list-type": {"2"}, "prefix": {below}, "max-keys": {"20"}, "delimiter": {"/"}, "fetch-owner": {"true"}},
		{"list-type": {"2"}, "prefix": {below + formatted}, "start-after": {below + formatted + "/" + plain}, "max-keys": {"5"}},
		{"list-type": {"2"}, "prefix": {inNames}, "delimiter": {inNames}, "max-keys": {"5"}, "encoding-type": {"url"}},
		{"prefix": {below}, "marker": {below + plain}, "max-keys": {"5"}},
		{"versions": {""}, "prefix": {below}, "key-marker": {below + plain}, "max-keys": {"5"}},
		{"uploads": {""}, "prefix": {inNames}, "key-marker": {plain}, "max-uploads": {"5"}},
	}
}

func (m *mix) list() { m.listAs(one(m.listings())) }

func (m *mix) listAs(query url.Values) {
	w := wish{method: "GET", bucket: names, query: query}
	a := m.ask(m.request(w))
	var page struct{ NextContinuationToken string }
	if xml.Unmarshal([]byte(a.body), &page) == nil && page.NextContinuationToken != "" {
		w.query.Set("continuation-token", page.NextContinuationToken)
		m.ask(m.request(w))
	}
}

func (m *mix) lookAround() {
	for _, w := range []wish{
		{method: "GET", query: url.Values{"prefix": {inNames}}},
		{method: "HEAD", bucket: names},
		{method: "GET", bucket: names, query: url.Values{"location": {""}}},
		{method: "GET", bucket: names, query: url.Values{"versioning": {""}}},
	} {
		m.ask(m.request(w))
	}
}

func (m *mix) inParts() {
	if w, list, ok := m.parts(); ok {
		one([]func(wish, string){m.complete, m.complete, m.abort})(w, list)
	}
}

// parts begins an upload and sends two parts. It gives what to wish for about it, and
// the list that completes it, but for its end.
func (m *mix) parts() (w wish, list string, ok bool) {
	w = wish{method: "POST", bucket: names, name: m.fresh(), header: described(), query: url.Values{"uploads": {""}}}
	var begun struct {
		UploadID string `xml:"UploadId"`
	}
	if a := m.ask(m.request(w)); a.status != http.StatusOK || xml.Unmarshal([]byte(a.body), &begun) != nil {
		return w, "", false
	}
	list = "<CompleteMultipartUpload>"
	for n := range 2 {
		part := wish{method: "PUT", bucket: names, name: w.name, body: strings.Repeat(saidInCalls, 100),
			query: url.Values{"partNumber": {fmt.Sprint(n + 1)}, "uploadId": {begun.UploadID}}}
		a := m.ask(m.request(part))
		list += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n+1, a.header.Get("Etag"))
	}
	return wish{bucket: names, name: w.name, query: url.Values{"uploadId": {begun.UploadID}}}, list, true
}

// complete lists the parts, has two wrong lists of them refused, and sends the right one.
func (m *mix) complete(w wish, list string) {
	w.method = "GET"
	m.ask(m.request(w))
	w.method = "POST"
	const ending = "</CompleteMultipartUpload>"
	for _, w.body = range []string{list + "<!-- " + inNames, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + plain + "</ETag></Part>" + ending} {
		m.ask(m.request(w))
	}
	w.body = list + ending
	if a := m.ask(m.request(w)); a.status == http.StatusOK {
		m.keep(w.name)
	}
}

func (m *mix) abort(w wish, _ string) {
	w.method = "DELETE"
	m.ask(m.request(w))
}

func (m *mix) erase() { m.ask(m.request(wish{method: "DELETE", bucket: names, name: m.some()})) }

func (m *mix) eraseMany() {
	var list strings.Builder
	for range 3 {
		list.WriteString("<Object><Key>")
		xml.EscapeText(&list, []byte(m.some()))
		list.WriteString("</Key></Object>")
	}
	m.ask(m.request(wish{method: "POST", bucket: names, query: url.Values{"delete": {""}},
		body: "<Delete>" + list.String() + "<Object><Key>" + inNames + "</Key><VersionId>" + plain + "</VersionId></Object></Delete>"}))
}

func (m *mix) makeBucket() {
	bucket := fmt.Sprintf("%s-%s-%d", inNames, plain, rand.N(20))
	m.ask(m.request(wish{method: "PUT", bucket: bucket}))
	m.ask(m.request(wish{method: "DELETE", bucket: bucket}))
	m.ask(m.request(wish{method: "DELETE", bucket: names})) // is not empty
}

// call is a request for the REST API.
type call struct{ method, path, token, body string }

// calls are right.
func (m *mix) calls() []call {
	in := "/v1/tenants/" + url.PathEscape(m.tenant)
	return []call{
		{"GET", in, m.owner, ""},
		{"GET", in, m.admin, ""},
		{"GET", "/v1/tenants", m.owner, ""},
		{"GET", "/v1/openapi.yaml?" + inNames + "=" + plain, m.owner, ""},
		{"POST", in + "/buckets", m.admin, fmt.Sprintf(`{"name":"%s-%d","purpose":"%s","retention":"90d"}`, inNames, rand.N(50), formatted)},
		{"POST", in + "/readers", m.admin, fmt.Sprintf(`{"name":"%s","bucket":"*","prefix":"%s","purpose":"%s"}`, inNames, plain, formatted)},
		{"POST", in + "/recorders", m.owner, fmt.Sprintf(`{"name":"%s","bucket":"%s","prefix":"%s"}`, inNames, names, plain)},
		{"POST", "/v1/sweep", m.owner, `{"dry_run":true}`},
		{"POST", in + "/erasures", m.admin, fmt.Sprintf(`{"recording":{"bucket":%q,"name":%s},"reason":%q}`, names, quoted(m.some()), inNames)},
		{"GET", in + "/erasures?limit=3", m.owner, ""},
	}
}

// manage uses the REST API; every now and then it makes a tenant and erases it.
func (m *mix) manage() {
	if rand.N(60) == 0 {
		m.aTenant()
		return
	}
	m.call(one(m.calls()))
}

// call keeps a secret that the answer shows, and looks again at what is being erased.
func (m *mix) call(c call) {
	var shown struct {
		SecretKey string `json:"secret_key"`
		Erasure   string
		Salt      string
	}
	a := m.ask(m.api(c.method, c.path, c.token, c.body))
	if json.Unmarshal([]byte(a.body), &shown) != nil {
		return
	}
	m.sample(&m.signatures, shown.SecretKey)
	m.sample(&m.signatures, shown.Salt)
	if shown.Erasure != "" {
		m.ask(m.api("GET", "/v1/erasures/"+shown.Erasure, m.admin, ""))
	}
}

// quoted is a name as JSON has it.
func quoted(name string) string {
	b, err := json.Marshal(name)
	if err != nil {
		panic(err) // a string has a form
	}
	return string(b)
}

// aTenant is the life of a tenant.
func (m *mix) aTenant() {
	name := fmt.Sprintf("%s %d %s", inNames, m.serial.Add(1), oddName)
	a := m.ask(m.api("POST", "/v1/tenants", m.owner, `{"name":`+quoted(name)+`}`))
	var made struct {
		AdminToken string `json:"admin_token"`
	}
	if a.status != http.StatusCreated || json.Unmarshal([]byte(a.body), &made) != nil {
		return
	}
	m.sample(&m.signatures, made.AdminToken)
	in := "/v1/tenants/" + url.PathEscape(name)
	m.ask(m.api("POST", in+"/buckets", made.AdminToken, `{"name":"`+names+`"}`))
	for _, what := range []string{"revoke", "restore"} {
		m.ask(m.api("POST", in+"/"+what, m.owner, ""))
	}
	m.ask(m.api("POST", in+"/erase", m.owner, `{"reason":"`+inNames+`"}`))
	m.ask(m.api("GET", in, made.AdminToken, ""))
}

// operate asks the listener for probes, as whoever finds it would.
func (m *mix) operate() {
	paths := []string{
		"/healthz?" + inNames + "=" + plain, "/readyz?" + plain, "/" + inNames + "/" + plain,
		"/metrics?name[]=" + inNames, "/debug/pprof/" + inNames, "/debug/pprof/heap?debug=" + plain,
		"/debug/pprof/cmdline", "/debug/pprof/symbol?" + plain,
	}
	r := m.plainRequest(one([]string{"GET", "GET", "POST", "HEAD"}), m.at.Load().ops+one(paths), "")
	r.Header.Set("Authorization", one([]string{"Bearer " + m.owner, "Bearer " + inNames, "Basic " + plain, inNames}))
	m.ask(r)
}

// everything asks each thing once, so that none is left to chance.
func (m *mix) everything() {
	for _, v := range visits {
		v.do(m)
	}
	for _, query := range m.listings() {
		m.listAs(query)
	}
	for _, w := range wrong {
		m.ask(m.request(w))
	}
	for _, spoil := range spoilt {
		m.spoiled(spoil)
	}
	for _, c := range append(m.calls(), m.wrongCalls()...) {
		m.call(c)
	}
	at := m.at.Load()
	for _, text := range nonsense {
		for _, to := range []string{at.s3, at.api, at.ops} {
			m.raw(to, text)
		}
	}
	for _, end := range []func(wish, string){m.complete, m.abort} {
		if w, list, ok := m.parts(); ok {
			end(w, list)
		}
	}
	m.aTenant()
	m.hangUp()
	m.notARecorders()
	m.wrongPresigned()
}

// one draws one of them.
func one[T any](of []T) T { return of[rand.N(len(of))] }
