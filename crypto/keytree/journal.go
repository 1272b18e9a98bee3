package keytree

import (
	"encoding/binary"
	"fmt"

	"github.com/lethe-vault/lethe/recording"
)

// JournalKey is the blob key of an entry of a tenant's journal; docs/keys.md, "What else
// the system tree seals".
func JournalKey(t recording.Tenant, sequence int64) string {
	return fmt.Sprintf("journal/%v/%016x", t, sequence)
}

// JournalBind is what an entry is bound to by its seal.
func JournalBind(t recording.Tenant, sequence int64) []byte {
	return binary.BigEndian.AppendUint64(t[:], uint64(sequence))
}
