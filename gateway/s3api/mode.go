package s3api

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

// mode is a way to send a body, as x-amz-content-sha256 names it.
type mode struct {
	name    string
	signed  bool // the body is under the signature: its hash is, or each of its chunks
	chunked bool // the body is framed as aws-chunked
	trailer bool // a checksum follows the body
}

// hashed is the mode whose name is the hash itself.
var hashed = mode{signed: true}

// modes are all others. Source: Amazon S3 API Reference, "Common Request
// Headers", x-amz-content-sha256.
var modes = []mode{
	{name: sigv4.UnsignedPayload},
	{name: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", signed: true, chunked: true},
	{name: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", signed: true, chunked: true, trailer: true},
	{name: "STREAMING-UNSIGNED-PAYLOAD-TRAILER", chunked: true, trailer: true},
}

// parseMode reads x-amz-content-sha256; payload is the hash, if it is one.
func parseMode(s string) (m mode, payload []byte, err error) {
	for _, m := range modes {
		if m.name == s {
			return m, nil, nil
		}
	}
	payload, err = hex.DecodeString(s)
	if err != nil || len(payload) != sha256.Size {
		return mode{}, nil, errPayloadMode
	}
	return hashed, payload, nil
}

// class says how strongly a body sent this way proves its author. What the
// signature covers is class B. A checksum is class C over TLS only: whoever can
// change the body on its way can change the checksum too.
func (m mode) class(overTLS, checked bool) recording.Class {
	switch {
	case m.signed:
		return recording.ClassB
	case overTLS && checked:
		return recording.ClassC
	}
	return recording.ClassD
}
