// Package awsstore keeps blobs in a bucket of Amazon S3, through
// aws-sdk-go-v2: with the identity that the machine, the pod or the profile
// has, in its region. It works on other stores too, path style. It sends
// nothing of a client's: a random key, ciphertext, a content type.
//
// The store must honour "If-None-Match: *" on PutObject and on
// CompleteMultipartUpload, which is what makes Create exclusive, take bodies in
// chunks with a checksum trailer, and answer ListObjectVersions. It should
// expire multipart uploads that nobody completed: a process that dies within
// Create of unknown size leaves one.
//
// The identity needs s3:ListBucket, s3:ListBucketVersions, s3:GetObject,
// s3:PutObject, s3:AbortMultipartUpload, s3:DeleteObject and
// s3:DeleteObjectVersion.
//
// A call sends each request once. What may be tried again, and when, is for
// the caller, who still has the body.
package awsstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/lethe-vault/lethe/gateway/blob/patience"
)

// Config says where the bucket is, and who asks. Only Bucket is required.
//
// Requests are signed. A streamed body is not, on plain HTTP too: it is framed
// in chunks that end with its CRC-32C, so that no store takes a body that was
// cut for a whole one.
type Config struct {
	Bucket    string         // exists already; versioning and locks are as its owner likes
	Region    string         // empty: as the environment or the profile says; us-east-1 of an Endpoint
	Endpoint  string         // host or host:port of another store or way; empty: Amazon S3, host style
	AccessKey string         // empty: the SDK's default chain of environment, profile, pod and machine
	SecretKey string         // of AccessKey
	Insecure  bool           // plain HTTP, to an Endpoint
	Client    aws.HTTPClient // sends what goes to the store; nil: one of our own
}

// The errors of New.
var (
	// ErrNoBucket: there is no such bucket, or it may not be seen.
	ErrNoBucket = errors.New("awsstore: no such bucket")
	// ErrNoRegion: neither the settings nor the environment name a region.
	ErrNoRegion = errors.New("awsstore: no region in the settings or the environment")
	// ErrNoCredentials: the SDK's default chain gives none.
	ErrNoCredentials = errors.New("awsstore: no credentials in the settings or the environment")
)

// Store is a blob.Store in a bucket.
type Store struct {
	client *s3.Client
	bucket *string
}

// New connects to the bucket. It reports ErrNoBucket, ErrNoRegion or
// ErrNoCredentials, or blob.ErrUnavailable when the store cannot be reached.
func New(ctx context.Context, c Config) (*Store, error) {
	shared, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	s := &Store{client: s3.NewFromConfig(shared, c.options), bucket: &c.Bucket}
	_, err = s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: s.bucket})
	if err == nil {
		return s, nil
	}
	if said, answered := answerOf(err); answered && said.status == http.StatusNotFound {
		return nil, ErrNoBucket
	}
	return nil, failure(ctx, "look for the bucket", err)
}

// load finds what the settings leave to the environment.
func (c Config) load(ctx context.Context) (aws.Config, error) {
	from := []func(*config.LoadOptions) error{
		config.WithHTTPClient(newClient()),
		config.WithLogger(logging.Nop{}), // it would write to standard error, in a form of its own
	}
	if c.Region != "" {
		from = append(from, config.WithRegion(c.Region))
	}
	if c.Endpoint != "" {
		from = append(from, config.WithDefaultRegion("us-east-1"))
	}
	if c.AccessKey != "" {
		from = append(from, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, "")))
	}
	shared, err := config.LoadDefaultConfig(ctx, from...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("awsstore: read the SDK's settings: %w", err)
	}
	if shared.Region == "" {
		return aws.Config{}, ErrNoRegion
	}
	if _, err := shared.Credentials.Retrieve(ctx); err != nil {
		return aws.Config{}, errors.Join(ended(ctx, "get credentials"), ErrNoCredentials)
	}
	return shared, nil
}

// options are those that the environment has no say in.
func (c Config) options(o *s3.Options) {
	if c.Client != nil {
		o.HTTPClient = c.Client
	}
	o.HTTPClient = patience.Patient{Next: o.HTTPClient}
	o.BaseEndpoint = nil
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(c.scheme() + c.Endpoint)
		o.UsePathStyle = true
	}
	o.Retryer = aws.NopRetryer{}
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired // integrity is the envelope's
	o.ContinueHeaderThresholdBytes = -1                                       // nobody waits to be told to send
}

func (c Config) scheme() string {
	if c.Insecure {
		return "http://"
	}
	return "https://"
}
