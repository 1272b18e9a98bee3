package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// nonceSize and tagSize are AES-GCM's, in bytes; NIST SP 800-38D, 8.2.2 and 5.2.1.2.
const (
	nonceSize = 12
	tagSize   = 16
)

// expand is HKDF-Expand of RFC 5869, 2.3. The keys given to it are uniform, so
// the extract step is left out, as RFC 5869, 3.3 allows.
func expand[H hash.Hash](h func() H, key []byte, info string, n int) []byte {
	out, err := hkdf.Expand(h, key, info, n)
	if err != nil {
		// It refuses only n above 255 hashes, and a key or hash that is not
		// approved: all of them are constants of this package.
		panic("envelope: HKDF refused a constant: " + err.Error())
	}
	return out
}

// newAEAD is AES-256-GCM which draws the nonce of every message and puts it
// first: nonce(12) ‖ ciphertext ‖ tag(16).
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("envelope: key is not 32 bytes") // every key is cut by expand
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("envelope: AES is not AES") // it refuses other ciphers only
	}
	return aead
}

// streamKey gives the FLOE key of a part: one per part, so that parts of one
// upload can be sealed at once and tried again without sharing any key.
func streamKey(dek *keytree.Key, part uint32) []byte {
	info := binary.BigEndian.AppendUint32([]byte(labelStream), part)
	return expand(sha256.New, dek.Bytes(), string(info), keytree.KeySize)
}

// sealSmall encrypts b under the key that label names, bound to label and id.
func sealSmall(dek *keytree.Key, label string, id recording.Identity, b []byte) []byte {
	key := expand(sha256.New, dek.Bytes(), label, keytree.KeySize)
	return newAEAD(key).Seal(nil, nil, b, id.Append([]byte(label)))
}

// openSmall undoes sealSmall, or reports ErrAuth.
func openSmall(dek *keytree.Key, label string, id recording.Identity, sealed []byte) ([]byte, error) {
	key := expand(sha256.New, dek.Bytes(), label, keytree.KeySize)
	b, err := newAEAD(key).Open(nil, nil, sealed, id.Append([]byte(label)))
	if err != nil {
		return nil, ErrAuth
	}
	return b, nil
}
