package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"time"

	"github.com/minio/minio-go/v7"
)

// upload is how and where a body is stored.
type upload struct {
	front   *s3client
	to      place
	options minio.PutObjectOptions
}

// The bounds of a stream, which is sent in parts that are read into memory one
// at a time: for its hash, and to be sent again.
const (
	partSize = 16 << 20 // bytes
	maxParts = 10_000
)

// label is what a person knows the upload by.
func (u upload) label() string { return path.Base(string(u.to.name)) }

// whole sends a body of which the SHA-256 is known.
func (u upload) whole(ctx context.Context, body io.Reader, size int64, digest string) (receipt, error) {
	info, err := u.front.PutObject(ctx, string(u.to.bucket), string(u.to.name), body, size, "", digest, u.options)
	if err != nil {
		return receipt{}, u.front.refused(err)
	}
	return u.receipt(info, size, digest), nil
}

// stream sends a body of any length: whole if it fits into one part.
func (u upload) stream(ctx context.Context, body io.Reader) (receipt, error) {
	part := make([]byte, partSize)
	n, err := io.ReadFull(body, part)
	switch {
	case ended(err):
		digest := sha256.Sum256(part[:n])
		return u.whole(ctx, bytes.NewReader(part[:n]), int64(n), hex.EncodeToString(digest[:]))
	case err != nil:
		return receipt{}, err
	}
	id, err := u.front.NewMultipartUpload(ctx, string(u.to.bucket), string(u.to.name), u.options)
	if err != nil {
		return receipt{}, u.front.refused(err)
	}
	r, err := u.parts(ctx, id, part, body)
	if err != nil {
		u.abort(ctx, id)
	}
	return r, err
}

// ended reports whether io.ReadFull met the end of what it read.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// parts sends buf, which is full, and after it the rest of body through buf.
func (u upload) parts(ctx context.Context, id string, buf []byte, body io.Reader) (receipt, error) {
	var sent []minio.CompletePart
	var size int64
	whole := sha256.New()
	for part := buf; len(part) > 0; {
		if len(sent) == maxParts {
			return receipt{}, fmt.Errorf("the stream is longer than %d GiB; put it as several recordings", maxParts*partSize>>30)
		}
		etag, err := u.part(ctx, id, len(sent)+1, part, whole)
		if err != nil {
			return receipt{}, err
		}
		sent = append(sent, minio.CompletePart{PartNumber: len(sent) + 1, ETag: etag})
		size += int64(len(part))
		n, err := io.ReadFull(body, buf)
		if err != nil && !ended(err) {
			return receipt{}, err
		}
		part = buf[:n]
	}
	info, err := u.front.CompleteMultipartUpload(ctx, string(u.to.bucket), string(u.to.name), id, sent, u.options)
	if err != nil {
		return receipt{}, u.front.refused(err)
	}
	return u.receipt(info, size, hex.EncodeToString(whole.Sum(nil))), nil
}

// part sends one part, and adds it to the hash of the whole.
func (u upload) part(ctx context.Context, id string, number int, part []byte, whole hash.Hash) (etag string, err error) {
	whole.Write(part)
	digest := sha256.Sum256(part)
	done, err := u.front.PutObjectPart(ctx, string(u.to.bucket), string(u.to.name), id, number,
		bytes.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{
			Sha256Hex:            hex.EncodeToString(digest[:]),
			DisableContentSha256: true,
		})
	if err != nil {
		return "", u.front.refused(err)
	}
	return done.ETag, nil
}

// abortWithin bounds the wish that parts be deleted. The server gives up an
// upload that got no part for a day in any case.
const abortWithin = 10 * time.Second

func (u upload) abort(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	_ = u.front.AbortMultipartUpload(ctx, string(u.to.bucket), string(u.to.name), id) // why the upload failed is what is told
}

// receipt says what the last answer said is stored.
func (u upload) receipt(info minio.UploadInfo, size int64, digest string) receipt {
	return receipt{
		Bucket:    string(u.to.bucket),
		Name:      string(u.to.name),
		Recording: u.front.last.header.Get(headerRecording),
		Version:   info.VersionID,
		Size:      size,
		SHA256:    digest,
		ETag:      info.ETag,
		Class:     u.front.last.header.Get(headerClass),
	}
}

// readerFunc is a Read as a reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// untilDone gives up reading r once ctx is done. A read that never returns, as
// of a pipe to which nobody writes, is left to itself.
func untilDone(ctx context.Context, r io.Reader) io.Reader {
	type result struct {
		n   int
		err error
	}
	return readerFunc(func(b []byte) (int, error) {
		read := make(chan result, 1)
		go func() { // ends with the read, or with the program
			n, err := r.Read(b)
			read <- result{n, err}
		}()
		select {
		case got := <-read:
			return got.n, got.err
		case <-ctx.Done():
			return 0, errInterrupted // b is not looked at again
		}
	})
}
