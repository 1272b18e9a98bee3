package decryptor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Kinds of slot in the system tree; docs/keys.md, Slots.
const (
	Settings    = 1
	Credentials = 2
	Indexes     = 3
	AuditMonth  = 4
)

// SystemSlot is a slot of the system tree.
func SystemSlot(kind, number uint64) Slot { return Slot{System, kind<<32 | number} }

// Unseal opens what is sealed under the key of a slot and gives its JSON. bind is
// what follows the label; docs/keys.md, What else the system tree seals.
func (t Tree) Unseal(s Slot, label string, bind, sealed []byte) ([]byte, error) {
	key, err := t.Key(s)
	if err != nil {
		return nil, err
	}
	return unseal(key, join(label, bind), sealed)
}

// Journal opens the journal entry that stands at sequence.
func (t Tree) Journal(sequence uint64, sealed []byte) ([]byte, error) {
	bind := binary.BigEndian.AppendUint64(t.tenant[:], sequence)
	return t.Unseal(SystemSlot(Settings, 0), "lethe/v1/journal", bind, sealed)
}

// Index is a blind index under the key of a generation.
func Index(key [32]byte, label string, parts ...string) [32]byte {
	mac := hmac.New(sha256.New, key[:])
	for _, part := range append([]string{label}, parts...) {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		mac.Write([]byte(part))
	}
	return [32]byte(mac.Sum(nil))
}
