package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Client is an S3 client that shares no code with Lethe.
type s3Client interface {
	put(ctx context.Context, bucket, name, file string, metadata map[string]string) error
	get(ctx context.Context, bucket, name string, first, last int64) ([]byte, error)
}

type awsSDK struct{ *s3.Client }

func awsClient(endpoint, accessKey, secretKey string) (s3Client, error) {
	return awsSDK{s3.New(s3.Options{
		BaseEndpoint: aws.String(endpoint),
		Region:       "us-east-1",
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		Retryer:      aws.NopRetryer{},
	})}, nil
}

func (c awsSDK) put(ctx context.Context, bucket, name, file string, metadata map[string]string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: &name, Body: f, Metadata: metadata, ContentType: aws.String("audio/wav"),
	})
	return err
}

func (c awsSDK) get(ctx context.Context, bucket, name string, first, last int64) ([]byte, error) {
	span := fmt.Sprintf("bytes=%d-%d", first, last)
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &name, Range: &span})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

type minioSDK struct{ *minio.Core }

func minioClient(endpoint, accessKey, secretKey string) (s3Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: miniocredentials.NewStaticV4(accessKey, secretKey, ""), Region: "us-east-1", MaxRetries: 1,
	})
	return minioSDK{core}, err
}

func (c minioSDK) put(ctx context.Context, bucket, name, file string, metadata map[string]string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	_, err = c.PutObject(ctx, bucket, name, bytes.NewReader(b), int64(len(b)), "", hex.EncodeToString(sum[:]), minio.PutObjectOptions{
		UserMetadata: metadata, ContentType: "audio/wav", DisableContentSha256: true,
	})
	return err
}

func (c minioSDK) get(ctx context.Context, bucket, name string, first, last int64) ([]byte, error) {
	opts := minio.GetObjectOptions{}
	if err := opts.SetRange(first, last); err != nil {
		return nil, err
	}
	body, _, _, err := c.GetObject(ctx, bucket, name, opts)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}
