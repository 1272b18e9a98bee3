package s3api_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// minio-go 7.0, which mc is made of, ends an upload with the checksum of the
// parts' checksums, but without the dash that would say so.
func TestCompositeWithoutDash(t *testing.T) {
	v := newVault(t)
	u := v.upload(v.recorder, "call")
	part := u.mustPart(1, noise(1, 1000))
	sum, err := base64.StdEncoding.DecodeString(*part.ChecksumCRC32)
	if err != nil {
		t.Fatal(err)
	}
	complete := func(crc uint32) error {
		value := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
		_, err := u.client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
			Bucket: &u.bucket, Key: &u.name, UploadId: u.id, ChecksumCRC32: &value,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{part}},
		})
		return err
	}
	if err := complete(crc32.ChecksumIEEE(sum) + 1); !is(err, 400, "BadDigest") {
		t.Errorf("another checksum: %v, want BadDigest", err)
	}
	if err := complete(crc32.ChecksumIEEE(sum)); err != nil {
		t.Error(err)
	}
}

// Whoever can leave a part out of the list cuts the recording: it proves no more
// of its author than the list does.
func TestUnsignedListOfParts(t *testing.T) {
	v := newVault(t)
	v.Bucket("acme", gateway.BucketSettings{Name: "strict", MinClass: recording.ClassB})
	strict := v.pair("acme", gateway.NewKey{Kind: policy.Recorder, Bucket: "strict"})
	for bucket, want := range map[string]struct {
		recorder pair
		status   int
	}{calls: {v.recorder, 200}, "strict": {strict, 403}} {
		u := v.upload(want.recorder, "call", func(in *s3.CreateMultipartUploadInput) { in.Bucket = &bucket })
		p := u.mustPart(1, noise(1, 1000))
		list := "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + *p.ETag + "</ETag></Part></CompleteMultipartUpload>"
		r := v.request(want.recorder, "POST", "/"+bucket+"/call?uploadId="+*u.id, list, func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		})
		answer, err := v.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want.status {
			t.Errorf("%s: status %d, want %d", bucket, answer.StatusCode, want.status)
		}
		if _, err := u.complete(p); err != nil {
			t.Errorf("%s: completed with a signature: %v", bucket, err)
		}
	}
	if got := v.class("call"); got != recording.ClassD {
		t.Errorf("class %s of a recording whose list of parts anyone could change, want D", got)
	}
}

// Checksums of the whole: of the parts' checksums, or combined from them.
func TestMultipartChecksums(t *testing.T) {
	v := newVault(t)
	one, two := noise(1, 100_001), noise(2, 77)
	whole := slices.Concat(one, two)
	big := func(n uint32) string {
		return base64.StdEncoding.EncodeToString([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	sums := sha256.New()
	for _, part := range [][]byte{one, two} {
		s := sha256.Sum256(part)
		sums.Write(s[:])
	}
	for _, c := range []struct {
		algorithm types.ChecksumAlgorithm
		of        types.ChecksumType
		want      string
	}{
		{types.ChecksumAlgorithmCrc32, types.ChecksumTypeFullObject, big(crc32.ChecksumIEEE(whole))},
		{types.ChecksumAlgorithmCrc32c, types.ChecksumTypeFullObject, big(crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)))},
		{types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite, base64.StdEncoding.EncodeToString(sums.Sum(nil)) + "-2"},
	} {
		name := string(c.algorithm) + string(c.of)
		u := v.upload(v.recorder, name, func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm, in.ChecksumType = c.algorithm, c.of })
		var parts []types.CompletedPart
		for i, content := range [][]byte{one, two} {
			out, err := u.client.UploadPart(t.Context(), &s3.UploadPartInput{
				Bucket: &u.bucket, Key: &u.name, UploadId: u.id, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(content), ChecksumAlgorithm: c.algorithm,
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			parts = append(parts, types.CompletedPart{
				PartNumber: aws.Int32(int32(i + 1)), ETag: out.ETag,
				ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumSHA256: out.ChecksumSHA256,
			})
		}
		in := &s3.CompleteMultipartUploadInput{
			Bucket: &u.bucket, Key: &u.name, UploadId: u.id, ChecksumType: c.of,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		}
		wrong := big(7)
		in.ChecksumCRC32 = &wrong
		if _, err := u.client.CompleteMultipartUpload(t.Context(), in); !is(err, 400, "BadDigest") {
			t.Errorf("%s: completed with a false checksum: %v", name, err)
		}
		in.ChecksumCRC32 = nil
		if c.of == types.ChecksumTypeComposite {
			miscounted := strings.TrimSuffix(c.want, "2") + "3"
			in.ChecksumSHA256 = &miscounted
			if _, err := u.client.CompleteMultipartUpload(t.Context(), in); !is(err, 400, "InvalidRequest") {
				t.Errorf("%s: completed with a checksum of 3 parts: %v", name, err)
			}
			in.ChecksumSHA256 = nil
		}
		if c.algorithm == types.ChecksumAlgorithmCrc32 {
			in.ChecksumCRC32 = &c.want
		}
		out, err := u.client.CompleteMultipartUpload(t.Context(), in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := aws.ToString(out.ChecksumCRC32) + aws.ToString(out.ChecksumCRC32C) + aws.ToString(out.ChecksumSHA256)
		if got != c.want || out.ChecksumType != c.of {
			t.Errorf("%s: checksum %q of type %s, want %q", name, got, out.ChecksumType, c.want)
		}
		get, err := v.aws(v.reader).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: &name, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		if b := read(t, get.Body); b != string(whole) {
			t.Errorf("%s: read %d other bytes", name, len(b))
		}
		if got := aws.ToString(get.ChecksumCRC32) + aws.ToString(get.ChecksumCRC32C) + aws.ToString(get.ChecksumSHA256); got != c.want {
			t.Errorf("%s: read with checksum %q, want %q", name, got, c.want)
		}
	}
}

// A part without the checksum that its upload was begun with is refused.
func TestPartWithoutItsChecksum(t *testing.T) {
	v := newVault(t)
	r := v.request(v.recorder, "POST", "/calls/call?uploads", "", func(r *http.Request) { r.Header.Set("X-Amz-Checksum-Algorithm", "SHA256") })
	answer, err := v.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, answer.Body)
	_, rest, _ := strings.Cut(text, "<UploadId>")
	id, _, ok := strings.Cut(rest, "</UploadId>")
	if !ok || answer.Header.Get("X-Amz-Checksum-Type") != "COMPOSITE" {
		t.Fatalf("answered %q", text)
	}
	if status, code := v.send(v.request(v.recorder, "PUT", "/calls/call?partNumber=1&uploadId="+id, "sound", unchanged)); status != 400 || code != "InvalidRequest" {
		t.Errorf("%d %s, want InvalidRequest", status, code)
	}
	for algorithm, of := range map[string]string{"MD5": "", "": "FULL_OBJECT", "SHA256": "FULL_OBJECT", "CRC64NVME": "COMPOSITE"} {
		r := v.request(v.recorder, "POST", "/calls/call?uploads", "", func(r *http.Request) {
			r.Header.Set("X-Amz-Checksum-Algorithm", algorithm)
			r.Header.Set("X-Amz-Checksum-Type", of)
		})
		if of == "" {
			r = v.request(v.recorder, "POST", "/calls/call?uploads", "", func(r *http.Request) { r.Header.Set("X-Amz-Checksum-Algorithm", algorithm) })
		}
		if status, code := v.send(r); status < 400 {
			t.Errorf("%s %s: %d %s, want a refusal", algorithm, of, status, code)
		}
	}
}

func TestMD5OfParts(t *testing.T) {
	v := newVault(t)
	v.Bucket("acme", gateway.BucketSettings{Name: "legacy", ETag: gateway.ETagMD5})
	var p pair
	p.key, p.secret = v.Key("acme", gateway.NewKey{Kind: policy.Recorder, Bucket: "legacy"})
	u := v.upload(p, "call", func(in *s3.CreateMultipartUploadInput) { in.Bucket = aws.String("legacy") })
	one, two := noise(1, 1000), noise(2, 2000)
	parts := []types.CompletedPart{u.mustPart(1, one), u.mustPart(2, two)}
	first, second := md5.Sum(one), md5.Sum(two)
	if got := aws.ToString(parts[0].ETag); got != `"`+hex.EncodeToString(first[:])+`"` {
		t.Errorf("the first part's ETag is %s", got)
	}
	done, err := u.complete(parts...)
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum(slices.Concat(first[:], second[:]))
	if want := fmt.Sprintf(`"%x-2"`, sum); aws.ToString(done.ETag) != want {
		t.Errorf("ETag %s, want %s", aws.ToString(done.ETag), want)
	}
}

// The weakest part decides the class of the whole, and a bucket's least class
// is demanded of every part.
func TestClassOfParts(t *testing.T) {
	v := newVault(t)
	u := v.upload(v.recorder, "call", func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm = "" })
	var parts []types.CompletedPart
	for i, hash := range []string{"", "UNSIGNED-PAYLOAD"} {
		r := v.request(v.recorder, "PUT", fmt.Sprintf("/calls/call?partNumber=%d&uploadId=%s", i+1, *u.id), "sound", func(r *http.Request) {
			r.Header.Set("X-Amz-Checksum-Crc32", crc("sound"))
			if hash != "" {
				r.Header.Set("X-Amz-Content-Sha256", hash)
			}
		})
		answer, err := v.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 200 {
			t.Fatalf("part %d: %d", i+1, answer.StatusCode)
		}
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: aws.String(answer.Header.Get("Etag"))})
	}
	if _, err := u.complete(parts...); err != nil {
		t.Fatal(err)
	}
	answer, err := v.client.Do(v.request(v.reader, "HEAD", "/calls/call", "", unchanged))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := answer.Header.Get("X-Lethe-Class"); got != string(recording.ClassD) {
		t.Errorf("class %s, want D", got)
	}
}
