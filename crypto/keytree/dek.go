package keytree

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/lethe-vault/lethe/recording"
)

// Slots are the leaves a stored recording hangs from. Forgetting any one of
// them forgets its data key.
type Slots struct{ Recording, Subject, Day uint64 }

// WrappedSize is the length of a wrapped data key: nonce, key, tag.
const WrappedSize = 12 + KeySize + 16

// WrapDEK wraps a data key under the key-encryption key of its three slots,
// bound to the identity and the slots.
func (k *Keys) WrapDEK(ctx context.Context, id recording.Identity, s Slots, dek Key) (w [WrappedSize]byte, err error) {
	kek, err := k.kek(ctx, id, s)
	if err != nil {
		return w, err
	}
	defer kek.Clear()
	sealed, err := Seal(kek, labelDEK, dekBind(id, s), dek.Bytes())
	if err != nil {
		return w, err
	}
	copy(w[:], sealed)
	return w, nil
}

// UnwrapDEK opens what WrapDEK made. ErrSealed: it was made for another
// identity, other slots or another tenant, or it was changed.
func (k *Keys) UnwrapDEK(ctx context.Context, id recording.Identity, s Slots, wrapped []byte) (Key, error) {
	kek, err := k.kek(ctx, id, s)
	if err != nil {
		return Key{}, err
	}
	defer kek.Clear()
	dek, err := Open(kek, labelDEK, dekBind(id, s), wrapped)
	if err != nil {
		return Key{}, fmt.Errorf("data key of version %v: %w", id.Version, err)
	}
	defer clear(dek)
	return KeyFrom(dek)
}

// kek combines the keys of all three slots: with any one gone it cannot be had.
// It is HKDF-SHA-256 without salt (RFC 5869) over their concatenation.
func (k *Keys) kek(ctx context.Context, id recording.Identity, s Slots) (out Key, err error) {
	var secret [3 * KeySize]byte
	defer clear(secret[:])
	for i, leaf := range []struct {
		tree Tree
		slot uint64
	}{{Recordings, s.Recording}, {Subjects, s.Subject}, {Days, s.Day}} {
		key, err := k.Slot(ctx, leaf.tree, leaf.slot)
		if err != nil {
			return out, err
		}
		copy(secret[i*KeySize:], key.Bytes())
		key.Clear()
	}
	b, err := hkdf.Key(sha256.New, secret[:], nil, labelKEK+string(id.Append(nil)), KeySize)
	if err != nil {
		return out, fmt.Errorf("keytree: derive key-encryption key: %w", err)
	}
	defer clear(b)
	return KeyFrom(b)
}

func dekBind(id recording.Identity, s Slots) []byte {
	b := id.Append(nil)
	b = binary.BigEndian.AppendUint64(b, s.Recording)
	b = binary.BigEndian.AppendUint64(b, s.Subject)
	return binary.BigEndian.AppendUint64(b, s.Day)
}
