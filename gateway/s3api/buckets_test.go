package s3api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// A general tool makes a bucket, uses it, empties it and deletes it.
func TestBucketsOfAGeneralTool(t *testing.T) {
	v := newVault(t)
	v.reader = v.pair("acme", gateway.NewKey{Kind: policy.Reader, Bucket: policy.AnyBucket, Write: true})
	client := v.aws(v.reader)
	made, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{
		Bucket: aws.String("more"), ACL: types.BucketCannedACLPrivate,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraintEuCentral1},
	})
	if err != nil || aws.ToString(made.Location) != "/more" {
		t.Fatalf("CreateBucket = %+v, %v", made, err)
	}
	_, err = client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("more")})
	if c, status := code(err); c != "BucketAlreadyOwnedByYou" || status != 409 {
		t.Errorf("CreateBucket again: %v, want BucketAlreadyOwnedByYou 409", err)
	}
	versioning, err := client.GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: aws.String("more")})
	if err != nil || versioning.Status != "" {
		t.Errorf("GetBucketVersioning = %+v, %v", versioning, err)
	}
	v.mustPut("more", "call", "x")
	remove := func() error {
		_, err := client.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String("more")})
		return err
	}
	if c, status := code(remove()); c != "BucketNotEmpty" || status != 409 {
		t.Errorf("DeleteBucket: %s %d, want BucketNotEmpty 409", c, status)
	}
	if got := v.get("more", "call", ""); got != "x" {
		t.Errorf("a bucket that is not empty was spoilt: %q", got)
	}
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("more"), Key: aws.String("call")}); err != nil {
		t.Error(err)
	}
	if err := remove(); err != nil {
		t.Errorf("DeleteBucket = %v", err)
	}
	if c, status := code(remove()); c != "NoSuchBucket" || status != 404 {
		t.Errorf("DeleteBucket again: %s %d, want NoSuchBucket 404", c, status)
	}
	if got := v.get("more", "call", ""); got != "NoSuchBucket" {
		t.Errorf("GetObject from a deleted bucket: %q", got)
	}
	core := v.minio(v.reader)
	if err := core.MakeBucket(t.Context(), "more", minio.MakeBucketOptions{Region: "eu-west-1"}); err != nil {
		t.Errorf("minio-go MakeBucket: %v", err)
	}
	if got := v.get("more", "call", ""); got != "NoSuchKey" {
		t.Errorf("GetObject from the bucket made again: %q", got)
	}
	if err := core.RemoveBucket(t.Context(), "more"); err != nil {
		t.Errorf("minio-go RemoveBucket: %v", err)
	}
	_, err = client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("No_Bucket")})
	if c, _ := code(err); c != "InvalidBucketName" {
		t.Errorf("CreateBucket of a bad name: %v", err)
	}
	_, err = client.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("nowhere"), Delete: &types.Delete{
		Objects: []types.ObjectIdentifier{{Key: aws.String("a")}},
	}})
	if c, _ := code(err); c != "NoSuchBucket" {
		t.Errorf("DeleteObjects in no bucket: %v", err)
	}
}

func TestListBuckets(t *testing.T) {
	v := newVault(t)
	for _, name := range []string{"z-last", "archive", "archive-2"} {
		v.Bucket("acme", gateway.BucketSettings{Name: recording.Bucket(name)})
	}
	all := v.pair("acme", gateway.NewKey{Kind: policy.Reader, Bucket: policy.AnyBucket})
	for what, c := range map[string]struct {
		who  pair
		in   s3.ListBucketsInput
		want []string
	}{
		"of one":      {v.reader, s3.ListBucketsInput{}, []string{calls}},
		"of all":      {all, s3.ListBucketsInput{}, []string{"archive", "archive-2", calls, "z-last"}},
		"of a prefix": {all, s3.ListBucketsInput{Prefix: aws.String("arch"), MaxBuckets: aws.Int32(1)}, []string{"archive", "archive-2"}},
		"in pages":    {all, s3.ListBucketsInput{MaxBuckets: aws.Int32(3)}, []string{"archive", "archive-2", calls, "z-last"}},
	} {
		var got []string
		pages := s3.NewListBucketsPaginator(v.aws(c.who), &c.in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range page.Buckets {
				got = append(got, aws.ToString(b.Name))
				if b.CreationDate == nil {
					t.Errorf("%s: %s has no date", what, aws.ToString(b.Name))
				}
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("buckets %s: %q, want %q", what, got, c.want)
		}
	}
	buckets, err := v.minio(all).ListBuckets(t.Context())
	if err != nil || len(buckets) != 4 {
		t.Errorf("minio-go ListBuckets = %+v, %v", buckets, err)
	}
	_, err = v.aws(v.recorder).ListBuckets(t.Context(), &s3.ListBucketsInput{})
	if c, _ := code(err); c != "AccessDenied" {
		t.Errorf("ListBuckets by a recorder: %v", err)
	}
	if strings.Contains(v.log.String(), "request failed") {
		t.Errorf("log: %s", v.log)
	}
}

// rclone makes its bucket before it puts, whoever it is: one that may not is
// told that the bucket is there, but only where it may see that.
func TestMakeSureOfBucket(t *testing.T) {
	v := newVault(t)
	v.Bucket("acme", gateway.BucketSettings{Name: "elsewhere"})
	for who, p := range map[string]pair{"recorder": v.recorder, "reader": v.reader} {
		for bucket, want := range map[string]string{calls: "BucketAlreadyOwnedByYou", "elsewhere": "AccessDenied", "nowhere": "AccessDenied"} {
			_, err := v.aws(p).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)})
			if c, _ := code(err); c != want {
				t.Errorf("CreateBucket %s by a %s: %v, want %s", bucket, who, err, want)
			}
		}
	}
}
