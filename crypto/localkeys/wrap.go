package localkeys

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// A wrapped key is
//
//	0  2   "L1"
//	2  4   version, big-endian, 1 to 2^31-1
//	6  60  AES-256-GCM under that version: nonce 12 ‖ key 32 ‖ tag 16
//
// with the additional data root ‖ version ‖ bind; root and version have fixed
// lengths. Nonces are random (NIST SP 800-38D, section 8.2.2): a version must
// wrap fewer than 2^32 keys, and it wraps one for each epoch and attempt.
const (
	wrapMagic  = "L1"
	wrapHeader = 6
	wrapSize   = wrapHeader + 12 + keytree.KeySize + 16
)

// wrappedVersion reads the version that wrapped claims.
func wrappedVersion(wrapped []byte) (int, error) {
	if len(wrapped) != wrapSize || string(wrapped[:2]) != wrapMagic {
		return 0, keytree.ErrBind
	}
	version := binary.BigEndian.Uint32(wrapped[2:])
	if version < 1 || version > maxVersion {
		return 0, keytree.ErrBind
	}
	return int(version), nil
}

// seal wraps k under the master key of that version.
func seal(master *keytree.Key, root keytree.Root, version int, k keytree.Key, bind []byte) []byte {
	defer k.Clear()
	out := binary.BigEndian.AppendUint32([]byte(wrapMagic), uint32(version))
	return gcm(master).Seal(out, nil, k.Bytes(), additional(root, version, bind))
}

// open unwraps what seal made, or reports ErrBind.
func open(master *keytree.Key, root keytree.Root, version int, wrapped, bind []byte) (keytree.Key, error) {
	secret, err := gcm(master).Open(nil, nil, wrapped[wrapHeader:], additional(root, version, bind))
	if err != nil {
		return keytree.Key{}, keytree.ErrBind
	}
	defer clear(secret)
	return keytree.KeyFrom(secret)
}

func additional(root keytree.Root, version int, bind []byte) []byte {
	return slices.Concat([]byte(root), binary.BigEndian.AppendUint32(nil, uint32(version)), bind)
}

// gcm gives AES-256-GCM that draws its nonces and puts them in front.
func gcm(master *keytree.Key) cipher.AEAD {
	block, err := aes.NewCipher(master.Bytes())
	if err != nil {
		panic("localkeys: " + err.Error()) // a Key has the length of an AES-256 key
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("localkeys: " + err.Error()) // block is crypto/aes's own
	}
	return aead
}
