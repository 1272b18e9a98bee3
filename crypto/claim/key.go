package claim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ErrKey is of a file that holds no key of the kind that is needed.
var ErrKey = errors.New("not a key for certificates: one PEM block is needed, PKCS#8 (PRIVATE KEY) to sign and PKIX (PUBLIC KEY) to verify, of Ed25519 or P-256")

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// NewKey draws an Ed25519 key: a PEM block of PKCS#8.
func NewKey() []byte {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		var der []byte
		if der, err = x509.MarshalPKCS8PrivateKey(key); err == nil {
			return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der})
		}
	}
	panic("claim: " + err.Error()) // crypto/rand never fails, and every Ed25519 key has a PKCS#8 form
}

// PublicKey verifies certificates.
type PublicKey struct {
	key crypto.PublicKey // ed25519.PublicKey or *ecdsa.PublicKey on P-256
	der []byte
}

// ParsePublicKey reads a PEM block of PKIX.
func ParsePublicKey(file []byte) (*PublicKey, error) {
	der, err := onlyBlock(file, publicBlock)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, ErrKey
	}
	return newPublicKey(key)
}

func newPublicKey(key crypto.PublicKey) (*PublicKey, error) {
	if algorithmOf(key) == "" {
		return nil, ErrKey
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return &PublicKey{key, der}, nil
}

// algorithmOf names how a key signs; "" if it cannot be used.
func algorithmOf(key crypto.PublicKey) string {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return "Ed25519"
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return "ECDSA P-256 with SHA-256"
		}
	}
	return ""
}

// Algorithm names how the key signs.
func (k *PublicKey) Algorithm() string { return algorithmOf(k.key) }

// ID is the SHA-256 of the key's PKIX form, in hex.
func (k *PublicKey) ID() string {
	sum := sha256.Sum256(k.der)
	return hex.EncodeToString(sum[:])
}

// PEM gives the key as ParsePublicKey takes it.
func (k *PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: k.der})
}

// holds reports whether sig is of data and this key.
func (k *PublicKey) holds(data, sig []byte) bool {
	switch key := k.key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, data, sig)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(data)
		return ecdsa.VerifyASN1(key, sum[:], sig)
	}
	return false
}

// privateKey signs. It holds its key in a function, so that nothing prints it.
type privateKey struct {
	sign   func(data []byte) ([]byte, error)
	public *PublicKey
}

func parsePrivateKey(file []byte) (k privateKey, err error) {
	der, err := onlyBlock(file, privateBlock)
	if err != nil {
		return k, err
	}
	defer clear(der)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return k, ErrKey
	}
	switch key := parsed.(type) {
	case ed25519.PrivateKey:
		k.sign = func(data []byte) ([]byte, error) { return ed25519.Sign(key, data), nil }
		k.public, err = newPublicKey(key.Public())
	case *ecdsa.PrivateKey:
		k.sign = func(data []byte) ([]byte, error) {
			sum := sha256.Sum256(data)
			return ecdsa.SignASN1(rand.Reader, key, sum[:])
		}
		k.public, err = newPublicKey(key.Public())
	default:
		err = ErrKey
	}
	return k, err
}

// onlyBlock gives what a file's one PEM block holds.
func onlyBlock(file []byte, kind string) ([]byte, error) {
	b, rest := pem.Decode(file)
	if b == nil || b.Type != kind || len(b.Headers) > 0 || strings.TrimSpace(string(rest)) != "" {
		return nil, ErrKey
	}
	return b.Bytes, nil
}
