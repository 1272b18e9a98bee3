package decryptor

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Head kinds; docs/keys.md, Heads.
const (
	KindSeed      = 0
	KindErased    = 1
	KindPunctured = 2
)

// Head is a tenant's head as the store keeps it.
type Head struct {
	Kind    byte
	Tenant  [16]byte
	Epoch   uint64
	Version uint64 // of the provider's key
	Wrapped []byte // the root secret, as the provider wrapped it; none if erased

	// Of a punctured one.
	Pack    [16]byte // id
	PackSum [32]byte
	Top     []byte // sealed
}

// ParseHead reads the blob of a head.
func ParseHead(b []byte) (Head, error) {
	malformed := fmt.Errorf("head: %w", ErrFormat)
	if len(b) < 52 || string(b[:8]) != "LETHEH1\x00" || b[8] > KindPunctured || !zero(b[9:16]) {
		return Head{}, malformed
	}
	h := Head{
		Kind:    b[8],
		Tenant:  [16]byte(b[16:32]),
		Epoch:   binary.BigEndian.Uint64(b[32:40]),
		Version: binary.BigEndian.Uint64(b[40:48]),
	}
	length, rest := uint64(binary.BigEndian.Uint32(b[48:52])), b[52:]
	erased := h.Kind == KindErased
	if length > uint64(len(rest)) || erased != (length == 0) || erased != (h.Version == 0) {
		return Head{}, malformed
	}
	h.Wrapped, rest = rest[:length], rest[length:]
	const packAndSum = 16 + 32
	switch {
	case h.Kind != KindPunctured && len(rest) == 0:
		return h, nil
	case h.Kind == KindPunctured && len(rest) > packAndSum:
		h.Pack, h.PackSum, h.Top = [16]byte(rest), [32]byte(rest[16:]), rest[packAndSum:]
		return h, nil
	}
	return Head{}, malformed
}

// Bind is what the provider must be told beside the wrapped root: Vault's
// associated_data, before base64.
func Bind(h Head) []byte {
	b := join("lethe/v1/root", []byte{h.Kind}, h.Tenant[:], binary.BigEndian.AppendUint64(nil, h.Epoch),
		binary.BigEndian.AppendUint64(nil, h.Version))
	if h.Kind != KindPunctured {
		return b
	}
	top := sha256.Sum256(h.Top)
	return append(b, join("", h.Pack[:], h.PackSum[:], top[:])...)
}

// Tops gives the holders of the four trees' top nodes, tree 1 first, from the
// root secret that was wrapped in the head.
func (h Head) Tops(root [32]byte) (tops [4]Holder, err error) {
	switch h.Kind {
	case KindSeed:
		for i := range tops {
			tops[i] = Holder{Kind: Implicit, Key: expand(root, join("lethe/v1/tree", h.Tenant[:], []byte{byte(i + 1)}))}
		}
		return tops, nil
	case KindPunctured:
		aad := join("lethe/v1/top", h.Tenant[:], binary.BigEndian.AppendUint64(nil, h.Epoch))
		plain, err := unseal(root, aad, h.Top)
		if err == nil {
			err = parseHolders(tops[:], plain)
		}
		if err != nil {
			return [4]Holder{}, fmt.Errorf("top page: %w", err)
		}
		return tops, nil
	}
	return tops, fmt.Errorf("an erased head has no trees: %w", ErrFormat)
}
