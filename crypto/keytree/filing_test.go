package keytree_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

func TestFilings(t *testing.T) {
	f := keytree.Filing{
		Identity: recording.Identity{Tenant: recording.NewTenant(), Recording: recording.NewID(), Version: recording.NewVersion()},
		Slots:    keytree.Slots{Recording: 1 << 39, Subject: 7, Day: 90<<16 | 20_000}, At: time.UnixMicro(1_700_000_000_000_001).UTC(),
		Wrapped: [keytree.WrappedSize]byte{1, 2, 3}, Facts: []byte{},
	}
	b := f.Marshal()
	for _, facts := range [][]byte{{}, []byte("sealed")} {
		f.Facts = facts
		if got, err := keytree.ParseFiling(f.Marshal()); err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("ParseFiling = %+v, %v; want %+v", got, err, f)
		}
	}
	for what, wrong := range map[string][]byte{
		"empty": nil, "cut": b[:len(b)-1], "another magic": append([]byte("LETHEF2\x00"), b[8:]...),
	} {
		if _, err := keytree.ParseFiling(wrong); !errors.Is(err, keytree.ErrFiling) {
			t.Errorf("ParseFiling(%s): %v, want ErrFiling", what, err)
		}
	}
}
