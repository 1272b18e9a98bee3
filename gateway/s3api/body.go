package s3api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

// body is the only reader of a request's body, whatever the mode it is sent in.
// It gives exactly the declared number of bytes, and hands over the last of
// them only once every declared digest and signature has been found true:
// whoever was given the whole body was given the right one, whether or not they
// read on to io.EOF.
type body struct {
	mode    mode
	source  io.Reader    // r.Body, or chunks
	chunks  *chunkReader // nil if the body is not chunked
	size    int64        // bytes it gives
	left    int64
	sum     hash.Hash // SHA-256 of all bytes
	payload []byte    // the SHA-256 that was signed; nil if none was
	checks  []check   // what else was declared; the trailer's comes last
	trailer string    // lower-case name of the checksum that follows; "" if none does
	end     error     // what Read reports from now on; nil while there is more
}

// newBody readies the body of a request signed with the given
// x-amz-content-sha256. chain verifies its chunks where they are signed. It
// reads nothing.
func newBody(use bodyUse, r *http.Request, payloadHash string, chain *sigv4.Chain) (*body, error) {
	b := &body{source: r.Body, sum: sha256.New()}
	var err error
	if b.mode, b.payload, err = parseMode(payloadHash); err != nil {
		return nil, err
	}
	if b.size, err = b.mode.length(r); err != nil {
		return nil, err
	}
	if b.trailer, err = b.mode.declaredTrailer(r.Header); err != nil {
		return nil, err
	}
	declared := r.Header
	if use == takesList {
		declared = withoutChecksums(declared)
	}
	if b.checks, err = declaredChecks(declared, b.trailer); err != nil {
		return nil, err
	}
	b.left = b.size
	if !b.mode.signed {
		chain = nil
	}
	if b.mode.chunked {
		b.chunks = newChunkReader(r.Body, b.size, chain)
		b.source = b.chunks
	}
	return b, nil
}

// length gives the number of bytes in a body, which has to be declared and
// within bounds. A chunked body may come in HTTP's own chunks as well, as the
// AWS SDK for JavaScript sends streams; any other has a Content-Length.
func (m mode) length(r *http.Request) (int64, error) {
	decoded := r.Header.Values(decodedLength)
	if !m.chunked {
		undeclared := r.Method == http.MethodPut && r.Header.Get("Content-Length") == ""
		switch {
		case len(decoded) > 0, isChunked(r.Header):
			return 0, errBodyMode
		case r.ContentLength < 0 || undeclared:
			return 0, errNoLength
		case r.ContentLength > recording.MaxSize:
			return 0, recording.ErrTooLarge
		}
		return r.ContentLength, nil
	}
	if len(decoded) != 1 {
		return 0, errNoLength
	}
	n, ok := position(decoded[0])
	switch {
	case !ok:
		return 0, errDecodedLength
	case n > recording.MaxSize:
		return 0, recording.ErrTooLarge
	}
	return n, nil
}

const (
	decodedLength = "X-Amz-Decoded-Content-Length"
	awsChunked    = "aws-chunked" // the content coding of a chunked body
)

// isChunked reports whether Content-Encoding names aws-chunked. A chunked body
// is known by its mode, and S3's clients do not all say it here too.
func isChunked(h http.Header) bool {
	return slices.Contains(codings(h), awsChunked)
}

// codings lists the content codings of a request in lower case.
func codings(h http.Header) []string {
	var out []string
	for coding := range strings.SplitSeq(strings.Join(h.Values("Content-Encoding"), ","), ",") {
		if coding = strings.ToLower(strings.TrimSpace(coding)); coding != "" {
			out = append(out, coding)
		}
	}
	return out
}

// Read reports recording.ErrShortBody if the body stops early, errTooSlow if it
// comes too slowly, and what it is not in place of the last bytes of a body
// that is not what was declared. After an error it reports the same again.
func (b *body) Read(p []byte) (int, error) {
	if b.end != nil {
		return 0, b.end
	}
	n, err := b.source.Read(p[:min(int64(len(p)), b.left)])
	b.sum.Write(p[:n])
	for _, c := range b.checks {
		c.sum.Write(p[:n])
	}
	b.left -= int64(n)
	switch {
	case err != nil && b.chunks != nil:
		b.end = err
	case b.left > 0 && err != nil:
		b.end = broken(err)
	case b.left == 0:
		b.end = b.verify()
	}
	if b.end != nil && b.end != io.EOF {
		return 0, b.end
	}
	return n, b.end
}

// verify reports io.EOF if the body was what was declared.
func (b *body) verify() error {
	if err := b.verifyTrailer(); err != nil {
		return err
	}
	if b.payload != nil && !bytes.Equal(b.sum.Sum(nil), b.payload) {
		return errPayloadHash
	}
	for _, c := range b.checks {
		if !c.holds() {
			return fmt.Errorf("%s: %w", c.digest, recording.ErrBadDigest)
		}
	}
	return io.EOF
}

// verifyTrailer reads the end of a chunked body, and the checksum there.
func (b *body) verifyTrailer() error {
	if b.chunks == nil {
		return nil
	}
	value, err := b.chunks.finish(b.trailer)
	if err != nil || b.trailer == "" {
		return err
	}
	last := &b.checks[len(b.checks)-1]
	want, ok := decodeDigest([]string{value}, last.sum.Size())
	if !ok {
		return errTrailer
	}
	last.want = want
	return nil
}

// none reports errPayloadHash, or whatever is wrong, unless the body is empty
// and declared to be. It is for operations that take no body.
func (b *body) none() error {
	if _, err := b.Read(nil); err != io.EOF {
		return err
	}
	return nil
}

// class says how strongly the body proves its author.
func (b *body) class(overTLS bool) recording.Class {
	return b.mode.class(overTLS, len(b.checks) > 0)
}

// Digests gives the digests of the bytes read so far: "sha256", and whichever
// others the client declared.
func (b *body) Digests() recording.Digests {
	out := b.declared()
	out["sha256"] = hex.EncodeToString(b.sum.Sum(nil))
	return out
}

// declared gives only the digests that the client declared in a header or in
// the trailer.
func (b *body) declared() recording.Digests {
	out := make(recording.Digests, len(b.checks)+1)
	for _, c := range b.checks {
		out[c.digest] = hex.EncodeToString(c.sum.Sum(nil))
	}
	return out
}

// declaredChecksum names the x-amz-checksum-* that the body comes with, "" if
// it has none.
func (b *body) declaredChecksum() string {
	for _, c := range b.checks {
		if c.digest != "md5" {
			return c.digest
		}
	}
	return ""
}

// cause gives the body's own failure, if it has failed, and else err. A sender
// that hangs up also cancels the request, so what the gateway reports may be
// either; the body knows which came first.
func (b *body) cause(err error) error {
	if b.end != nil && b.end != io.EOF {
		return b.end
	}
	return err
}

// declaredSHA256 gives the signed hash in lower-case hex; "" if none was signed.
func (b *body) declaredSHA256() string { return hex.EncodeToString(b.payload) }
