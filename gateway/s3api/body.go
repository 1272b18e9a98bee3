package s3api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/lethe-vault/lethe/recording"
)

// body is the only reader of a request's body. It gives exactly the declared
// number of bytes, and hands over the last of them only once every declared
// digest has been found true: whoever was given the whole body was given the
// right one, whether or not they read on to io.EOF.
type body struct {
	source io.Reader
	size   int64
	left   int64
	checks []check // checks[0] is the SHA-256 that was signed
	end    error   // what Read reports from now on; nil while there is more
}

// newBody readies the body of a request signed with the given
// x-amz-content-sha256. It reads nothing.
func newBody(r *http.Request, payloadHash string) (*body, error) {
	want, err := signedHash(payloadHash)
	if err != nil {
		return nil, err
	}
	if err := checkLength(r); err != nil {
		return nil, err
	}
	declared, err := declaredChecks(r.Header)
	if err != nil {
		return nil, err
	}
	payload := check{digest: "sha256", sum: sha256.New(), want: want, fault: errPayloadHash}
	return &body{
		source: r.Body,
		size:   r.ContentLength,
		left:   r.ContentLength,
		checks: append([]check{payload}, declared...),
	}, nil
}

// unsupportedModes are S3's ways to send a body whose hash is not signed up front.
var unsupportedModes = []string{
	"UNSIGNED-PAYLOAD",
	"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
	"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
	"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
}

// signedHash decodes an x-amz-content-sha256 that is a hash.
func signedHash(s string) ([]byte, error) {
	if slices.Contains(unsupportedModes, s) {
		return nil, errBodyMode
	}
	sum, err := hex.DecodeString(s)
	if err != nil || len(sum) != sha256.Size {
		return nil, errPayloadMode
	}
	return sum, nil
}

// checkLength demands that the length of a body is known and within bounds.
func checkLength(r *http.Request) error {
	undeclared := r.Method == http.MethodPut && r.Header.Get("Content-Length") == ""
	if r.ContentLength < 0 || undeclared {
		return errNoLength
	}
	if r.ContentLength > recording.MaxSize {
		return recording.ErrTooLarge
	}
	return nil
}

// Read reports recording.ErrShortBody if the body stops early, and an error
// that wraps recording.ErrBadDigest in place of the last bytes of a body that
// is not what was declared. After an error it reports the same again.
func (b *body) Read(p []byte) (int, error) {
	if b.end != nil {
		return 0, b.end
	}
	n, err := b.source.Read(p[:min(int64(len(p)), b.left)])
	for _, c := range b.checks {
		c.sum.Write(p[:n])
	}
	b.left -= int64(n)
	if b.left > 0 {
		if err != nil {
			b.end = recording.ErrShortBody
		}
		return n, b.end
	}
	if b.end = b.verify(); b.end != nil {
		return 0, b.end
	}
	b.end = io.EOF
	return n, b.end
}

func (b *body) verify() error {
	for _, c := range b.checks {
		if !c.holds() {
			return fmt.Errorf("%s: %w", c.digest, c.fault)
		}
	}
	return nil
}

// Digests gives the digests of the bytes read so far: "sha256", and whichever
// others the client declared.
func (b *body) Digests() recording.Digests {
	out := make(recording.Digests, len(b.checks))
	for _, c := range b.checks {
		out[c.digest] = hex.EncodeToString(c.sum.Sum(nil))
	}
	return out
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

// declaredSHA256 gives the signed hash in lower-case hex.
func (b *body) declaredSHA256() string { return hex.EncodeToString(b.checks[0].want) }
