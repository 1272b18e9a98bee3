package claim

import (
	"context"
	"encoding/json"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// SignAny signs any body, as another program with the key could.
func SignAny(s *Signer, kind string, body []byte) ([]byte, error) {
	signer, err := dsse.NewEnvelopeSigner(party{s.key.public, s.key})
	if err != nil {
		return nil, err
	}
	env, err := signer.SignPayload(context.Background(), kind, body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(env)
}

// ParseErasure is parseErasure.
func ParseErasure(b []byte) (*Erasure, error) { return parseErasure(b) }

// Encode is encode.
func Encode(e *Erasure) ([]byte, error) { return e.encode() }
