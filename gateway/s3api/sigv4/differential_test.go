package sigv4_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssigner "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	miniosigner "github.com/minio/minio-go/v7/pkg/signer"
	"pgregory.net/rapid"

	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
)

const (
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	host        = "127.0.0.1:9000"
)

// TestMain draws 10,000 cases for each property unless told otherwise.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "10000"); err != nil {
		panic(err)
	}
	flag.Parse() // the command line has the last word
	os.Exit(m.Run())
}

// signer is a client: it spells and signs requests as its library does.
type signer struct {
	name string
	path func(*rapid.T) string                     // escaped, as the library puts it on the wire
	sign func(*http.Request, string) *http.Request // with the secret
	also map[string]mutation                       // what can be changed of its signature
}

var signers = []signer{
	{"aws-sdk-go-v2", awsPath, signAWS, headerMutations},
	{"minio-go", minioPath, signMinio, headerMutations},
	{"aws-sdk-go-v2 presigned", awsPath, presignAWS, queryMutations},
	{"minio-go presigned", minioPath, presignMinio, queryMutations},
}

// awsPath draws any bytes, spelled as the S3 client does (everything encoded),
// as net/url does, or with its slashes encoded.
func awsPath(t *rapid.T) string {
	path := "/bucket/" + nameOf(t, rapid.Byte())
	switch rapid.IntRange(0, 2).Draw(t, "spelling") {
	case 0:
		return sigv4.EscapePath(path)
	case 1:
		return (&url.URL{Path: path}).EscapedPath()
	}
	return "/bucket/" + strings.ReplaceAll(sigv4.EscapePath(path[len("/bucket/"):]), "/", "%2F")
}

// minioPath draws UTF-8: minio-go encodes by character, not by byte.
func minioPath(t *rapid.T) string {
	return sigv4.EscapePath("/bucket/" + nameOf(t, rapid.Rune()))
}

// nameOf draws a name out of elements and of the pieces that mislead routers.
func nameOf[E byte | rune](t *rapid.T, element *rapid.Generator[E]) string {
	text := rapid.Map(rapid.SliceOfN(element, 1, 8), func(es []E) string {
		var s strings.Builder
		for _, e := range es {
			if b, isByte := any(e).(byte); isByte {
				s.WriteByte(b)
			} else {
				s.WriteRune(rune(e))
			}
		}
		return s.String()
	})
	tricky := rapid.SampledFrom([]string{"/", "//", "/../", ".", "..", "%2F", "%", "+", " ", "a", "ü", "#", "?", ";", "&", "="})
	return strings.Join(rapid.SliceOfN(rapid.OneOf(text, tricky), 0, 6).Draw(t, "name"), "")
}

func signAWS(r *http.Request, secret string) *http.Request {
	err := awssigner.NewSigner().SignHTTP(r.Context(),
		aws.Credentials{AccessKeyID: exampleKey, SecretAccessKey: secret}, r,
		r.Header.Get("X-Amz-Content-Sha256"), "s3", "eu-central-1", time.Now(),
		func(o *awssigner.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		panic(err)
	}
	return r
}

func signMinio(r *http.Request, secret string) *http.Request {
	return miniosigner.SignV4(*r, exampleKey, secret, "", "eu-central-1")
}

// presignAWS moves what it can into the query, and then has a query to escape anew.
func presignAWS(r *http.Request, secret string) *http.Request {
	dropAmz(r)
	query := r.URL.Query()
	query.Set("X-Amz-Expires", "600")
	r.URL.RawQuery = query.Encode()
	signed, headers, err := awssigner.NewSigner().PresignHTTP(r.Context(),
		aws.Credentials{AccessKeyID: exampleKey, SecretAccessKey: secret}, r,
		sigv4.UnsignedPayload, "s3", "eu-central-1", time.Now(),
		func(o *awssigner.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		panic(err)
	}
	u, err := url.Parse(signed)
	if err != nil {
		panic(err)
	}
	r.URL = u
	for name, values := range headers {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	return r
}

func presignMinio(r *http.Request, secret string) *http.Request {
	dropAmz(r)
	return miniosigner.PreSignV4(*r, exampleKey, secret, "", "eu-central-1", 600)
}

// dropAmz removes the headers that whoever follows a URL does not send.
func dropAmz(r *http.Request) {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") {
			r.Header.Del(name)
		}
	}
}

// wire draws a request, signs it and gives it as it is sent.
func (s signer) wire(t *rapid.T) string {
	method := rapid.SampledFrom([]string{"GET", "HEAD", "PUT", "POST", "DELETE"}).Draw(t, "method")
	target := "http://" + host + s.path(t)
	query := url.Values{}
	for range rapid.IntRange(0, 3).Draw(t, "parameters") {
		query.Set(rapid.StringN(1, 6, -1).Draw(t, "parameter"), rapid.String().Draw(t, "value"))
	}
	body := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "body")
	r, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.RawQuery = query.Encode()
	r.Header.Set("X-Amz-Content-Sha256", emptySHA256)
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		name := rapid.SampledFrom([]string{"Content-Type", "Range", "X-Amz-Meta-Lethe-Call", "X-Amz-Acl", "Cache-Control"}).Draw(t, "header")
		r.Header.Add(name, rapid.StringMatching(`[!-~äß€]{0,3}( {0,3}[!-~äß€]{1,4}){0,3}`).Draw(t, "text"))
	}
	var out strings.Builder
	if err := s.sign(r, exampleSecret).Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// parse reads a request, or says that no server would.
func parse(wire string) (*http.Request, bool) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	return r, err == nil
}

func TestSignedByClientsIsAccepted(t *testing.T) {
	for _, s := range signers {
		t.Run(s.name, rapid.MakeCheck(func(t *rapid.T) {
			wire := s.wire(t)
			r, ok := parse(wire)
			if !ok {
				t.Fatalf("ReadRequest(%q) failed", wire)
			}
			if err := verify(r, exampleSecret, time.Now()); err != nil {
				t.Fatalf("%q: %v, want no error", wire, err)
			}
		}))
	}
}

// A mutation changes one thing that the signature covers.
type mutation = func(*rapid.T, *http.Request)

var mutations = map[string]mutation{
	"method": func(_ *rapid.T, r *http.Request) { r.Method += "X" },
	"path byte": func(t *rapid.T, r *http.Request) {
		path := []byte(r.URL.Path)
		path[rapid.IntRange(1, len(path)-1).Draw(t, "at")] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
		retarget(r, sigv4.EscapePath(string(path)), r.URL.RawQuery)
	},
	"path end":     func(_ *rapid.T, r *http.Request) { retarget(r, r.URL.EscapedPath()+"/", r.URL.RawQuery) },
	"query added":  func(_ *rapid.T, r *http.Request) { retarget(r, r.URL.EscapedPath(), r.URL.RawQuery+"&acl") },
	"host":         func(_ *rapid.T, r *http.Request) { r.Host += "0" },
	"header added": func(_ *rapid.T, r *http.Request) { r.Header.Set("X-Amz-Meta-Added", "") },
}

var headerMutations = map[string]mutation{
	"header value":    func(t *rapid.T, r *http.Request) { v := signedHeader(t, r); v[len(v)-1] += "x" },
	"header repeated": func(t *rapid.T, r *http.Request) { name := signedName(t, r); r.Header.Add(name, "x") },
	"header removed":  func(t *rapid.T, r *http.Request) { r.Header.Del(signedName(t, r)) },
	"access scope":    func(_ *rapid.T, r *http.Request) { authorize(r, "eu-central-1", "eu-central-2") },
	"signature":       changeSignature,
	"signed headers":  func(_ *rapid.T, r *http.Request) { authorize(r, "SignedHeaders=", "SignedHeaders=accept;") },
}

var queryMutations = map[string]mutation{
	"parameter value": func(t *rapid.T, r *http.Request) {
		name := rapid.SampledFrom(sigv4.Parameters).Draw(t, "parameter")
		requery(r, name+"=", name+"=0")
	},
	"parameter repeated": func(t *rapid.T, r *http.Request) {
		name := rapid.SampledFrom(sigv4.Parameters).Draw(t, "parameter")
		requery(r, name+"=", name+"=&"+name+"=")
	},
	"parameter renamed": func(t *rapid.T, r *http.Request) {
		name := rapid.SampledFrom(sigv4.Parameters).Draw(t, "parameter")
		requery(r, name+"=", strings.ToLower(name)+"=")
	},
	"authorized too": func(_ *rapid.T, r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") },
}

func requery(r *http.Request, old, new string) {
	retarget(r, r.URL.EscapedPath(), strings.Replace(r.URL.RawQuery, old, new, 1))
}

func retarget(r *http.Request, path, query string) {
	r.RequestURI = path + "?" + query
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		panic(err)
	}
	r.URL = u
}

func signedName(t *rapid.T, r *http.Request) string {
	a, err := sigv4.ParseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		t.Fatal(err)
	}
	names := slices.DeleteFunc(a.SignedHeaders, func(n string) bool { return n == "host" })
	return rapid.SampledFrom(names).Draw(t, "signed header")
}

func signedHeader(t *rapid.T, r *http.Request) []string { return r.Header.Values(signedName(t, r)) }

func authorize(r *http.Request, old, new string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
}

func changeSignature(t *rapid.T, r *http.Request) {
	header := []byte(r.Header.Get("Authorization"))
	at := len(header) - rapid.IntRange(1, 64).Draw(t, "digit")
	header[at] = "123456789abcdef0"[strings.IndexByte("0123456789abcdef", header[at])]
	r.Header.Set("Authorization", string(header))
}

func TestMutantsAreRefused(t *testing.T) {
	for _, s := range signers {
		all := maps.Clone(mutations)
		maps.Copy(all, s.also)
		names := slices.Sorted(maps.Keys(all))
		t.Run(s.name, rapid.MakeCheck(func(t *rapid.T) {
			wire := s.wire(t)
			r, _ := parse(wire)
			name := rapid.SampledFrom(names).Draw(t, "mutation")
			all[name](t, r)
			if err := verify(r, exampleSecret, time.Now()); err == nil {
				t.Fatalf("%q with another %s was accepted", wire, name)
			}
		}))
	}
}

// One byte of the request is changed, added or removed, wherever it may be. No
// such request is accepted, unless it still says the very same thing, as with
// a header's name in capitals.
func TestMutantBytesAreRefused(t *testing.T) {
	for _, s := range signers {
		t.Run(s.name, rapid.MakeCheck(func(t *rapid.T) {
			wire := s.wire(t)
			end := strings.Index(wire, "\r\n\r\n")
			at := rapid.IntRange(0, end-1).Draw(t, "at")
			skip := rapid.IntRange(0, 1).Draw(t, "removed")
			put := rapid.SliceOfN(rapid.Byte(), 0, 1).Draw(t, "put")
			mutant, ok := parse(wire[:at] + string(put) + wire[at+skip:])
			if !ok || verify(mutant, exampleSecret, time.Now()) != nil {
				return
			}
			original, _ := parse(wire)
			a, _ := sigv4.ParseAuthorization(original.Header.Get("Authorization"))
			if got, want := meaning(mutant, a), meaning(original, a); got != want {
				t.Fatalf("%q was accepted as %q", wire, got)
			}
		}))
	}
}

// meaning is all that a signature covers, as a handler would read it.
func meaning(r *http.Request, a sigv4.Authorization) string {
	var headers strings.Builder
	for _, name := range a.SignedHeaders {
		value := strings.Join(r.Header.Values(name), ",")
		fmt.Fprintf(&headers, "%s=%s\n", name, strings.Join(strings.Fields(value), " "))
	}
	return fmt.Sprintf("%s %s %q %v %q", r.Method, r.Host, r.URL.Path, r.URL.Query(), headers.String())
}
