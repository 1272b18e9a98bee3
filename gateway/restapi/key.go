package restapi

import (
	"context"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// CreateRecorder makes an S3 key pair that only writes.
func (s session) CreateRecorder(ctx context.Context, r CreateRecorderRequestObject) (CreateRecorderResponseObject, error) {
	if r.Body.Signing {
		return nil, errSigning
	}
	if _, err := recording.ParseBucket(r.Body.Bucket); err != nil {
		return nil, err
	}
	pair, err := s.createKey(ctx, r.Tenant, gateway.NewKey{
		Kind:   policy.Recorder,
		Name:   r.Body.Name,
		Bucket: r.Body.Bucket,
		Prefix: r.Body.Prefix,
	})
	return CreateRecorder201JSONResponse{pair}, err
}

// CreateReader makes an S3 key pair that lists and opens.
func (s session) CreateReader(ctx context.Context, r CreateReaderRequestObject) (CreateReaderResponseObject, error) {
	if _, err := recording.ParseBucket(r.Body.Bucket); err != nil && r.Body.Bucket != policy.AnyBucket {
		return nil, err
	}
	pair, err := s.createKey(ctx, r.Tenant, gateway.NewKey{
		Kind:    policy.Reader,
		Name:    r.Body.Name,
		Bucket:  r.Body.Bucket,
		Prefix:  r.Body.Prefix,
		Purpose: r.Body.Purpose,
		Write:   r.Body.Write,
	})
	return CreateReader201JSONResponse{pair}, err
}

func (s session) createKey(ctx context.Context, tenant string, k gateway.NewKey) (pair NewKeyPairJSONResponse, err error) {
	if k.Name == "" {
		return pair, malformed("the field name is missing")
	}
	if _, err := recording.ParseName(k.Prefix); err != nil && k.Prefix != "" {
		return pair, malformed("the prefix must be at most 1024 bytes of UTF-8 without NUL")
	}
	access, secret, err := s.gateway.CreateKey(ctx, s.caller, tenant, k)
	return NewKeyPairJSONResponse{AccessKey: access, SecretKey: secret.Reveal()}, err
}
