package awsstore

import (
	"context"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"io"
	"strconv"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// framed gives a body in the content encoding aws-chunked, unsigned, with its
// CRC-32C as the trailer:
//
//	10000\r\n  65,536 bytes  \r\n
//	…
//	1f3\r\n  499 bytes  \r\n
//	0\r\n
//	x-amz-checksum-crc32c:<base64>\r\n
//	\r\n
//
// The SDK's own framing is one chunk of any length, which MinIO refuses, and it
// frames over HTTPS only. Source: Amazon S3 API Reference, "Signature
// calculations for trailing headers".
type framed struct {
	body  io.Reader // reports what it lacks as an error, as blob.Body does
	left  int64     // bytes of body in chunks to come
	chunk int64     // bytes of body in this chunk still to come
	frame []byte    // comes before them
	last  bool      // the last chunk has begun: it is empty
	sum   hash.Hash32
}

const (
	chunkSize = 64 << 10 // bytes of a chunk, but for the last two
	lineEnd   = "\r\n"
	trailer   = "x-amz-checksum-crc32c"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newFramed frames size bytes of body, at least one.
func newFramed(body io.Reader, size int64) *framed {
	f := &framed{body: body, left: size, sum: crc32.New(castagnoli)}
	f.next()
	f.frame = f.frame[len(lineEnd):] // which ends no chunk here
	return f
}

// framedLength is the number of bytes that size of them become.
func framedLength(size int64) int64 {
	whole, rest := size/chunkSize, size%chunkSize
	n := whole*chunkLength(chunkSize) + chunkLength(0)
	if rest > 0 {
		n += chunkLength(rest)
	}
	return n + int64(len(trailer)+len(":")+base64.StdEncoding.EncodedLen(crc32.Size)+len(lineEnd))
}

func chunkLength(size int64) int64 {
	return int64(len(strconv.FormatInt(size, 16))+2*len(lineEnd)) + size
}

func (f *framed) Read(p []byte) (int, error) {
	if len(f.frame) == 0 && f.chunk == 0 {
		if f.last {
			return 0, io.EOF
		}
		f.next()
	}
	if len(f.frame) > 0 {
		n := copy(p, f.frame)
		f.frame = f.frame[n:]
		return n, nil
	}
	n, err := f.body.Read(p[:min(int64(len(p)), f.chunk)])
	f.chunk -= int64(n)
	f.sum.Write(p[:n])
	if err == io.EOF {
		err = nil // the trailer is still to come
	}
	return n, err
}

// next ends the chunk that was given and begins another.
func (f *framed) next() {
	f.chunk = min(f.left, chunkSize)
	f.left -= f.chunk
	f.last = f.chunk == 0
	f.frame = append(strconv.AppendInt([]byte(lineEnd), f.chunk, 16), lineEnd...)
	if f.last {
		f.frame = append(f.frame, trailer+":"+base64.StdEncoding.EncodeToString(f.sum.Sum(nil))+lineEnd+lineEnd...)
	}
}

// sendFramed makes a request say that its body is framed, of size bytes.
func sendFramed(size int64) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions,
			smithyhttp.SetHeaderValue("Content-Encoding", "aws-chunked"),
			smithyhttp.SetHeaderValue("X-Amz-Decoded-Content-Length", strconv.FormatInt(size, 10)),
			smithyhttp.SetHeaderValue("X-Amz-Trailer", trailer),
			signFramed,
		)
	}
}

// signFramed replaces the hash of the body by what says that there is none.
func signFramed(stack *middleware.Stack) error {
	id := (*v4.ComputePayloadSHA256)(nil).ID()
	_, err := stack.Finalize.Swap(id, middleware.FinalizeMiddlewareFunc(id,
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			return next.HandleFinalize(v4.SetPayloadHash(ctx, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), in)
		}))
	return err
}
