package faults_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

// wrong are wishes that S3 refuses, each for something else that a client may have
// got wrong, and in which a name or a number stands.
var wrong = []wish{
	{method: "GET", bucket: names, query: url.Values{inNames: {plain}}},
	{method: "GET", bucket: names, query: url.Values{"policy": {""}, inNames: {formatted}}},
	{method: "GET", bucket: names, query: url.Values{"list-type": {"2"}, "max-keys": {plain}}},
	{method: "GET", bucket: names, query: url.Values{"list-type": {"2"}, "encoding-type": {inNames}}},
	{method: "GET", bucket: names, query: url.Values{"list-type": {"2"}, "continuation-token": {inNames}}},
	{method: "GET", bucket: names, query: url.Values{"list-type": {"2"}, "prefix": {inNames + "\x00\xff"}}},
	{method: "GET", bucket: names, query: url.Values{"list-type": {"2"}, "prefix": {inNames, plain}}},
	{method: "GET", bucket: names, query: url.Values{"versions": {""}, "key-marker": {inNames}, "version-id-marker": {plain}}},
	{method: "GET", bucket: names, name: inNames, query: url.Values{"versionId": {plain}}},
	{method: "GET", bucket: names, name: inNames, query: url.Values{"uploadId": {inNames}}},
	{method: "GET", bucket: names, name: inNames, query: url.Values{"tagging": {""}}},
	{method: "GET", bucket: names, name: inNames, query: url.Values{"response-content-type": {inNames + "\r\n" + plain}}},
	{method: "GET", bucket: names, name: inNames, body: saidInCalls},
	{method: "GET", bucket: strings.ToUpper(names), name: plain},
	{method: "GET", bucket: inNames + "-" + plain, name: plain},
	{method: "GET", bucket: formatted, name: inNames},
	{method: "GET", bucket: names, name: inNames + "\x00" + plain},
	{method: "GET", bucket: names, name: inNames + "\xff" + plain},
	{method: "GET", bucket: names, name: strings.Repeat(inNames, 100)},
	{method: "PUT", bucket: names, name: plain, query: url.Values{"partNumber": {inNames}, "uploadId": {plain}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"Content-Md5": {inNames}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"Content-Md5": {"XrY7u+Ae7tCTyyK7j1rNww=="}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-Checksum-Sha256": {inNames}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-Checksum-Crc32": {"AAAAAA=="}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-Content-Sha256": {inNames}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-Content-Sha256": {emptyHash}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-Copy-Source": {"/" + names + "/" + plain}}},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-Tagging": {"caller=" + plain}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-" + inNames: {plain}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-Server-Side-Encryption-Customer-Key": {inNames}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-Meta-Note": {strings.Repeat(inNames, 200)}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, header: http.Header{"X-Amz-Meta-Note": {inNames + "\xff"}}, body: saidInCalls},
	{method: "PUT", bucket: names, name: plain, body: inNames + ";chunk-signature=" + plain + "\r\n", header: http.Header{
		"X-Amz-Content-Sha256": {"STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, "X-Amz-Decoded-Content-Length": {"10"}, "X-Amz-Trailer": {inNames}, "Content-Encoding": {"aws-chunked"}}},
	{method: "PUT", bucket: names, name: plain, body: "5;chunk-signature=" + plain + "\r\n" + inNames, header: http.Header{
		"X-Amz-Content-Sha256": {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, "X-Amz-Decoded-Content-Length": {"5"}, "Content-Encoding": {"aws-chunked"}}},
	{method: "PUT", bucket: inNames + "-new", body: "<CreateBucketConfiguration><LocationConstraint>" + inNames + "</LocationConstraint>" + plain},
	{method: "POST", bucket: names, query: url.Values{"delete": {""}}, body: "<Delete><Object><Key>" + inNames + "</Key><" + plain},
	{method: "POST", bucket: names, query: url.Values{"delete": {""}}, body: `<!DOCTYPE x [<!ENTITY caller "` + plain + `">]><Delete><Object><Key>` + inNames + "&caller;</Key></Object></Delete>"},
	{method: "POST", bucket: names, query: url.Values{"delete": {""}}, body: "<Delete xmlns='" + inNames + "'><" + inNames + "/></Delete>"},
	{method: "POST", bucket: names, query: url.Values{"delete": {""}}, body: "<Delete><Object><Key>" + strings.Repeat(inNames, 90) + "</Key></Object></Delete>"},
	{method: "POST", bucket: names, query: url.Values{"delete": {""}}, body: "<Delete><Object><Key>" + plain + "</Key></Object></Delete>", header: http.Header{"Content-Md5": {inNames}}},
	{method: "POST", bucket: names, name: plain, query: url.Values{"uploadId": {inNames}}, body: "<CompleteMultipartUpload><Part><PartNumber>" + plain + "</PartNumber>"},
	{method: "POST", bucket: names, name: plain, query: url.Values{"uploadId": {inNames}}, body: "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + inNames + "</ETag></Part></CompleteMultipartUpload>"},
	{method: "POST", bucket: names, name: plain, query: url.Values{"restore": {""}}, body: inNames},
	{method: "POST", bucket: names, body: "--" + inNames + "\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n" + plain, header: http.Header{"Content-Type": {"multipart/form-data; boundary=" + inNames}}},
	{method: "DELETE", bucket: names, name: inNames, query: url.Values{"uploadId": {plain}}},
	{method: "DELETE", bucket: names, name: inNames, header: http.Header{"If-Match": {inNames}}},
	{method: "ZEPPELIN-WINIFRED", bucket: names, name: plain},
	{method: "OPTIONS", bucket: names, name: plain, header: http.Header{"Origin": {"https://" + inNames + ".example"}, "Access-Control-Request-Headers": {inNames}}},
}

// spoilt are ways to spoil a request that was signed.
var spoilt = []func(r *http.Request){
	func(r *http.Request) { r.Header.Del("Authorization") },
	func(r *http.Request) { r.Header.Set("Authorization", "AWS "+inNames+":"+plain) },
	func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+inNames) },
	func(r *http.Request) {
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+inNames+"/"+plain+", SignedHeaders=host, Signature="+inNames)
	},
	func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "Credential=", "Credential="+inNames, 1))
	},
	func(r *http.Request) { r.Header.Add("Authorization", "AWS4-HMAC-SHA256 "+inNames) },
	func(r *http.Request) { r.Header.Set("X-Amz-Date", inNames) },
	func(r *http.Request) { r.Header.Set("X-Amz-Date", "20010101T000000Z") },
	func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", inNames) },
	func(r *http.Request) { r.Header.Set("X-Amz-Meta-Unsigned", plain) },
	func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/"+names+"/another "+inNames, "" },
	func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=" + plain + "&X-Amz-Credential=" + inNames },
	func(r *http.Request) { r.URL.RawQuery = inNames + "=%zz;" + plain },
	func(r *http.Request) { r.Host = inNames + ".vault.example" },
	func(r *http.Request) { r.Host = plain },
	func(r *http.Request) { r.Method = "WINIFRED" },
	func(r *http.Request) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} },
	func(r *http.Request) { r.Header.Set("Expect", inNames) },
}

// strangers are keys that the server does not know, or whose secret is another.
var strangers = []system.Keys{
	{AccessKey: "LETHEAAAAAAAAAAAAAAA", SecretKey: inNames},
	{AccessKey: inNames, SecretKey: plain},
}

// wrongS3 has S3 refuse something.
func (m *mix) wrongS3() {
	switch rand.N(8) {
	case 0, 1:
		m.spoiled(one(spoilt))
	case 2:
		w := wish{method: "GET", bucket: names, name: m.some(), keys: one(strangers)}
		if rand.N(2) == 0 {
			w.keys = system.Keys{AccessKey: m.all.AccessKey, SecretKey: m.recorder.SecretKey}
		}
		m.ask(m.request(w))
	case 3:
		m.notARecorders()
	case 4:
		m.wrongPresigned()
	default:
		m.ask(m.request(one(wrong)))
	}
}

// spoiled sends what was changed after it was signed.
func (m *mix) spoiled(spoil func(*http.Request)) {
	r := m.request(wish{method: "PUT", bucket: names, name: m.fresh(), header: described(), body: saidInCalls})
	spoil(r)
	m.ask(r)
}

// notARecorders asks for what a recorder may not do.
func (m *mix) notARecorders() {
	for _, w := range []wish{{method: "GET", bucket: names, name: m.some()}, {method: "GET", bucket: names}, {method: "DELETE", bucket: names, name: m.some()}} {
		w.keys = m.recorder
		m.ask(m.request(w))
	}
}

// wrongPresigned uses URLs that have expired, hold for too long, write, or were changed.
func (m *mix) wrongPresigned() {
	w := wish{method: "GET", bucket: names, name: m.some(), query: url.Values{"response-content-language": {inNames}}}
	valid, signedAt := time.Minute, time.Now()
	switch rand.N(4) {
	case 0:
		signedAt = signedAt.Add(-2 * time.Minute)
	case 1:
		valid = 24 * time.Hour
	case 2:
		w.method = "PUT"
	}
	r := m.presigned(w, valid, signedAt)
	if rand.N(2) == 0 {
		r.URL.RawQuery += "&" + inNames + "=" + plain
	}
	m.ask(r)
}

// wrongCalls are what the REST API refuses.
func (m *mix) wrongCalls() []call {
	in := "/v1/tenants/" + url.PathEscape(m.tenant)
	return []call{
		{"GET", in, inNames, ""},
		{"GET", in, "", ""},
		{"GET", in, m.admin + plain, ""},
		{"GET", "/v1/tenants", m.admin, ""},
		{"GET", "/v1/tenants/" + inNames + "/" + plain, m.owner, ""},
		{"GET", "/v1/tenants/" + inNames + "%ff%00", m.owner, ""},
		{"GET", "/v1/" + inNames + "?" + plain, m.owner, ""},
		{"WINIFRED", in + "/erase", m.owner, "{}"},
		{"POST", "/v1/tenants", m.owner, `{"name":"` + inNames},
		{"POST", "/v1/tenants", m.owner, `{"name":"` + inNames + `\u0000"}`},
		{"POST", "/v1/tenants", m.owner, `{"name":"` + strings.Repeat(inNames, 20) + `"}`},
		{"POST", "/v1/tenants", m.owner, `{"name":"` + inNames + "/" + plain + `"}`},
		{"POST", "/v1/tenants", m.owner, `{"` + inNames + `":"` + plain + `"}`},
		{"POST", "/v1/tenants", m.owner, `{"name":` + plain + `}`},
		{"POST", "/v1/tenants", m.owner, `{"name":"` + m.tenant + `"}`},
		{"POST", "/v1/tenants", m.admin, `{"name":"` + inNames + `"}`},
		{"POST", "/v1/tenants", m.owner, `"` + inNames + `" "` + plain + `"`},
		{"POST", "/v1/tenants", m.owner, `{"name":"` + strings.Repeat(inNames, 70_000) + `"}`},
		{"POST", "/v1/tenants/" + inNames + "/erase", m.owner, "{}"},
		{"POST", "/v1/tenants/" + plain + "/restore", m.admin, `{"` + inNames + `":1}`},
		{"POST", in + "/buckets", m.admin, `{"name":"` + names + `"}`},
		{"POST", in + "/buckets", m.admin, `{"name":"` + formatted + `","purpose":"` + inNames + `"}`},
		{"POST", in + "/buckets", m.admin, `{"name":"` + names + `","retention":"` + plain + `d"}`},
		{"POST", in + "/buckets", m.admin, `{"name":"` + names + `","etag":"` + inNames + `","overwrite":"` + plain + `","min_class":"` + inNames + `"}`},
		{"POST", in + "/readers", m.admin, `{"name":"` + inNames + `","bucket":"` + plain + `-` + inNames + `"}`},
		{"POST", in + "/readers", m.admin, `{"name":"` + strings.Repeat(inNames, 200) + `","bucket":"*"}`},
		{"POST", in + "/recorders", m.admin, `{"name":"` + inNames + `","bucket":"` + names + `","prefix":"` + plain + `\u0000"}`},
		{"POST", in + "/recorders", m.admin, `{"name":"` + inNames + `","bucket":"` + names + `","signing":true}`},
		{"POST", "/v1/sweep", m.admin, `{"dry_run":"` + inNames + `"}`},
		{"POST", in + "/erasures", m.admin, `{"subject":"` + inNames + plain + `"}`},
		{"POST", in + "/erasures", m.admin, `{"subject":"` + plain + `","reason":"` + formatted + `"}`},
		{"POST", in + "/erasures", m.admin, `{"recording":{"bucket":"` + names + `","name":"` + inNames + `","version":"` + plain + `"}}`},
		{"POST", in + "/erasures", m.admin, `{"recording":{"bucket":"` + inNames + plain + `","name":"` + formatted + `"}}`},
		{"POST", in + "/erasures", m.admin, `{"day":"` + plain + `"}`},
		{"GET", in + "/erasures?before=" + inNames, m.admin, ""},
		{"GET", "/v1/erasures/" + plain, m.admin, ""},
	}
}

// wrongAPI has the REST API refuse something.
func (m *mix) wrongAPI() {
	c := one(m.wrongCalls())
	r := m.api(c.method, c.path, c.token, c.body)
	if rand.N(10) == 0 {
		r.Header.Set("Content-Type", inNames)
	}
	m.ask(r)
}

// nonsense is what no HTTP client sends.
var nonsense = []string{
	"GET /" + inNames + " HTTP/9.9\r\n\r\n",
	"GET /" + inNames + " HTTP/1.1\r\n\r\n",
	inNames + " " + plain + "\r\n\r\n",
	"GET /" + inNames + "%zz HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET http://" + inNames + ":" + plain + "/ HTTP/1.1\r\nHost: x\r\n\r\n",
	"CONNECT " + inNames + ":" + plain + " HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\n" + inNames + "\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\n" + inNames + " : " + plain + "\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\nName: " + inNames + "\x00\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: " + inNames + "\r\nHost: " + plain + "\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\nName: " + strings.Repeat(inNames, 2000) + "\r\n\r\n",
	"PUT /" + names + "/" + plain + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + inNames + "\r\n\r\n",
	"PUT /" + names + "/" + plain + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: " + plain + "\r\n\r\n",
	"PUT /" + names + "/" + plain + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + inNames + "\r\n\r\n",
	"PUT /" + names + "/" + plain + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + inNames + "\r\n",
	"PUT /" + names + "/" + plain + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + saidInCalls,
	"POST /v1/tenants?a;" + inNames + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n" + plain,
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + inNames,
}

// garbage sends what is no request, or half of one, and hangs up.
func (m *mix) garbage() {
	if rand.N(3) == 0 {
		m.hangUp()
		return
	}
	at := m.at.Load()
	m.raw(one([]string{at.s3, at.api, at.ops}), one(nonsense))
}

// hangUp signs an upload and sends a part of its body.
func (m *mix) hangUp() {
	r := m.unsigned(wish{method: "PUT", bucket: names, name: m.fresh(), header: described(), body: strings.Repeat(saidInCalls, 100)})
	m.sign(r, wish{})
	var head strings.Builder
	fmt.Fprintf(&head, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.URL.EscapedPath(), r.URL.Host, r.ContentLength)
	r.Header.Write(&head)
	m.raw(m.at.Load().s3, head.String()+"\r\n"+strings.Repeat(saidInCalls, 5))
}

// raw sends bytes, and reads what comes back for a moment.
func (m *mix) raw(to, what string) {
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(to, "http://"), 5*time.Second)
	if err != nil {
		time.Sleep(20 * time.Millisecond)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	io.WriteString(conn, what)
	io.Copy(io.Discard, conn)
	m.sent.Add(1)
	m.cut.Add(1)
}
