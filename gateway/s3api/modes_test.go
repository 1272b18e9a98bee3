package s3api_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/recording"
)

func read(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("read: %v", err)
	}
	return string(b)
}

// class asks HEAD how strongly a recording's author is proved.
func (v *vault) class(name string) recording.Class {
	v.t.Helper()
	answer, err := v.client.Do(v.request(v.reader, "HEAD", "/calls/"+name, "", unchanged))
	if err != nil {
		v.t.Fatal(err)
	}
	answer.Body.Close()
	return recording.Class(answer.Header.Get("X-Lethe-Class"))
}

// The SDKs as they come, over HTTP and TLS, with every kind of body: what they
// send by themselves is accepted, and gives the class it deserves.
func TestClientsWithTheirDefaults(t *testing.T) {
	for _, c := range []struct {
		over          transport
		aws, stream   recording.Class
		minio, minioT recording.Class
	}{
		{plainHTTP, recording.ClassB, recording.ClassB, recording.ClassB, recording.ClassB},
		{overTLS, recording.ClassC, recording.ClassC, recording.ClassD, recording.ClassC},
	} {
		v := newVaultOn(t, c.over, s3api.Config{})
		for size, content := range map[string]string{"empty": "", "short": "RIFF", "long": strings.Repeat("RIFF....WAVE", 30_000)} {
			if err := v.put(v.recorder, "aws-"+size, content); err != nil {
				t.Errorf("%s: aws-sdk-go-v2, %s: %v", v.scheme, size, err)
			}
			for name, trailing := range map[string]bool{"minio-": false, "trailing-": true} {
				if err := v.putMinio(name+size, content, trailing); err != nil {
					t.Errorf("%s: %s%s: %v", v.scheme, name, size, err)
				}
			}
			for _, name := range []string{"aws-", "minio-", "trailing-"} {
				get, err := v.aws(v.reader).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String(name + size)})
				if err != nil {
					t.Errorf("get %s%s: %v", name, size, err)
					continue
				}
				if got := read(t, get.Body); got != content {
					t.Errorf("%s: %s%s: got %d bytes, want %d", v.scheme, name, size, len(got), len(content))
				}
			}
		}
		for name, want := range map[string]recording.Class{"aws-long": c.aws, "minio-long": c.minio, "trailing-long": c.minioT} {
			if got := v.class(name); got != want {
				t.Errorf("%s: %s is of class %s, want %s", v.scheme, name, got, want)
			}
		}
	}
}

func (v *vault) putMinio(name, content string, trailing bool) error {
	c, err := minio.New(v.host, &minio.Options{
		Creds: miniocredentials.NewStaticV4(v.recorder.key, v.recorder.secret, ""), Region: "us-east-1",
		Secure: v.scheme == "https", Transport: v.client.Transport, MaxRetries: 1, TrailingHeaders: trailing,
	})
	if err != nil {
		return err
	}
	var options minio.PutObjectOptions
	if trailing {
		options.Checksum = minio.ChecksumCRC32C
	}
	_, err = c.PutObject(v.t.Context(), calls, name, strings.NewReader(content), int64(len(content)), options)
	return err
}

// Every checksum that aws-sdk-go-v2 can send, over TLS as a trailer.
func TestTrailersOverTLS(t *testing.T) {
	v := newVaultOn(t, overTLS, s3api.Config{})
	for _, algorithm := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		put, err := v.aws(v.recorder).PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(calls), Key: aws.String(string(algorithm)), Body: strings.NewReader(digits), ChecksumAlgorithm: algorithm,
		})
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		head, err := v.aws(v.reader).HeadObject(t.Context(), &s3.HeadObjectInput{
			Bucket: aws.String(calls), Key: aws.String(string(algorithm)), ChecksumMode: types.ChecksumModeEnabled,
		})
		if err != nil {
			t.Fatal(err)
		}
		header := "x-amz-checksum-" + strings.ToLower(string(algorithm))
		for what, sums := range map[string][]*string{
			"PutObject":  {put.ChecksumCRC32, put.ChecksumCRC32C, put.ChecksumCRC64NVME, put.ChecksumSHA1, put.ChecksumSHA256},
			"HeadObject": {head.ChecksumCRC32, head.ChecksumCRC32C, head.ChecksumCRC64NVME, head.ChecksumSHA1, head.ChecksumSHA256},
		} {
			found := false
			for _, sum := range sums {
				found = found || aws.ToString(sum) == trueChecksums[header]
			}
			if !found {
				t.Errorf("%s gives no %s of %s", what, header, trueChecksums[header])
			}
		}
	}
}

// presigned is a URL of aws-sdk-go-v2.
func (v *vault) presigned(name string, d time.Duration, in *s3.GetObjectInput) string {
	v.t.Helper()
	in.Bucket, in.Key = aws.String(calls), aws.String(name)
	r, err := s3.NewPresignClient(v.aws(v.reader)).PresignGetObject(v.t.Context(), in, s3.WithPresignExpires(d))
	if err != nil {
		v.t.Fatal(err)
	}
	return r.URL
}

func TestPresigned(t *testing.T) {
	v := newVault(t)
	if err := v.put(v.recorder, "ü +/call", "sound"); err != nil {
		t.Fatal(err)
	}
	fromMinio, err := v.minio(v.reader).PresignedGetObject(t.Context(), calls, "ü +/call", time.Minute, url.Values{"response-content-type": {"audio/wav"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"aws-sdk-go-v2": v.presigned("ü +/call", 15*time.Minute, &s3.GetObjectInput{
			ResponseContentType: aws.String("audio/wav"), ResponseContentDisposition: aws.String(`attachment; filename="a b.wav"`),
		}),
		"minio-go": fromMinio.String(),
	} {
		answer, err := http.Get(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, answer.Body); answer.StatusCode != 200 || got != "sound" || answer.Header.Get("Content-Type") != "audio/wav" {
			t.Errorf("%s: %s: %d %q, %s", name, target, answer.StatusCode, got, answer.Header.Get("Content-Type"))
		}
	}
}

// Whatever is changed in a presigned URL is refused.
func TestPresignedTampering(t *testing.T) {
	v := newVault(t)
	if err := v.put(v.recorder, "call", "sound"); err != nil {
		t.Fatal(err)
	}
	good := v.presigned("call", time.Minute, &s3.GetObjectInput{ResponseContentType: aws.String("audio/wav")})
	put, err := s3.NewPresignClient(v.aws(v.reader)).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(calls), Key: aws.String("new")})
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	get := func(target string, edits ...func(*http.Request)) *http.Request {
		r, err := http.NewRequest("GET", target, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, edit := range edits {
			edit(r)
		}
		return r
	}
	method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	const malformed = "AuthorizationQueryParametersError"
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		code   string
	}{
		{"for too long", get(v.presigned("call", 15*time.Minute+time.Second, &s3.GetObjectInput{})), 400, malformed},
		{"for a week and more", get(edit("X-Amz-Expires=60", "X-Amz-Expires=604801")), 400, malformed},
		{"for longer than signed", get(edit("X-Amz-Expires=60", "X-Amz-Expires=61")), 403, "SignatureDoesNotMatch"},
		{"for no time", get(edit("X-Amz-Expires=60", "X-Amz-Expires=0")), 400, malformed},
		{"for negative time", get(edit("X-Amz-Expires=60", "X-Amz-Expires=-60")), 400, malformed},
		{"for a time with a sign", get(edit("X-Amz-Expires=60", "X-Amz-Expires=%2B60")), 400, malformed},
		{"no expiry", get(edit("&X-Amz-Expires=60", "")), 400, malformed},
		{"expiry twice", get(good + "&X-Amz-Expires=60"), 400, malformed},
		{"signature twice", get(good + "&X-Amz-Signature=" + strings.Repeat("0", 64)), 400, malformed},
		{"signature in another case", get(edit("X-Amz-Signature", "x-amz-signature")), 400, malformed},
		{"signature cut", get(good[:strings.Index(good, "X-Amz-Signature")+40]), 400, malformed},
		{"no signature", get(edit("X-Amz-Signature=", "X=")), 400, malformed},
		{"no algorithm", get(edit("X-Amz-Algorithm=AWS4-HMAC-SHA256&", "")), 400, malformed},
		{"another algorithm", get(edit("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1")), 400, malformed},
		{"another service", get(edit("%2Fs3%2F", "%2Fsts%2F")), 400, malformed},
		{"another region", get(edit("eu-central-1", "eu-central-2")), 403, "SignatureDoesNotMatch"},
		{"no signed host", get(edit("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=accept")), 403, "AccessDenied"},
		{"another name", get(edit("/call?", "/cal?")), 403, "SignatureDoesNotMatch"},
		{"another type", get(edit("audio%2Fwav", "text%2Fhtml")), 403, "SignatureDoesNotMatch"},
		{"override added", get(good + "&response-cache-control=a"), 403, "SignatureDoesNotMatch"},
		{"override repeated", get(good + "&response-content-type=audio%2Fwav"), 403, "SignatureDoesNotMatch"},
		{"header and query", get(good, header("Authorization", "AWS4-HMAC-SHA256 x")), 400, "InvalidArgument"},
		{"version 2 too", get(good + "&AWSAccessKeyId=a"), 400, "InvalidArgument"},
		{"unsigned header", get(good, header("X-Amz-Checksum-Mode", "ENABLED")), 403, "AccessDenied"},
		{"another mode", get(good, header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")), 403, "AccessDenied"},
		{"session token", get(good + "&X-Amz-Security-Token=t"), 403, "SignatureDoesNotMatch"},
		{"PUT", get(put.URL, method("PUT")), 501, "NotImplemented"},
		{"PUT of a GET", get(good, method("PUT")), 403, "SignatureDoesNotMatch"},
		{"DELETE of a GET", get(good, method("DELETE")), 403, "SignatureDoesNotMatch"},
		{"unsigned override", get("http://" + v.host + "/calls/call?response-content-type=text%2Fhtml"), 403, "AccessDenied"},
	} {
		if c.status == 200 {
			answer, err := http.DefaultClient.Do(c.r)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Body.Close(); answer.StatusCode != 200 {
				t.Errorf("%s: %d, want 200", c.name, answer.StatusCode)
			}
			continue
		}
		if status, code := v.send(c.r); status != c.status || code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, code, c.status, c.code)
		}
	}
}

// An operation without a body accepts no hash but that of nothing.
func TestNoBody(t *testing.T) {
	v := newVault(t)
	if err := v.put(v.recorder, "call", "sound"); err != nil {
		t.Fatal(err)
	}
	for hash, want := range map[string]int{
		hexSHA256(""): 200, "UNSIGNED-PAYLOAD": 200, hexSHA256("x"): 400,
		"STREAMING-UNSIGNED-PAYLOAD-TRAILER": 411, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": 411, "": 400, "x": 400,
	} {
		r := v.request(v.reader, "GET", "/calls/call", "", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hash) })
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != want {
			t.Errorf("hash %q: %d, want %d", hash, answer.StatusCode, want)
		}
	}
}
