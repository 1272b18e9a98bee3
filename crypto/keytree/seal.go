package keytree

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
)

// ErrSealed: sealed bytes were changed, or belong elsewhere. It says no more.
var ErrSealed = errors.New("keytree: sealed bytes do not open")

// Seal encrypts a small thing under a key: AES-256-GCM with a random nonce
// (NIST SP 800-38D, section 8.2.2), giving nonce(12) ‖ ciphertext ‖ tag(16).
// Its associated data is label ‖ bind.
func Seal(k Key, label string, bind, plaintext []byte) ([]byte, error) {
	aead, err := newAEAD(&k)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plaintext, associated(label, bind)), nil
}

// Open gives back what Seal was given, or ErrSealed.
func Open(k Key, label string, bind, sealed []byte) ([]byte, error) {
	aead, err := newAEAD(&k)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, sealed, associated(label, bind))
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

func associated(label string, bind []byte) []byte { return append([]byte(label), bind...) }

func newAEAD(k *Key) (cipher.AEAD, error) {
	if k.IsZero() {
		return nil, errors.New("keytree: the zero key seals nothing")
	}
	block, err := aes.NewCipher(k.Bytes())
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
