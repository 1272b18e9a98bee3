package claim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Config is who signs certificates. All of it is required that does not say otherwise.
type Config struct {
	Key       []byte // PEM, PKCS#8, of Ed25519 or P-256
	Program   Program
	Provider  string    // Vault or Local
	Snapshots Retention // of Vault
	Older     []string  // ids of keys that were used before; may be empty
}

// Retention is how long copies that are made of something are kept.
type Retention struct {
	Told bool
	Kept time.Duration // 0: none are made
}

// Signer signs certificates.
type Signer struct {
	key privateKey
	as  Config // without its key
}

// NewSigner reports ErrKey if the key cannot sign.
func NewSigner(c Config) (*Signer, error) {
	key, err := parsePrivateKey(c.Key)
	if err != nil {
		return nil, err
	}
	c.Key = nil
	return &Signer{key, c}, nil
}

// PublicKey verifies what the signer signs.
func (s *Signer) PublicKey() *PublicKey { return s.key.public }

// Follows reports whether the signer's key was told to come after another.
func (s *Signer) Follows(k *PublicKey) bool { return slices.Contains(s.as.Older, k.ID()) }

// Sign gives the certificate of e, a DSSE envelope on one line. It states itself
// what is the same in each: version, method, program, kind of provider, date of
// completion, and residual risks, whatever e has there. Dates are rounded up to
// the second, so that none is too early.
func (s *Signer) Sign(e Erasure) ([]byte, error) {
	e.Version = version
	e.Provider.Kind = s.as.Provider
	for _, t := range []*time.Time{&e.Issued, &e.Dates.Refused, &e.Dates.Effective, &e.Dates.Unlinkable} {
		*t = roundUp(*t)
	}
	e.Dates.Complete, e.Dates.CompleteUnknown = s.complete(e.Dates.Effective)
	if e.endsTenant() {
		e.Dates.Unlinkable = e.Dates.Effective // the keys of its indexes hung from its root
	}
	return s.issue(e)
}

// Reissue gives the certificate of an erasure again, for the date from which it is
// unlinkable, which was not known when the first was issued. Whatever else that says it
// says too, and it names it.
func (s *Signer) Reissue(first *Erasure, issued, unlinkable time.Time) ([]byte, error) {
	e := *first
	e.Replaces, e.Issued, e.Dates.Unlinkable = first.Sum(), roundUp(issued), roundUp(unlinkable)
	return s.issue(e)
}

// issue signs a statement, with what the signer says of itself.
func (s *Signer) issue(e Erasure) ([]byte, error) {
	e.Program = s.as.Program
	e.Method = method(s.key.public.Algorithm())
	e.Risks = risks(&e)
	if err := e.check(); err != nil {
		return nil, err
	}
	body, err := e.encode()
	if err != nil {
		return nil, err
	}
	return s.envelope(PayloadType, body)
}

// Note signs what a program that issues certificates leaves for itself, so that nobody
// else can. It is never taken for a certificate: see PublicKey.Note.
func (s *Signer) Note(body []byte) ([]byte, error) { return s.envelope(noteType, body) }

// envelope signs a body of some type.
func (s *Signer) envelope(kind string, body []byte) ([]byte, error) {
	signer, err := dsse.NewEnvelopeSigner(party{s.key.public, s.key})
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	env, err := signer.SignPayload(context.Background(), kind, body)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	line, err := json.Marshal(env)
	return append(line, '\n'), err
}

// complete is when the last snapshot of the provider from before is gone.
func (s *Signer) complete(effective time.Time) (time.Time, Unknown) {
	switch {
	case s.as.Provider == Local:
		return time.Time{}, CopiesNotTold
	case !s.as.Snapshots.Told:
		return time.Time{}, RetentionNotTold
	}
	return roundUp(effective.Add(s.as.Snapshots.Kept)), ""
}

func roundUp(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	t = t.UTC()
	if down := t.Truncate(time.Second); !down.Equal(t) {
		return down.Add(time.Second)
	}
	return t.Truncate(time.Second) // drops the monotonic reading
}

// Sum is the SHA-256 of the statement, in hex.
func (e *Erasure) Sum() string {
	body, err := e.encode()
	if err != nil {
		panic(err) // texts, numbers and times always have JSON
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// encode gives the statement's bytes: compact JSON, fields in the order of the
// struct, nothing escaped that need not be.
func (e *Erasure) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
