package s3api_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestListParts(t *testing.T) {
	v := newVault(t)
	u := v.upload(v.recorder, "call", func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32 })
	want := map[int32]types.CompletedPart{}
	for _, n := range []int32{9, 1, 4} {
		want[n] = u.mustPart(n, noise(byte(n), 1000*int(n)))
	}
	pages := s3.NewListPartsPaginator(u.client, &s3.ListPartsInput{Bucket: &u.bucket, Key: &u.name, UploadId: u.id, MaxParts: aws.Int32(2)})
	var numbers []int32
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Parts {
			n := aws.ToInt32(p.PartNumber)
			numbers = append(numbers, n)
			if aws.ToString(p.ETag) != aws.ToString(want[n].ETag) || aws.ToString(p.ChecksumCRC32) != aws.ToString(want[n].ChecksumCRC32) ||
				aws.ToInt64(p.Size) != 1000*int64(n) || p.LastModified == nil {
				t.Errorf("part %d = %+v", n, p)
			}
		}
	}
	if !slices.Equal(numbers, []int32{1, 4, 9}) {
		t.Errorf("listed %v", numbers)
	}
}

func TestListUploads(t *testing.T) {
	v := newVault(t)
	names := []string{"a", "b/1", "b/2", "b/2", "c d+é", "e"}
	ids := map[string]bool{}
	for _, name := range names {
		u := v.upload(v.recorder, name)
		ids[*u.id] = true
	}
	for most := range int32(len(names)) {
		pages := s3.NewListMultipartUploadsPaginator(v.aws(v.reader), &s3.ListMultipartUploadsInput{Bucket: aws.String(calls), MaxUploads: aws.Int32(most + 1)})
		var got []string
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range page.Uploads {
				got = append(got, aws.ToString(u.Key))
				if !ids[aws.ToString(u.UploadId)] {
					t.Errorf("unknown upload %s", aws.ToString(u.UploadId))
				}
			}
		}
		if !slices.Equal(got, names) {
			t.Errorf("pages of %d: %q, want %q", most+1, got, names)
		}
	}
	page, err := v.minio(v.reader).ListMultipartUploads(t.Context(), calls, "", "", "", "/", 1000)
	if err != nil || len(page.Uploads) != 3 || len(page.CommonPrefixes) != 1 || page.CommonPrefixes[0].Prefix != "b/" {
		t.Errorf("with a delimiter: %+v, %v", page, err)
	}
}

// A page that has room for none is the last: a client that goes on from it
// would go on for ever.
func TestPagesWithoutRoom(t *testing.T) {
	v := newVault(t)
	u := v.upload(v.reader, "call")
	u.mustPart(1, noise(1, 10))
	for _, target := range []string{"/calls?uploads=&max-uploads=0", "/calls/call?max-parts=0&uploadId=" + *u.id} {
		answer, err := v.client.Do(v.request(v.reader, "GET", target, "", unchanged))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != 200 || !strings.Contains(string(b), "<IsTruncated>false</IsTruncated>") {
			t.Errorf("GET %s: %d, %v: %s", target, answer.StatusCode, err, b)
		}
	}
}
