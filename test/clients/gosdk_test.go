package clients

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"
)

// roots are the certificates to trust at a site; nil for the system's.
func roots(t testing.TB, s site) *x509.CertPool {
	t.Helper()
	if !s.secure() {
		return nil
	}
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", s.ca)
	}
	return pool
}

// transferManager is aws-sdk-go-v2 with its transfer manager.
type transferManager struct {
	s3     *s3.Client
	bucket *string
}

func newTransferManager(t testing.TB, s site) client {
	trusted := roots(t, s)
	return transferManager{s3.New(s3.Options{
		BaseEndpoint: &s.endpoint,
		Region:       "us-east-1",
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(s.keys.AccessKey, s.keys.SecretKey, ""),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig.RootCAs = trusted
		}),
	}), &s.bucket}
}

func (c transferManager) put(ctx context.Context, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = transfermanager.New(c.s3).UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: c.bucket, Key: &name, Body: f})
	return err
}

func (c transferManager) get(ctx context.Context, name, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = transfermanager.New(c.s3).DownloadObject(ctx, &transfermanager.DownloadObjectInput{Bucket: c.bucket, Key: &name, WriterAt: f})
	return err
}

func (c transferManager) span(ctx context.Context, name string, s span) ([]byte, error) {
	out, err := c.s3.GetObject(ctx, &s3.GetObjectInput{
		Bucket: c.bucket, Key: &name, Range: aws.String(fmt.Sprintf("bytes=%d-%d", s.first, s.last)),
	})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func (c transferManager) list(ctx context.Context, prefix string) (entries []string, err error) {
	pages := s3.NewListObjectsV2Paginator(c.s3, &s3.ListObjectsV2Input{Bucket: c.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			entries = append(entries, entry(*o.Size, *o.Key))
		}
	}
	return entries, nil
}

func (c transferManager) size(ctx context.Context, name string) (int64, error) {
	out, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: c.bucket, Key: &name})
	if err != nil {
		return 0, err
	}
	return *out.ContentLength, nil
}

func (c transferManager) remove(ctx context.Context, name string) error {
	_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: c.bucket, Key: &name})
	return err
}

// minioGo is minio-go.
type minioGo struct {
	*minio.Client
	bucket string
}

func newMinioGo(t testing.TB, s site) client {
	t.Helper()
	opts := &minio.Options{Creds: miniocredentials.NewStaticV4(s.keys.AccessKey, s.keys.SecretKey, ""), Secure: s.secure()}
	if s.secure() {
		transport, err := minio.DefaultTransport(true)
		if err != nil {
			t.Fatal(err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots(t, s)}
		opts.Transport = transport
	}
	c, err := minio.New(s.host(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return minioGo{c, s.bucket}
}

func (c minioGo) put(ctx context.Context, file, name string) error {
	_, err := c.FPutObject(ctx, c.bucket, name, file, minio.PutObjectOptions{})
	return err
}

func (c minioGo) get(ctx context.Context, name, file string) error {
	return c.FGetObject(ctx, c.bucket, name, file, minio.GetObjectOptions{})
}

func (c minioGo) span(ctx context.Context, name string, s span) ([]byte, error) {
	opts := minio.GetObjectOptions{}
	if err := opts.SetRange(s.first, s.last); err != nil {
		return nil, err
	}
	body, err := c.GetObject(ctx, c.bucket, name, opts)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func (c minioGo) list(ctx context.Context, prefix string) (entries []string, err error) {
	for o := range c.ListObjects(ctx, c.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, o.Err
		}
		entries = append(entries, entry(o.Size, o.Key))
	}
	return entries, nil
}

func (c minioGo) size(ctx context.Context, name string) (int64, error) {
	info, err := c.StatObject(ctx, c.bucket, name, minio.StatObjectOptions{})
	return info.Size, err
}

func (c minioGo) remove(ctx context.Context, name string) error {
	return c.RemoveObject(ctx, c.bucket, name, minio.RemoveObjectOptions{})
}
