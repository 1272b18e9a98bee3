package keytree_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

func TestFilings(t *testing.T) {
	f := keytree.Filing{
		Identity: recording.Identity{Tenant: recording.NewTenant(), Recording: recording.NewID(), Version: recording.NewVersion()},
		Slots:    keytree.Slots{Recording: 1 << 39, Subject: 7, Day: 90<<16 | 20_000}, At: time.UnixMicro(1_700_000_000_000_001).UTC(),
		Wrapped: [keytree.WrappedSize]byte{1, 2, 3},
	}
	b := f.Marshal()
	if got, err := keytree.ParseFiling(b); err != nil || got != f {
		t.Errorf("ParseFiling = %+v, %v; want %+v", got, err, f)
	}
	for what, wrong := range map[string][]byte{
		"empty": nil, "cut": b[:len(b)-1], "longer": append(bytes.Clone(b), 0), "another magic": append([]byte("LETHEF2\x00"), b[8:]...),
	} {
		if _, err := keytree.ParseFiling(wrong); !errors.Is(err, keytree.ErrFiling) {
			t.Errorf("ParseFiling(%s): %v, want ErrFiling", what, err)
		}
	}
}
