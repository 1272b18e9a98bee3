package faults_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-vault/lethe/test/system"
)

// region is any: Lethe accepts whichever a client signs for.
const region = "us-east-1"

// client is one key pair used on one bucket, through two SDKs that never try again.
type client struct {
	bucket string
	aws    *s3.Client
	minio  *minio.Core
	close  func() // of idle connections
}

func newClient(t testing.TB, endpoint string, k system.Keys, bucket string) client {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := newTransport()
	t.Cleanup(transport.CloseIdleConnections)
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: miniocredentials.NewStaticV4(k.AccessKey, k.SecretKey, ""), Region: region, MaxRetries: 1, Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client{bucket: bucket, minio: core, close: transport.CloseIdleConnections, aws: s3.New(s3.Options{
		BaseEndpoint: aws.String(endpoint),
		Region:       region,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(k.AccessKey, k.SecretKey, ""),
		Retryer:      aws.NopRetryer{},
		HTTPClient:   &http.Client{Transport: transport},
	})}
}

// newTransport holds little in the sockets of a connection, so that a slow
// reader is slow for the server too.
func newTransport() *http.Transport {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		MaxIdleConnsPerHost:   100,
		ExpectContinueTimeout: 5 * time.Second,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return conn, conn.(*net.TCPConn).SetReadBuffer(128 << 10)
		},
	}
}

// put uploads through minio-go, signed with the hash.
func (c client) put(ctx context.Context, name string, what content) error {
	_, err := c.minio.PutObject(ctx, c.bucket, name, what.reader(), what.size, "", what.hash(),
		minio.PutObjectOptions{ContentType: "audio/wav", DisableContentSha256: true})
	return err
}

// putText uploads a short text, signed with its hash.
func (c client) putText(ctx context.Context, name, text string) error {
	return c.putAbout(ctx, name, text, "")
}

// putAbout is putText of a recording that tells of a data subject.
func (c client) putAbout(ctx context.Context, name, text, subject string) error {
	sum := sha256.Sum256([]byte(text))
	o := minio.PutObjectOptions{ContentType: "audio/wav", DisableContentSha256: true}
	if subject != "" {
		o.UserMetadata = map[string]string{"lethe-subject": subject}
	}
	_, err := c.minio.PutObject(ctx, c.bucket, name, strings.NewReader(text), int64(len(text)), "", hex.EncodeToString(sum[:]), o)
	return err
}

// remove erases a recording.
func (c client) remove(ctx context.Context, name string) error {
	return c.minio.RemoveObject(ctx, c.bucket, name, minio.RemoveObjectOptions{})
}

// putAWS uploads through aws-sdk-go-v2, which adds a CRC-32.
func (c client) putAWS(ctx context.Context, name string, what content) error {
	_, err := c.aws.PutObject(ctx, &s3.PutObjectInput{Bucket: &c.bucket, Key: &name, Body: what.reader(), ContentType: aws.String("audio/wav")})
	return err
}

// open gives a recording, or the span of it as a Range header has it.
func (c client) open(ctx context.Context, name, span string) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &c.bucket, Key: &name}
	if span != "" {
		in.Range = &span
	}
	out, err := c.aws.GetObject(ctx, in)
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// check reads a recording to its end; nil if it is whole.
func (c client) check(ctx context.Context, name string, want content) error {
	body, err := c.open(ctx, name, "")
	if err != nil {
		return err
	}
	defer body.Close()
	return equals(body, want.reader())
}

// checkSpan reads n bytes from off; nil if they are right.
func (c client) checkSpan(ctx context.Context, name string, want content, off, n int64) error {
	body, err := c.open(ctx, name, fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	if err != nil {
		return err
	}
	defer body.Close()
	return equals(body, want.span(off, n))
}

// list gives the sizes of all recordings below prefix, by name.
func (c client) list(ctx context.Context, prefix string) (map[string]int64, error) {
	sizes := map[string]int64{}
	pages := s3.NewListObjectsV2Paginator(c.aws, &s3.ListObjectsV2Input{Bucket: &c.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			if _, twice := sizes[*o.Key]; twice {
				return nil, errors.New("a name is listed twice")
			}
			sizes[*o.Key] = *o.Size
		}
	}
	return sizes, nil
}

// refusal gives the status and the code of an answer that was an error; 0 if
// there was no answer.
func refusal(err error) (status int, code string) {
	if answer := minio.ToErrorResponse(err); answer.StatusCode != 0 {
		return answer.StatusCode, answer.Code
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = answer.HTTPStatusCode()
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	return status, code
}

// refused fails t unless err is the answer with the status and code given.
func refused(t testing.TB, what string, err error, status int, code string) {
	t.Helper()
	if gotStatus, gotCode := refusal(err); gotStatus != status || gotCode != code {
		t.Errorf("%s: %d %s (%v), want %d %s", what, gotStatus, gotCode, err, status, code)
	}
}
