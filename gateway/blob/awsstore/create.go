package awsstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/patience"
)

// abortWithin bounds the request that gives a failed multipart upload up.
const abortWithin = 10 * time.Second

// Create sends a body of known size as one request, streaming, and another in
// parts of blob.PartSize. When the connection is lost after the last byte was
// sent, Create reports blob.ErrUnavailable and the blob may exist all the same.
func (s *Store) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	if size < 0 {
		return s.createUnsized(ctx, key, r)
	}
	return s.put(ctx, key, r, size)
}

// anyETag is the If-None-Match of a request that fails if the key is taken.
const anyETag = "*"

// put sends one request, in constant memory.
func (s *Store) put(ctx context.Context, key string, r io.Reader, size int64) error {
	b := blob.NewBody(ctx, r, size)
	if size == 0 {
		return s.putNothing(ctx, key, b)
	}
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: s.bucket, Key: &key, IfNoneMatch: aws.String(anyETag),
		Body: newFramed(b, size), ContentLength: aws.Int64(framedLength(size)),
	}, sendFramed(size))
	whole, broken := b.Stop()
	switch {
	case broken != nil:
		return fmt.Errorf("awsstore: create: %w", broken)
	case err != nil && !whole:
		return s.refused(ctx, key, err)
	}
	return s.created(ctx, key, err)
}

// putNothing sends a request without a body, once b has ended.
func (s *Store) putNothing(ctx context.Context, key string, b *blob.Body) error {
	if _, err := b.Read(nil); err != io.EOF {
		return fmt.Errorf("awsstore: create: %w", err)
	}
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: s.bucket, Key: &key, IfNoneMatch: aws.String(anyETag)})
	return s.created(ctx, key, err)
}

// created tells what the answer to an exclusive request means. A store answers
// 409 when a conflicting request was under way, and has then made nothing.
// Source: Amazon S3 User Guide, "Conditional write behavior".
func (s *Store) created(ctx context.Context, key string, err error) error {
	if err == nil {
		return nil
	}
	if said, answered := answerOf(err); answered && said.status == http.StatusConflict {
		return s.refused(ctx, key, err)
	}
	return failure(ctx, "create", err)
}

// refused reports why a request failed that cannot have made the blob: some
// stores reset the connection while the body is still coming, and their answer
// is lost, so whether the key is taken is asked here. One that has stopped would
// not answer that either.
func (s *Store) refused(ctx context.Context, key string, err error) error {
	why := failure(ctx, "create", err)
	if !errors.Is(why, blob.ErrUnavailable) || errors.Is(why, patience.ErrStopped) {
		return why
	}
	if _, err := s.openNothing(ctx, key); err != nil {
		return why
	}
	return blob.ErrExists
}

// createUnsized sends a body that fits one part as one request.
func (s *Store) createUnsized(ctx context.Context, key string, r io.Reader) error {
	parts := blob.NewParts(r)
	defer parts.Close()
	first, err := parts.Next()
	if err != nil {
		return fmt.Errorf("awsstore: create: %w", err)
	}
	if len(first) < blob.PartSize {
		return s.put(ctx, key, bytes.NewReader(first), int64(len(first)))
	}
	return s.multipart(ctx, key, first, parts)
}

// multipart sends the first part, and then the rest one after another.
func (s *Store) multipart(ctx context.Context, key string, first []byte, rest *blob.Parts) error {
	upload, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: s.bucket, Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
	})
	if err != nil {
		return failure(ctx, "create", err)
	}
	sent, err := s.sendParts(ctx, key, upload.UploadId, first, rest)
	if err == nil {
		_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: s.bucket, Key: &key, UploadId: upload.UploadId, IfNoneMatch: aws.String(anyETag),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: sent},
		})
		err = s.created(ctx, key, err)
	}
	if err != nil {
		s.abort(ctx, key, upload.UploadId)
	}
	return err
}

func (s *Store) sendParts(ctx context.Context, key string, upload *string, part []byte, rest *blob.Parts) (sent []types.CompletedPart, err error) {
	for len(part) > 0 {
		done, err := s.sendPart(ctx, key, upload, int32(len(sent)+1), part)
		if err != nil {
			return nil, err
		}
		sent = append(sent, done)
		if part, err = rest.Next(); err != nil {
			return nil, fmt.Errorf("awsstore: create: %w", err)
		}
	}
	return sent, nil
}

func (s *Store) sendPart(ctx context.Context, key string, upload *string, number int32, part []byte) (types.CompletedPart, error) {
	size := int64(len(part))
	b := blob.NewBody(ctx, bytes.NewReader(part), size)
	done, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: s.bucket, Key: &key, UploadId: upload, PartNumber: &number,
		Body: newFramed(b, size), ContentLength: aws.Int64(framedLength(size)),
	}, sendFramed(size))
	b.Stop() // the part is ours again; a bytes.Reader does not fail
	if err != nil {
		return types.CompletedPart{}, failure(ctx, "create", err)
	}
	return types.CompletedPart{PartNumber: &number, ETag: done.ETag, ChecksumCRC32C: done.ChecksumCRC32C}, nil
}

// abort gives up an upload, also when ctx has ended. What it cannot abort now,
// the bucket's rule for incomplete uploads does.
func (s *Store) abort(ctx context.Context, key string, upload *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: s.bucket, Key: &key, UploadId: upload})
}
