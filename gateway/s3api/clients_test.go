package s3api_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
)

func TestAWSClient(t *testing.T) {
	v := newVault(t)
	content := strings.Repeat("RIFF....WAVE", 30_000)
	put, err := v.aws(v.recorder).PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(calls), Key: aws.String("2026/ü +call.wav"), Body: strings.NewReader(content),
		ContentType: aws.String("audio/wav"), CacheControl: aws.String("no-store"),
		Metadata: map[string]string{"lethe-agent": "Jürgen", "other": "a  b"}, IfNoneMatch: aws.String("*"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(put.ETag) == "" || aws.ToString(put.ChecksumCRC32) == "" {
		t.Errorf("PutObject = %+v, want an ETag and the checksum that was sent", put)
	}
	reader := v.aws(v.reader)
	get, err := reader.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String("2026/ü +call.wav")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(get.Body)
	if err != nil || string(got) != content {
		t.Errorf("GetObject gives %d bytes, %v; want the %d that were put", len(got), err, len(content))
	}
	if aws.ToString(get.ContentType) != "audio/wav" || aws.ToString(get.CacheControl) != "no-store" ||
		get.Metadata["lethe-agent"] != "Jürgen" || get.Metadata["other"] != "a  b" || aws.ToString(get.ETag) != aws.ToString(put.ETag) {
		t.Errorf("GetObject = %+v", get)
	}
	_, err = reader.GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String(calls), Key: aws.String("2026/ü +call.wav"), IfNoneMatch: put.ETag,
	})
	if _, status := code(err); status != 304 {
		t.Errorf("GetObject If-None-Match = %v, want 304", err)
	}
	if _, err := reader.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String(calls)}); err != nil {
		t.Error(err)
	}
	_, err = reader.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(calls), Key: aws.String("absent")})
	if _, status := code(err); status != 404 {
		t.Errorf("HeadObject of nothing = %v, want 404", err)
	}
}

func TestRanges(t *testing.T) {
	v := newVault(t)
	content := make([]byte, 200_001)
	for i := range content {
		content[i] = byte(i * i >> 3)
	}
	if err := v.put(v.recorder, "call", string(content)); err != nil {
		t.Fatal(err)
	}
	size := len(content)
	for header, want := range map[string][]byte{
		"bytes=0-0":           content[:1],
		"bytes=65535-65536":   content[65535:65537],
		"bytes=131072-":       content[131072:],
		"bytes=-7":            content[size-7:],
		"bytes=100-999999999": content[100:],
	} {
		get, err := v.aws(v.reader).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String("call"), Range: aws.String(header)})
		if err != nil {
			t.Errorf("%s: %v", header, err)
			continue
		}
		got, err := io.ReadAll(get.Body)
		if err != nil || !bytes.Equal(got, want) || !strings.HasSuffix(aws.ToString(get.ContentRange), fmt.Sprintf("/%d", size)) {
			t.Errorf("%s: %d bytes, %q, %v; want %d", header, len(got), aws.ToString(get.ContentRange), err, len(want))
		}
	}
	_, err := v.aws(v.reader).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String("call"), Range: aws.String("bytes=200001-")})
	if c, status := code(err); c != "InvalidRange" || status != 416 {
		t.Errorf("a range past the end: %v, want InvalidRange 416", err)
	}
}

func TestMinioClient(t *testing.T) {
	v := newVault(t)
	content := "sound"
	// DisableContentSha256 makes minio-go sign the hash it is given instead of chunks.
	up, err := v.minio(v.recorder).PutObject(t.Context(), calls, "dir/call", strings.NewReader(content), int64(len(content)),
		"", hexSHA256(content), minio.PutObjectOptions{DisableContentSha256: true, ContentType: "audio/wav", UserMetadata: map[string]string{"Lethe-Call": "7"}})
	if err != nil || up.ETag == "" {
		t.Fatalf("PutObject = %+v, %v", up, err)
	}
	reader := v.minio(v.reader)
	body, info, _, err := reader.GetObject(t.Context(), calls, "dir/call", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err != nil || string(got) != content || info.UserMetadata["Lethe-Call"] != "7" || info.ETag != up.ETag {
		t.Errorf("GetObject = %q, %+v, %v", got, info, err)
	}
	list, err := reader.ListObjectsV2(calls, "di", "", "", "/", 10)
	if err != nil || len(list.CommonPrefixes) != 1 || list.CommonPrefixes[0].Prefix != "dir/" {
		t.Errorf("ListObjectsV2 = %+v, %v", list, err)
	}
	if ok, err := reader.BucketExists(t.Context(), calls); !ok || err != nil {
		t.Errorf("BucketExists = %t, %v", ok, err)
	}
}

func TestNamesSurvive(t *testing.T) {
	v := newVault(t)
	want := []string{"//", "a", "a b+c", "a%2Fb", "a/", "a//b", "a/../b", "a/b", "q?x=1&y#z", "tab\there", "ü/é~!*'()", "€\x01"}
	slices.Sort(want)
	for _, name := range want {
		if err := v.put(v.recorder, name, "content of "+name); err != nil {
			t.Errorf("put %q: %v", name, err)
		}
	}
	for _, name := range want {
		get, err := v.aws(v.reader).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String(name)})
		if err != nil {
			t.Errorf("get %q: %v", name, err)
			continue
		}
		if got, err := io.ReadAll(get.Body); err != nil || string(got) != "content of "+name {
			t.Errorf("get %q = %q, %v", name, got, err)
		}
	}
	var got []string
	for o := range v.minio(v.reader).Client.ListObjects(t.Context(), calls, minio.ListObjectsOptions{Recursive: true, MaxKeys: 5}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		got = append(got, o.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
}

func TestWriteOnce(t *testing.T) {
	v := newVault(t)
	for _, step := range []struct{ content, code string }{{"first", ""}, {"first", ""}, {"other", "PreconditionFailed"}} {
		err := v.put(v.recorder, "call", step.content)
		if c, _ := code(err); (err == nil) != (step.code == "") || err != nil && c != step.code {
			t.Errorf("put %q: %v, want %q", step.content, err, step.code)
		}
	}
	if got := v.names(); !slices.Equal(got, []string{"call"}) {
		t.Errorf("listed %q", got)
	}
}

func TestRecorderOnlyWrites(t *testing.T) {
	v := newVault(t)
	if err := v.put(v.recorder, "call", "x"); err != nil {
		t.Fatal(err)
	}
	client := v.aws(v.recorder)
	_, get := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String("call")})
	_, absent := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String("absent")})
	_, list := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(calls)})
	for name, err := range map[string]error{"get": get, "get of nothing": absent, "list": list} {
		if c, status := code(err); c != "AccessDenied" || status != 403 {
			t.Errorf("%s: %v, want AccessDenied 403", name, err)
		}
	}
}

func TestEmptyRecording(t *testing.T) {
	v := newVault(t)
	if err := v.put(v.recorder, "empty", ""); err != nil {
		t.Fatal(err)
	}
	get, err := v.aws(v.reader).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String("empty")})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(get.Body); len(got) > 0 || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestConcurrentPuts(t *testing.T) {
	v := newVault(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if err := v.put(v.recorder, fmt.Sprintf("call-%02d", i), strings.Repeat("x", 100_000+i)); err != nil {
				t.Errorf("put %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if got := v.names(); len(got) != 16 {
		t.Errorf("listed %q, want 16", got)
	}
}
