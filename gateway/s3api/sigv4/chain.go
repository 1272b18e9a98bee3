package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Chain verifies a body that is signed as it is sent. Each signature covers the
// one before it, and the first the request's own, so that no chunk can be left
// out, repeated, moved or taken from another request.
//
// Source: Amazon S3 API Reference, "Signature calculations for the
// Authorization header: Transferring payload in multiple chunks".
type Chain struct {
	key    []byte
	at     string
	scope  string
	before string // the last signature that was found true
}

// The algorithms that stand in the strings to sign.
const (
	chunkAlgorithm   = algorithm + "-PAYLOAD"
	trailerAlgorithm = algorithm + "-TRAILER"
)

// Chain gives what verifies the body of a request that Verify found true.
func (q Request) Chain(secret string) *Chain {
	return &Chain{
		key: signingKey(secret, q.Scope), at: q.At.Format(dateTime),
		scope: q.Scope.String(), before: q.Signature,
	}
}

// Chunk reports ErrSignature unless signature is that of the next chunk, whose
// bytes have the SHA-256 sum.
func (c *Chain) Chunk(signature string, sum []byte) error {
	nothing := sha256.Sum256(nil)
	return c.follow(signature, chunkAlgorithm, hex.EncodeToString(nothing[:]), hex.EncodeToString(sum))
}

// Trailer reports ErrSignature unless signature is that of the trailer after
// the last chunk. sum is the SHA-256 of its lines, each "name:value\n".
func (c *Chain) Trailer(signature string, sum []byte) error {
	return c.follow(signature, trailerAlgorithm, hex.EncodeToString(sum))
}

func (c *Chain) follow(signature, algorithm string, hashes ...string) error {
	toSign := append([]string{algorithm, c.at, c.scope, c.before}, hashes...)
	want := hex.EncodeToString(mac(c.key, strings.Join(toSign, "\n")))
	if !hmac.Equal([]byte(signature), []byte(want)) {
		return ErrSignature
	}
	c.before = want
	return nil
}
