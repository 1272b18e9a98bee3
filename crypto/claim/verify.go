package claim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// maxCertificate is the longest certificate that is read, in bytes.
const maxCertificate = 1 << 20

// Verify gives the statement of a certificate that was signed with k. It takes
// one form of each certificate only: an envelope with one signature and nothing
// unknown, and the very bytes of a statement that Sign would have written. So no
// two readers can understand one differently.
func (k *PublicKey) Verify(certificate []byte) (*Erasure, error) {
	body, err := k.open(PayloadType, certificate)
	if err != nil {
		return nil, err
	}
	return parseErasure(body)
}

// Note gives what Signer.Note has signed with k.
func (k *PublicKey) Note(signed []byte) ([]byte, error) { return k.open(noteType, signed) }

// open gives what an envelope holds, of some type and signed with k.
func (k *PublicKey) open(kind string, signed []byte) ([]byte, error) {
	env, err := parseEnvelope(kind, signed)
	if err != nil {
		return nil, err
	}
	if id := env.Signatures[0].KeyID; id != k.ID() {
		if isHex(id, sha256.Size) { // else it may be anything
			return nil, fmt.Errorf("%w, of id %s", ErrOtherKey, id)
		}
		return nil, ErrOtherKey
	}
	verifier, err := dsse.NewEnvelopeVerifier(party{public: k})
	if err != nil {
		return nil, err
	}
	if _, err := verifier.Verify(context.Background(), env); err != nil {
		return nil, ErrSignature
	}
	body, err := base64.StdEncoding.DecodeString(env.Payload)
	if err != nil {
		return nil, ErrEnvelope
	}
	return body, nil
}

// parseEnvelope reads an envelope that has one form only, but for white space.
func parseEnvelope(kind string, b []byte) (*dsse.Envelope, error) {
	var env dsse.Envelope
	var given bytes.Buffer
	if len(b) > maxCertificate || json.Unmarshal(b, &env) != nil || json.Compact(&given, b) != nil {
		return nil, ErrEnvelope
	}
	again, err := json.Marshal(env)
	if err != nil || !bytes.Equal(given.Bytes(), again) { // a member unknown, twice or in another case
		return nil, ErrEnvelope
	}
	if env.PayloadType != kind {
		return nil, ErrPayloadType
	}
	if len(env.Signatures) != 1 {
		return nil, ErrSignatures
	}
	if !isBase64(env.Payload) || !isBase64(env.Signatures[0].Sig) {
		return nil, ErrEnvelope
	}
	return &env, nil
}

// isBase64 holds of the one standard form of some bytes.
func isBase64(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && base64.StdEncoding.EncodeToString(b) == s
}

// parseErasure reads what encode wrote, and only that.
func parseErasure(body []byte) (*Erasure, error) {
	var e Erasure
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, ErrStatement
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	again, err := e.encode()
	if err != nil || !bytes.Equal(body, again) {
		return nil, ErrStatement
	}
	return &e, nil
}

// party is a key as DSSE sees it.
type party struct {
	public  *PublicKey
	private privateKey // none to verify
}

func (p party) Sign(_ context.Context, data []byte) ([]byte, error) { return p.private.sign(data) }

func (p party) Verify(_ context.Context, data, sig []byte) error {
	if !p.public.holds(data, sig) {
		return ErrSignature
	}
	return nil
}

func (p party) KeyID() (string, error) { return p.public.ID(), nil }

func (p party) Public() crypto.PublicKey { return p.public.key }
