package decryptor

import (
	"encoding/binary"
	"fmt"
)

// Filing is where a version came to hang from other slots; docs/keys.md, Filed anew.
type Filing struct {
	Wrap
	Intended uint64 // when, in microseconds since 1970 UTC
	Facts    []byte // sealed; none if those of the version's blobs hold
}

// ParseFiling reads the blob of a filing.
func ParseFiling(b []byte) (Filing, error) {
	if len(b) < 8+48+24+8+60 || string(b[:8]) != "LETHEF1\x00" {
		return Filing{}, fmt.Errorf("filing: %w", ErrFormat)
	}
	f := Filing{
		Wrap:     wrapped(b[8:56], b[56:80], b[88:148]),
		Intended: binary.BigEndian.Uint64(b[80:]),
		Facts:    b[148:],
	}
	for _, s := range f.Slots {
		if !s.exists() {
			return Filing{}, fmt.Errorf("filing: %w", ErrFormat)
		}
	}
	return f, nil
}

// Key is where the blob of a filing stands.
func (f Filing) Key() string {
	return fmt.Sprintf("refiled/%s/%x/%010x", inKeys([16]byte(f.Identity[:16])), f.Identity[32:], f.Slots[0].Number)
}
