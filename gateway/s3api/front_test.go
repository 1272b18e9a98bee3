package s3api_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssigner "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// pair is an access key and its secret.
type pair struct{ key, secret string }

// vault is a front before a gateway of real parts, listening on loopback.
type vault struct {
	*gatewaytest.Fixture
	t        *testing.T
	scheme   string
	host     string
	client   *http.Client // trusts the vault
	recorder pair
	reader   pair // reads and writes
	log      *logBuffer

	mine map[kind]pair // in TestRoutesByCredential
	etag string        // of the part that openUpload put
}

// logBuffer collects what the front logs.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

const calls = "calls"

func newVault(t *testing.T) *vault {
	t.Helper()
	return newVaultOn(t, plainHTTP, s3api.Config{})
}

// transport is what a vault is served over.
type transport bool

const (
	plainHTTP transport = false
	overTLS   transport = true
)

func newVaultOn(t *testing.T, over transport, c s3api.Config, edits ...func(*s3api.Front)) *vault {
	t.Helper()
	v := &vault{Fixture: gatewaytest.New(t), t: t, log: &logBuffer{}, scheme: "http", client: http.DefaultClient}
	v.Tenant("acme")
	v.Bucket("acme", gateway.BucketSettings{Name: calls})
	v.recorder.key, v.recorder.secret = v.Key("acme", gateway.NewKey{Kind: policy.Recorder, Bucket: calls})
	v.reader.key, v.reader.secret = v.Key("acme", gateway.NewKey{Kind: policy.Reader, Bucket: calls, Write: true})
	server := httptest.NewUnstartedServer(nil)
	c.Access.Observer = gatewaytest.Explained(t)
	front := s3api.New(v.Gateway, slog.New(slog.NewTextHandler(v.log, nil)), c)
	for _, edit := range edits {
		edit(front)
	}
	server.Config = front.Server()
	if over == overTLS {
		server.StartTLS()
		v.scheme, v.client = "https", server.Client()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	v.host = server.Listener.Addr().String()
	return v
}

// aws is aws-sdk-go-v2's client with its defaults.
func (v *vault) aws(p pair) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(v.scheme + "://" + v.host), HTTPClient: v.client, Region: "eu-central-1", UsePathStyle: true,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		Credentials:                credentials.NewStaticCredentialsProvider(p.key, p.secret, ""),
		Retryer:                    aws.NopRetryer{},
	})
}

// minio is minio-go's client.
func (v *vault) minio(p pair) *minio.Core {
	v.t.Helper()
	c, err := minio.NewCore(v.host, &minio.Options{
		Creds: miniocredentials.NewStaticV4(p.key, p.secret, ""), MaxRetries: 1,
		Secure: v.scheme == "https", Transport: v.client.Transport,
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return c
}

// put stores content through aws-sdk-go-v2.
func (v *vault) put(p pair, name, content string) error {
	_, err := v.aws(p).PutObject(v.t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(calls), Key: aws.String(name), Body: strings.NewReader(content),
	})
	return err
}

// names lists a bucket through aws-sdk-go-v2, page by page.
func (v *vault) names() []string {
	v.t.Helper()
	var out []string
	pages := s3.NewListObjectsV2Paginator(v.aws(v.reader), &s3.ListObjectsV2Input{Bucket: aws.String(calls), MaxKeys: aws.Int32(3)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(v.t.Context())
		if err != nil {
			v.t.Fatal(err)
		}
		for _, o := range page.Contents {
			out = append(out, aws.ToString(o.Key))
		}
	}
	return out
}

// code gives the S3 code and the status of a client's error.
func code(err error) (string, int) {
	var api smithy.APIError
	var response interface{ HTTPStatusCode() int }
	if !errors.As(err, &api) || !errors.As(err, &response) {
		return fmt.Sprint(err), 0
	}
	return api.ErrorCode(), response.HTTPStatusCode()
}

// request is a signed request that a test may spoil.
func (v *vault) request(p pair, method, target, content string, edit func(*http.Request)) *http.Request {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.scheme+"://"+v.host+target, strings.NewReader(content))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("X-Amz-Content-Sha256", hexSHA256(content))
	edit(r)
	err = awssigner.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: p.key, SecretAccessKey: p.secret}, r,
		r.Header.Get("X-Amz-Content-Sha256"), "s3", "us-east-1", time.Now(),
		func(o *awssigner.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		v.t.Fatal(err)
	}
	return r
}

func unchanged(*http.Request) {}

// send gives the status and the S3 code of the answer, and checks its form.
func (v *vault) send(r *http.Request) (int, string) {
	v.t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	var doc struct{ Code, RequestId string }
	if err := xml.Unmarshal(text, &doc); err != nil {
		v.t.Fatalf("%d %q: %v", answer.StatusCode, text, err)
	}
	if id := answer.Header.Get("X-Amz-Request-Id"); len(id) != 16 || id != doc.RequestId {
		v.t.Errorf("request id %q in the header, %q in the document", id, doc.RequestId)
	}
	return answer.StatusCode, doc.Code
}

// Bad input is answered as AWS answers it, and leaves nothing behind.
func TestBadInput(t *testing.T) {
	v := newVault(t)
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	rec, path := v.recorder, "/calls/call"
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		code   string
	}{
		{"wrong secret", v.request(pair{rec.key, "x"}, "PUT", path, "a", unchanged), 403, "SignatureDoesNotMatch"},
		{"unknown key", v.request(pair{"NOBODY", "x"}, "PUT", path, "a", unchanged), 403, "InvalidAccessKeyId"},
		{"body of another hash", v.request(rec, "PUT", path, "a", set("X-Amz-Content-Sha256", hexSHA256("b"))), 400, "XAmzContentSHA256Mismatch"},
		{"false checksum", v.request(rec, "PUT", path, "a", set("X-Amz-Checksum-Crc32", "AAAAAA==")), 400, "BadDigest"},
		{"malformed checksum", v.request(rec, "PUT", path, "a", set("X-Amz-Checksum-Crc32", "A")), 400, "InvalidRequest"},
		{"false MD5", v.request(rec, "PUT", path, "a", set("Content-Md5", trueChecksums["Content-MD5"])), 400, "BadDigest"},
		{"no length", v.request(rec, "PUT", path, "a", func(r *http.Request) { r.ContentLength = -1 }), 411, "MissingContentLength"},
		{"long name", v.request(rec, "PUT", path+strings.Repeat("n", 1024), "a", unchanged), 400, "KeyTooLongError"},
		{"metadata over 2 KB", v.request(rec, "PUT", path, "a", set("X-Amz-Meta-A", strings.Repeat("m", 2048))), 400, "MetadataTooLarge"},
		{"tagging", v.request(rec, "PUT", path, "a", set("X-Amz-Tagging", "a=b")), 501, "NotImplemented"},
		{"copy", v.request(rec, "PUT", path, "", set("X-Amz-Copy-Source", "/calls/other")), 501, "NotImplemented"},
		{"sub-resource", v.request(rec, "PUT", path+"?acl", "a", unchanged), 501, "NotImplemented"},
		{"delete with a condition", v.request(v.reader, "DELETE", path, "", set("If-Match", "a")), 501, "NotImplemented"},
		{"delete bypassing", v.request(v.reader, "DELETE", path, "", set("X-Amz-Bypass-Governance-Retention", "true")), 501, "NotImplemented"},
		{"delete of no version", v.request(v.reader, "DELETE", path+"?versionId=x", "", unchanged), 400, "InvalidArgument"},
		{"delete of an empty version", v.request(v.reader, "DELETE", path+"?versionId=", "", unchanged), 400, "InvalidArgument"},
		{"get of no version", v.request(v.reader, "GET", path+"?versionId="+strings.Repeat("0", 32), "", unchanged), 400, "InvalidArgument"},
		{"get of an unknown version", v.request(v.reader, "GET", path+"?versionId="+recording.NewVersion().String(), "", unchanged), 404, "NoSuchVersion"},
		{"get of the null version", v.request(v.reader, "GET", path+"?versionId=null", "", unchanged), 404, "NoSuchKey"},
		{"delete of nothing listed", v.request(v.reader, "POST", "/calls?delete", "<Delete/>", unchanged), 400, "MalformedXML"},
		{"delete of another document", v.request(v.reader, "POST", "/calls?delete", "<Create><Object><Key>a</Key></Object></Create>", unchanged), 400, "MalformedXML"},
		{"delete of too many", v.request(v.reader, "POST", "/calls?delete", "<Delete>"+strings.Repeat("<Object><Key>a</Key></Object>", 1001)+"</Delete>", unchanged), 400, "MalformedXML"},
		{"delete with a false MD5", v.request(v.reader, "POST", "/calls?delete", "<Delete><Object><Key>a</Key></Object></Delete>", set("Content-Md5", trueChecksums["Content-MD5"])), 400, "BadDigest"},
		{"version without a key", v.request(v.reader, "GET", "/calls?versions&version-id-marker=null", "", unchanged), 400, "InvalidArgument"},
		{"bad version marker", v.request(v.reader, "GET", "/calls?versions&key-marker=a&version-id-marker=x", "", unchanged), 400, "InvalidArgument"},
		{"bad max-buckets", v.request(v.reader, "GET", "/?max-buckets=0", "", unchanged), 400, "InvalidArgument"},
		{"bad bucket token", v.request(v.reader, "GET", "/?continuation-token=x", "", unchanged), 400, "InvalidArgument"},
		{"create a bucket", v.request(v.reader, "PUT", "/more", "", unchanged), 403, "AccessDenied"},
		{"create a bucket otherwise", v.request(v.reader, "PUT", "/more", "<Other/>", unchanged), 400, "MalformedXML"},
		{"create a bucket with tags", v.request(v.reader, "PUT", "/more", "<CreateBucketConfiguration><Tags/></CreateBucketConfiguration>", unchanged), 501, "NotImplemented"},
		{"delete a bucket", v.request(v.reader, "DELETE", "/calls", "", unchanged), 403, "AccessDenied"},
		{"missing bucket", v.request(v.reader, "GET", "/nothere/call", "", unchanged), 403, "AccessDenied"},
		{"bad bucket", v.request(v.reader, "GET", "/NotABucket/call", "", unchanged), 400, "InvalidBucketName"},
		{"missing recording", v.request(v.reader, "GET", path, "", unchanged), 404, "NoSuchKey"},
		{"bad max-keys", v.request(v.reader, "GET", "/calls?list-type=2&max-keys=x", "", unchanged), 400, "InvalidArgument"},
		{"bad token", v.request(v.reader, "GET", "/calls?list-type=2&continuation-token=x", "", unchanged), 400, "InvalidArgument"},
	} {
		if status, code := v.send(c.r); status != c.status || code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, code, c.status, c.code)
		}
	}
	unsigned, _ := http.NewRequest("PUT", "http://"+v.host+path, strings.NewReader("a"))
	if status, code := v.send(unsigned); status != 403 || code != "AccessDenied" {
		t.Errorf("unsigned: %d %s, want 403 AccessDenied", status, code)
	}
	if got := v.names(); len(got) > 0 {
		t.Errorf("refused requests left %q", got)
	}
	if strings.Contains(v.log.String(), "request failed") {
		t.Errorf("the client's mistakes were logged as the vault's: %s", v.log)
	}
}

// A body that stops early is refused though its sender is still listening.
func TestShortBodyLeavesNothing(t *testing.T) {
	v := newVault(t)
	answer := v.raw(v.request(v.recorder, "PUT", "/calls/call", "0123456789", unchanged), "01234", closeWrite)
	if !strings.Contains(answer, " 400 ") || !strings.Contains(answer, "IncompleteBody") {
		t.Errorf("answered %q, want IncompleteBody", answer)
	}
	if got := v.names(); len(got) > 0 {
		t.Errorf("a short body left %q", got)
	}
}

// A client that waits for "100 Continue" is refused before it sends its body.
func TestRefusedBeforeTheBody(t *testing.T) {
	v := newVault(t)
	expect := func(r *http.Request) { r.Header.Set("Expect", "100-continue") }
	denied := v.raw(v.request(v.recorder, "PUT", "/elsewhere/call", "0123456789", expect), "", keepOpen)
	if !strings.HasPrefix(denied, "HTTP/1.1 403 ") {
		t.Errorf("answered %q, want 403 at once", denied)
	}
	allowed := v.raw(v.request(v.recorder, "PUT", "/calls/call", "0123456789", expect), "0123456789", keepOpen)
	if !strings.HasPrefix(allowed, "HTTP/1.1 100 ") || !strings.Contains(allowed, "HTTP/1.1 200 ") {
		t.Errorf("answered %q, want 100 and 200", allowed)
	}
}

// ending says what raw does once it has sent its body.
type ending bool

const (
	keepOpen   ending = false
	closeWrite ending = true
)

// raw sends the head of r and then body, whatever r's own is, and gives all
// that is answered until the server closes or falls silent.
func (v *vault) raw(r *http.Request, body string, then ending) string {
	v.t.Helper()
	conn, err := net.Dial("tcp", v.host)
	if err != nil {
		v.t.Fatal(err)
	}
	defer conn.Close()
	r.Header.Set("Connection", "close")
	var head strings.Builder
	if err := r.Write(&head); err != nil {
		v.t.Fatal(err)
	}
	end := strings.Index(head.String(), "\r\n\r\n")
	if _, err := io.WriteString(conn, head.String()[:end+4]+body); err != nil {
		v.t.Fatal(err)
	}
	if then == closeWrite {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			v.t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		v.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		v.t.Errorf("answered %q and then %v", answer, err)
	}
	return string(answer)
}

// A recording that was changed in the store is refused, or cut where the
// change is met: never shown as a whole, never with a false byte.
func TestDamagedRecordingIsCut(t *testing.T) {
	v := newVault(t)
	content := strings.Repeat("0123456789abcdef", 1<<16)
	if err := v.put(v.recorder, "secret-name", content); err != nil {
		t.Fatal(err)
	}
	for part, where := range map[string]float64{"beginning": 0.02, "middle": 0.5} {
		flip(t, filepath.Join(v.Dir, "blobs"), where)
		answer, err := http.DefaultClient.Do(v.request(v.reader, "GET", "/calls/secret-name", "", unchanged))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		switch {
		case answer.StatusCode == 500 && bytes.Contains(got, []byte("InternalError")):
		case answer.StatusCode == 200 && err != nil && len(got) < len(content) && strings.HasPrefix(content, string(got)):
		default:
			t.Errorf("damaged in the %s: %d with %d bytes, %v", part, answer.StatusCode, len(got), err)
		}
		flip(t, filepath.Join(v.Dir, "blobs"), where)
	}
	logged := v.log.String()
	if strings.Count(logged, "request failed") != 2 || !strings.Contains(logged, recording.ErrIntegrity.Error()) {
		t.Errorf("logged %s, want each failure once", logged)
	}
	if strings.Contains(logged, "secret-name") {
		t.Error("a recording's name was logged")
	}
}

// flip inverts a byte of the largest file under dir, at a share of its length.
func flip(t *testing.T, dir string, where float64) {
	t.Helper()
	var largest string
	var size int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	content[int(float64(size)*where)] ^= 0xff
	if err := os.Chmod(largest, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(largest, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRevokedTenant(t *testing.T) {
	v := newVault(t)
	if _, err := v.RevokeTenant(t.Context(), v.Operator(), "acme"); err != nil {
		t.Fatal(err)
	}
	status, code := v.send(v.request(v.reader, "GET", "/calls/call", "", unchanged))
	if status != 403 || code != "AccessDenied" {
		t.Errorf("%d %s, want 403 AccessDenied", status, code)
	}
}
