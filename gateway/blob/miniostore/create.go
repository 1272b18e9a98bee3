package miniostore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/patience"
	"github.com/minio/minio-go/v7"
)

// abortWithin bounds the request that gives a failed multipart upload up.
const abortWithin = 10 * time.Second

// Create sends a body of known size as one request, streaming, and another in
// parts of 5 MiB. When the connection is lost after the last byte was sent,
// Create reports blob.ErrUnavailable and the blob may exist all the same.
func (s *Store) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	if size < 0 {
		return s.createUnsized(ctx, key, r)
	}
	return s.put(ctx, key, r, size)
}

// put sends one request, in constant memory.
func (s *Store) put(ctx context.Context, key string, r io.Reader, size int64) error {
	b := blob.NewBody(ctx, r, size)
	if size == 0 { // nobody reads a body of no length, so its end is checked here
		if _, err := b.Read(nil); err != io.EOF {
			return fmt.Errorf("miniostore: create: %w", err)
		}
	}
	_, err := s.core.PutObject(ctx, s.bucket, key, b, size, "", "", exclusive())
	whole, broken := b.Stop()
	switch {
	case broken != nil:
		return fmt.Errorf("miniostore: create: %w", broken)
	case err != nil && !whole:
		return s.refused(ctx, key, err)
	}
	return s.created(ctx, key, err)
}

// exclusive makes a request fail if the key is taken. It turns off the signing
// of chunks, which leaves the checksum trailer: see Config.
func exclusive() minio.PutObjectOptions {
	opts := minio.PutObjectOptions{DisableContentSha256: true}
	opts.SetMatchETagExcept("*")
	return opts
}

// created tells what the answer to an exclusive request means. A store answers
// 409 when a conflicting request was under way, and has then made nothing.
// Source: Amazon S3 User Guide, "Conditional write behavior".
func (s *Store) created(ctx context.Context, key string, err error) error {
	if err == nil {
		return nil
	}
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode == http.StatusConflict {
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
		return fmt.Errorf("miniostore: create: %w", err)
	}
	if len(first) < blob.PartSize {
		return s.put(ctx, key, bytes.NewReader(first), int64(len(first)))
	}
	return s.multipart(ctx, key, first, parts)
}

// multipart sends the first part, and then the rest one after another.
func (s *Store) multipart(ctx context.Context, key string, first []byte, rest *blob.Parts) error {
	upload, err := s.core.NewMultipartUpload(ctx, s.bucket, key, minio.PutObjectOptions{})
	if err != nil {
		return failure(ctx, "create", err)
	}
	sent, err := s.sendParts(ctx, key, upload, first, rest)
	if err == nil {
		_, err = s.core.CompleteMultipartUpload(ctx, s.bucket, key, upload, sent, exclusive())
		err = s.created(ctx, key, err)
	}
	if err != nil {
		s.abort(ctx, key, upload)
	}
	return err
}

func (s *Store) sendParts(ctx context.Context, key, upload string, part []byte, rest *blob.Parts) (sent []minio.CompletePart, err error) {
	for len(part) > 0 {
		done, err := s.sendPart(ctx, key, upload, len(sent)+1, part)
		if err != nil {
			return nil, err
		}
		sent = append(sent, done)
		if part, err = rest.Next(); err != nil {
			return nil, fmt.Errorf("miniostore: create: %w", err)
		}
	}
	return sent, nil
}

func (s *Store) sendPart(ctx context.Context, key, upload string, number int, data []byte) (minio.CompletePart, error) {
	b := blob.NewBody(ctx, bytes.NewReader(data), int64(len(data)))
	sum := sha256.Sum256(data)
	part, err := s.core.PutObjectPart(ctx, s.bucket, key, upload, number, b, int64(len(data)),
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true})
	b.Stop() // the buffer is ours again; a bytes.Reader does not fail
	if err != nil {
		return minio.CompletePart{}, failure(ctx, "create", err)
	}
	return minio.CompletePart{PartNumber: number, ETag: part.ETag}, nil
}

// abort gives up an upload, also when ctx has ended. What it cannot abort now,
// the bucket's rule for incomplete uploads does.
func (s *Store) abort(ctx context.Context, key, upload string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	s.core.AbortMultipartUpload(ctx, s.bucket, key, upload)
}
