package keytree

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// ErrFiling: bytes are not a filing.
var ErrFiling = errors.New("keytree: not a filing")

// Filing is the data key of a stored version, wrapped under other slots than the
// version was stored under, and the version's facts since. It is a blob of its own;
// docs/keys.md, "Filed anew".
type Filing struct {
	Identity recording.Identity
	Slots    Slots
	At       time.Time         // when it was intended; the latest of a version that opens is the one that counts
	Wrapped  [WrappedSize]byte // of WrapDEK, which binds it to Identity and Slots
	Facts    []byte            // sealed; empty in blobs of earlier releases: those of the version's own blob
}

const (
	filingMagic = "LETHEF1\x00"
	filingSize  = 8 + 48 + 24 + 8 + WrappedSize // and the facts
)

// FilingPrefix is what the keys of a version's filings begin with.
func FilingPrefix(t recording.Tenant, v recording.Version) string {
	return fmt.Sprintf("refiled/%v/%v/", t, v)
}

// FilingKey is the blob key of a filing under a recording slot, which no other has.
func FilingKey(t recording.Tenant, v recording.Version, slot uint64) string {
	return fmt.Sprintf("%s%010x", FilingPrefix(t, v), slot)
}

// ParseFilingKey undoes FilingKey.
func ParseFilingKey(t recording.Tenant, key string) (v recording.Version, slot uint64, ok bool) {
	version, number, _ := strings.Cut(strings.TrimPrefix(key, fmt.Sprintf("refiled/%v/", t)), "/")
	b, err := hex.DecodeString(version)
	if err != nil || len(b) != len(v) {
		return v, 0, false
	}
	v = recording.Version(b)
	slot, err = strconv.ParseUint(number, 16, slotBits)
	return v, slot, err == nil && FilingKey(t, v, slot) == key
}

// Marshal gives the bytes of the blob.
func (f Filing) Marshal() []byte {
	b := f.Identity.Append(append(make([]byte, 0, filingSize+len(f.Facts)), filingMagic...))
	for _, n := range []uint64{f.Slots.Recording, f.Slots.Subject, f.Slots.Day, uint64(f.At.UnixMicro())} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return append(append(b, f.Wrapped[:]...), f.Facts...)
}

// ParseFiling reads what Marshal wrote, and only that. ErrFiling.
func ParseFiling(b []byte) (f Filing, err error) {
	if len(b) < filingSize || string(b[:8]) != filingMagic {
		return f, ErrFiling
	}
	f.Identity = recording.Identity{
		Tenant: recording.Tenant(b[8:24]), Recording: recording.ID(b[24:40]), Version: recording.Version(b[40:56]),
	}
	number := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	f.Slots = Slots{Recording: number(56), Subject: number(64), Day: number(72)}
	f.At = time.UnixMicro(int64(number(80))).UTC()
	f.Wrapped, f.Facts = [WrappedSize]byte(b[88:filingSize]), b[filingSize:]
	return f, nil
}
