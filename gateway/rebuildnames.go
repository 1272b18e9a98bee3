package gateway

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// namesake is one of the versions that have or had a name, as far as it decides
// which the name stands for.
type namesake struct {
	recording.Identity
	created time.Time // when it was begun
	ended   time.Time // when its source had ended, or it was committed
	parts   bool      // it came in parts
	onlyNew bool      // it was to be refused if anything stood under the name
	opens   bool

	state     catalog.VersionState // Committed or Replaced, as it is and as it is to be
	current   bool
	contested bool // another may be what was acknowledged
}

// settleName decides what a name stands for, by the order in which versions ended
// and by what the bucket does about a name that is taken: as commits decided it when
// they were made. Of two that exclude each other, one was never acknowledged. If the
// later was begun after the earlier had ended, its writer found the name free: it is
// what the name stands for. Else the earlier is. The other is kept beside it.
func settleName(mode Overwrite, all []*namesake) {
	slices.SortFunc(all, func(a, b *namesake) int {
		return cmp.Or(a.ended.Compare(b.ended), bytes.Compare(a.Version[:], b.Version[:]))
	})
	var now *namesake
	for _, v := range all {
		v.current = false
		switch {
		case v.state == catalog.Replaced || !v.opens:
		case now == nil:
			now = v
		case mode == OverwriteNever || v.onlyNew:
			if v.created.After(now.ended) {
				now, v = v, now
			}
			v.contested = true
		default:
			if mode == OverwriteReplace && (v.Recording == now.Recording || v.parts) {
				now.state = catalog.Replaced
			}
			now = v
		}
	}
	if now != nil {
		now.current = true
	}
}
