package s3api_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/policy"
)

// noise is n bytes that differ for each seed.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// upload is an upload in parts through aws-sdk-go-v2.
type upload struct {
	v      *vault
	client *s3.Client
	bucket string
	name   string
	id     *string
}

func (v *vault) upload(p pair, name string, edits ...func(*s3.CreateMultipartUploadInput)) *upload {
	v.t.Helper()
	u := &upload{v: v, client: v.aws(p), bucket: calls, name: name}
	in := &s3.CreateMultipartUploadInput{Bucket: &u.bucket, Key: &u.name, ContentType: aws.String("audio/wav"), Metadata: map[string]string{"lethe-call": "7"}}
	for _, edit := range edits {
		edit(in)
	}
	u.bucket = *in.Bucket
	out, err := u.client.CreateMultipartUpload(v.t.Context(), in)
	if err != nil {
		v.t.Fatal(err)
	}
	u.id = out.UploadId
	return u
}

func (u *upload) part(number int32, content []byte) (types.CompletedPart, error) {
	out, err := u.client.UploadPart(u.v.t.Context(), &s3.UploadPartInput{
		Bucket: &u.bucket, Key: &u.name, UploadId: u.id, PartNumber: &number, Body: bytes.NewReader(content),
	})
	if err != nil {
		return types.CompletedPart{}, err
	}
	return types.CompletedPart{PartNumber: &number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}, nil
}

func (u *upload) mustPart(number int32, content []byte) types.CompletedPart {
	u.v.t.Helper()
	p, err := u.part(number, content)
	if err != nil {
		u.v.t.Fatalf("part %d: %v", number, err)
	}
	return p
}

func (u *upload) complete(parts ...types.CompletedPart) (*s3.CompleteMultipartUploadOutput, error) {
	return u.client.CompleteMultipartUpload(u.v.t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: &u.bucket, Key: &u.name, UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
}

// fetch reads a recording, or a range of it, through aws-sdk-go-v2.
func (v *vault) fetch(name, span string) ([]byte, error) {
	in := &s3.GetObjectInput{Bucket: aws.String(calls), Key: &name}
	if span != "" {
		in.Range = &span
	}
	out, err := v.aws(v.reader).GetObject(v.t.Context(), in)
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

// Parts of odd sizes, out of order, at once, one sent again with other bytes,
// one not used: what is named is the recording, and nothing else is left.
func TestMultipart(t *testing.T) {
	v := newVault(t)
	u := v.upload(v.recorder, "2026/call.wav")
	contents := map[int32][]byte{2: noise(2, 300_001), 3: noise(3, 1), 5: noise(5, 70_000), 7: {}, 10_000: noise(9, 65_504)}
	numbers := []int32{2, 3, 5, 7, 10_000}
	u.mustPart(2, noise(8, 400_000))
	u.mustPart(4, noise(4, 5000)) // not used
	parts := make([]types.CompletedPart, len(numbers))
	var all sync.WaitGroup
	for i, n := range numbers {
		all.Go(func() {
			var err error
			if parts[i], err = u.part(n, contents[n]); err != nil {
				t.Errorf("part %d: %v", n, err)
			}
		})
	}
	all.Wait()
	if names := v.names(); len(names) > 0 {
		t.Errorf("an open upload is listed: %q", names)
	}
	done, err := u.complete(parts...)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := aws.ToString(done.Location), v.scheme+"://"+v.host+"/calls/2026/call.wav"; got != want {
		t.Errorf("Location %s, want %s", got, want)
	}
	if !strings.HasSuffix(aws.ToString(done.ETag), `-5"`) {
		t.Errorf("completed with ETag %s, want that of 5 parts", aws.ToString(done.ETag))
	}
	again, err := u.complete(parts...)
	if err != nil || aws.ToString(again.ETag) != aws.ToString(done.ETag) {
		t.Errorf("completed again: %v, %v", again, err)
	}
	var want []byte
	for _, n := range numbers {
		want = append(want, contents[n]...)
	}
	v.wantRanges("2026/call.wav", want)
	head, err := v.aws(v.reader).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(calls), Key: aws.String("2026/call.wav")})
	if err != nil || aws.ToInt64(head.ContentLength) != int64(len(want)) || aws.ToString(head.ETag) != aws.ToString(done.ETag) ||
		head.Metadata["lethe-call"] != "7" || aws.ToString(head.ContentType) != "audio/wav" {
		t.Errorf("HeadObject = %+v, %v", head, err)
	}
	if blobs, intents := v.Residue(); blobs != 6 || intents != 0 {
		t.Errorf("%d blobs and %d open intents, want 5 parts and their list", blobs, intents)
	}
}

// wantRanges reads a recording whole, and around every border of its parts.
func (v *vault) wantRanges(name string, want []byte) {
	v.t.Helper()
	got, err := v.fetch(name, "")
	if err != nil || !bytes.Equal(got, want) {
		v.t.Fatalf("read %d other bytes, %v", len(got), err)
	}
	for _, at := range []int{0, 1, 65_503, 65_504, 300_000, 300_001, 300_002, 370_001, 370_002, len(want) - 1} {
		for _, n := range []int{1, 2, 65_536, len(want)} {
			end := min(at+n, len(want))
			got, err := v.fetch(name, fmt.Sprintf("bytes=%d-%d", at, end-1))
			if err != nil || !bytes.Equal(got, want[at:end]) {
				v.t.Errorf("bytes %d to %d: %d others, %v", at, end, len(got), err)
			}
		}
	}
}

// GetObject and HeadObject with partNumber: what transfer managers ask for.
func TestGetByPart(t *testing.T) {
	v := newVault(t)
	u := v.upload(v.recorder, "call")
	contents := [][]byte{noise(1, 100_000), noise(2, 7)}
	if _, err := u.complete(u.mustPart(3, contents[0]), u.mustPart(9, contents[1])); err != nil {
		t.Fatal(err)
	}
	if err := v.put(v.recorder, "whole", "sound"); err != nil {
		t.Fatal(err)
	}
	ask := func(name string, number int32) (*s3.GetObjectOutput, []byte, error) {
		out, err := v.aws(v.reader).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: &name, PartNumber: &number})
		if err != nil {
			return nil, nil, err
		}
		defer out.Body.Close()
		b, err := io.ReadAll(out.Body)
		return out, b, err
	}
	for i, want := range contents {
		out, got, err := ask("call", int32(i+1))
		if err != nil || !bytes.Equal(got, want) || aws.ToInt32(out.PartsCount) != 2 {
			t.Errorf("part %d: %d bytes, %+v, %v", i+1, len(got), out, err)
		}
	}
	if out, got, err := ask("whole", 1); err != nil || string(got) != "sound" || out.PartsCount != nil {
		t.Errorf("part 1 of a whole upload: %q, %+v, %v", got, out, err)
	}
	for name, number := range map[string]int32{"call": 3, "whole": 2} {
		if _, _, err := ask(name, number); !is(err, 416, "InvalidPartNumber") {
			t.Errorf("part %d of %s: %v, want InvalidPartNumber", number, name, err)
		}
	}
	for target, code := range map[string]string{"/calls/call?partNumber=0": "InvalidArgument", "/calls/call?partNumber=x": "InvalidArgument"} {
		if status, got := v.send(v.request(v.reader, "GET", target, "", unchanged)); status != 400 || got != code {
			t.Errorf("GET %s: %d %s, want %s", target, status, got, code)
		}
	}
	r := v.request(v.reader, "GET", "/calls/call?partNumber=1", "", func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") })
	if status, got := v.send(r); status != 400 || got != "InvalidRequest" {
		t.Errorf("a part and a range: %d %s", status, got)
	}
}

// is reports whether err is the S3 error asked for.
func is(err error, status int, want string) bool {
	c, s := code(err)
	return s == status && c == want
}

func TestMultipartIsRefused(t *testing.T) {
	v := newVault(t)
	var other pair
	other.key, other.secret = v.Key("acme", gateway.NewKey{Kind: policy.Recorder, Bucket: calls})
	u := v.upload(v.recorder, "call")
	first, second := u.mustPart(1, noise(1, 1000)), u.mustPart(2, noise(2, 1000))
	stale := first
	first = u.mustPart(1, noise(3, 1000))
	wrongSum := second
	wrongSum.ChecksumCRC32 = first.ChecksumCRC32
	unknown := types.CompletedPart{PartNumber: aws.Int32(3), ETag: first.ETag}
	as := func(p pair) *upload { c := *u; c.client = v.aws(p); return &c }
	elsewhere := *u
	elsewhere.name = "call2"
	noID := *u
	noID.id = aws.String(strings.Repeat("0", 32))
	odd := *u
	odd.id = aws.String("no id")
	refused := func(what string, err error, status int, want string) {
		t.Helper()
		if !is(err, status, want) {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	completing := func(u *upload, parts ...types.CompletedPart) error { _, err := u.complete(parts...); return err }
	refused("a part that was sent again", completing(u, stale, second), 400, "InvalidPart")
	refused("a part that was not sent", completing(u, first, unknown), 400, "InvalidPart")
	refused("a checksum of another", completing(u, first, wrongSum), 400, "InvalidPart")
	refused("out of order", completing(u, second, first), 400, "InvalidPartOrder")
	refused("a part twice", completing(u, first, first), 400, "InvalidPartOrder")
	refused("no parts", completing(u), 400, "MalformedXML")
	refused("another name", completing(&elsewhere, first), 404, "NoSuchUpload")
	refused("an unknown upload", completing(&noID, first), 404, "NoSuchUpload")
	refused("no upload", completing(&odd, first), 404, "NoSuchUpload")
	refused("another recorder", completing(as(other), first), 404, "NoSuchUpload")
	for what, up := range map[string]*upload{"another name": &elsewhere, "an unknown upload": &noID, "another recorder": as(other)} {
		_, err := up.part(3, noise(4, 100))
		refused("a part of "+what, err, 404, "NoSuchUpload")
	}
	for _, number := range []int32{0, -1, 10_001} {
		_, err := u.part(number, []byte("x"))
		refused(fmt.Sprintf("part %d", number), err, 400, "InvalidArgument")
	}
	size := int64(2001)
	_, err := u.client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: &u.bucket, Key: &u.name, UploadId: u.id, MpuObjectSize: &size,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{first, second}},
	})
	refused("another size", err, 400, "IncompleteBody")
	_, err = v.aws(v.recorder).ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(calls)})
	refused("a recorder lists uploads", err, 403, "AccessDenied")
	if names := v.names(); len(names) > 0 {
		t.Errorf("refused completions left %q", names)
	}
	if _, err := u.complete(first, second); err != nil {
		t.Errorf("the right completion after them: %v", err)
	}
	_, err = u.part(1, noise(1, 10))
	refused("a part of what is complete", err, 404, "NoSuchUpload")
	refused("abort of what is complete", v.abort(u), 404, "NoSuchUpload")
}

func (v *vault) abort(u *upload) error {
	_, err := u.client.AbortMultipartUpload(v.t.Context(), &s3.AbortMultipartUploadInput{Bucket: &u.bucket, Key: &u.name, UploadId: u.id})
	return err
}

func TestAbort(t *testing.T) {
	v := newVault(t)
	u := v.upload(v.recorder, "call")
	p := u.mustPart(1, noise(1, 100_000))
	u.mustPart(1, noise(2, 100_000))
	if err := v.abort(u); err != nil {
		t.Fatal(err)
	}
	v.wantNothing("abort")
	if err := v.abort(u); !is(err, 404, "NoSuchUpload") {
		t.Errorf("aborted again: %v", err)
	}
	if _, err := u.complete(p); !is(err, 404, "NoSuchUpload") {
		t.Errorf("completed after abort: %v", err)
	}
}

// Two uploads of one name: the second is the same content again, or refused.
func TestMultipartWritesOnce(t *testing.T) {
	v := newVault(t)
	content := [][]byte{noise(1, 5000), noise(2, 6000)}
	send := func(second []byte) error {
		u := v.upload(v.recorder, "call")
		_, err := u.complete(u.mustPart(1, content[0]), u.mustPart(2, second))
		if err != nil {
			if err := v.abort(u); err != nil {
				t.Errorf("abort of a refused upload: %v", err)
			}
		}
		return err
	}
	if err := send(content[1]); err != nil {
		t.Fatal(err)
	}
	if err := send(content[1]); err != nil {
		t.Errorf("the same content again: %v", err)
	}
	if err := send(noise(3, 6000)); !is(err, 412, "PreconditionFailed") {
		t.Errorf("other content: %v, want 412", err)
	}
	if err := v.put(v.recorder, "call", "whole"); !is(err, 412, "PreconditionFailed") {
		t.Errorf("a whole upload over it: %v, want 412", err)
	}
	if got, err := v.fetch("call", ""); err != nil || !bytes.Equal(got, slices.Concat(content...)) {
		t.Errorf("read %d other bytes, %v", len(got), err)
	}
	if blobs, intents := v.Residue(); blobs != 3 || intents != 0 {
		t.Errorf("%d blobs and %d open intents, want two parts and their list", blobs, intents)
	}
}

// minio-go with its defaults sends a recording of 40 MB in parts.
func TestMinioMultipart(t *testing.T) {
	v := newVault(t)
	content := noise(1, 40<<20)
	client := v.minio(v.reader).Client
	up, err := client.PutObject(t.Context(), calls, "call", bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(up.ETag, "-3") {
		t.Errorf("ETag %s, want that of 3 parts", up.ETag)
	}
	object, err := client.GetObject(t.Context(), calls, "call", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, object); got != string(content) {
		t.Errorf("read %d other bytes", len(got))
	}
}

// A query that mixes what belongs to different operations selects none.
func TestMixedQueriesAreRefused(t *testing.T) {
	v := newVault(t)
	for _, target := range []string{
		"PUT /calls/call?partNumber=1", "PUT /calls/call?uploadId=x", "PUT /calls/call?uploads",
		"POST /calls/call?uploads&uploadId=x", "POST /calls/call", "POST /calls/call?uploads=1", "GET /calls/call?uploads",
		"DELETE /calls/call?uploadId=x&partNumber=1", "GET /calls?uploads&list-type=2", "GET /calls/call?uploadId=",
	} {
		method, path, _ := strings.Cut(target, " ")
		status, code := v.send(v.request(v.recorder, method, path, "", unchanged))
		if status < 400 {
			t.Errorf("%s: %d %s", target, status, code)
		}
		v.wantNothing(target)
	}
	if got := s3api.Operation(v.request(v.recorder, "PUT", "/calls/call?partNumber=1&uploadId=x", "", unchanged)); got != "UploadPart" {
		t.Errorf("UploadPart is %s", got)
	}
}
