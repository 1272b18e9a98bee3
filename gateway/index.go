package gateway

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// A blind index is HMAC-SHA-256 under the generation's index key over a label
// and parts, each preceded by its length. It finds equal values and tells
// nothing else, and it dies with its generation's key.
func (s scope) blind(label string, parts ...string) (out catalog.Index) {
	mac := hmac.New(sha256.New, s.index.Bytes())
	for _, part := range append([]string{label}, parts...) {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		mac.Write([]byte(part))
	}
	mac.Sum(out[:0])
	return out
}

func (s scope) bucketIndex(b recording.Bucket) catalog.Index { return s.blind("bucket", string(b)) }

func (s scope) nameIndex(b recording.Bucket, n recording.Name) catalog.Index {
	return s.blind("name", string(b), string(n))
}

// isName reports whether an index is that of a name, by whichever generation.
func (s scope) isName(index catalog.Index, b recording.Bucket, n recording.Name) bool {
	return slices.ContainsFunc(s.generations(), func(by scope) bool { return by.nameIndex(b, n) == index })
}

func (s scope) dirIndex(b recording.Bucket, dir string) catalog.Index {
	return s.blind("directory", string(b), dir)
}

// older is the scope by the generation that rows move from, while they are under two.
func (s scope) older() scope {
	if s.tenant.Stage.Moving() {
		s.index = s.beside
	}
	return s
}

// written is an index as it is written.
func (s scope) written(index func(scope) catalog.Index) catalog.Indexed {
	out := catalog.Indexed{Index: index(s), Stage: s.tenant.Stage}
	if out.Stage.Moving() {
		out.Older = index(s.older())
	}
	return out
}

// generations are the scope by each of the generations that rows may be under, the
// older first, since rows only ever move to the newer.
func (s scope) generations() []scope {
	if s.tenant.Stage.Settled() {
		return []scope{s}
	}
	other := s
	other.index = s.beside
	if s.tenant.Stage.Moving() {
		return []scope{other, s}
	}
	return []scope{s, other}
}

// viewFor is for how long a request goes by the generations that a tenant had when its
// row was read. Rows begin to move no sooner than announceFor after it is announced
// where to: longer than that, and than any query takes.
const (
	viewFor     = 20 * time.Second
	announceFor = stateAge + keytree.LeaseTime
)

// errMoved: rows may have begun to move since the tenant's row was read.
var errMoved = fmt.Errorf("%w: the tenant's indexes have moved on", recording.ErrUnavailable)

// upToDate makes sure of what was read just now by a scope's indexes: errMoved if rows
// may have moved meanwhile.
func (g *Gateway) upToDate(ctx context.Context, s scope) error {
	if time.Since(s.tenant.ReadAt) < g.reindexes.view {
		return nil
	}
	t, err := g.catalog.Tenant(ctx, s.tenant.ID)
	if err == nil && t.Stage != s.tenant.Stage {
		err = errMoved
	}
	return unavailable(err)
}

// seek asks by the indexes of each generation until it finds something: whatever is not
// there is missing, for ask.
func seek[T any](ctx context.Context, g *Gateway, s scope, missing error, ask func(scope) (T, error)) (v T, err error) {
	for _, by := range s.generations() {
		if v, err = ask(by); !errors.Is(err, missing) {
			return v, unavailable(err)
		}
	}
	return v, cmp.Or(g.upToDate(ctx, s), err)
}

// inStage does what writes by indexes, again if the tenant came into another stage, or
// if another server took over: then it has been caught up there.
func (g *Gateway) inStage(ctx context.Context, s scope, do func(scope) error) error {
	err := do(s)
	for range stageTries {
		if !movedOn(err) {
			return err
		}
		g.outdated(s, err)
		fresh, failed := g.reenter(ctx, s.tenant.ID)
		if failed != nil {
			return failed
		}
		err = do(fresh)
		fresh.end()
		s.timeline = fresh.timeline
	}
	return err
}

// movedOn reports whether what was known of a tenant was, and no more.
func movedOn(err error) bool {
	return errors.Is(err, catalog.ErrStage) || errors.Is(err, catalog.ErrTimeline)
}

// stageTries is more often than stages change while something is written.
const stageTries = 3

// erasureIndex finds an erasure by its scope's canonical form.
func (s scope) erasureIndex(of []byte) catalog.Index { return s.blind("erasure", string(of)) }

// erasure is the index of an erasure as it is written: by the next generation from its
// announcement on. A later copy of the catalog may have rows of what is erased under that.
func (s scope) erasure(of []byte) catalog.Indexed {
	all := s.generations()
	out := catalog.Indexed{Index: all[len(all)-1].erasureIndex(of), Stage: s.tenant.Stage}
	if len(all) > 1 {
		out.Older = all[0].erasureIndex(of)
	}
	return out
}

func (s scope) subjectIndex(sub recording.Subject) catalog.Index {
	return s.blind("subject", string(sub))
}

// subject is the index of a data subject as it is written.
func (s scope) subject(sub recording.Subject) catalog.Indexed {
	return s.written(func(by scope) catalog.Index { return by.subjectIndex(sub) })
}

// terms are the blind indexes a recording is found by.
func (s scope) terms(f recording.Facts) []catalog.Index {
	var out []catalog.Index
	for _, sub := range f.Subjects {
		out = append(out, s.subjectIndex(sub))
	}
	if f.Call != "" {
		out = append(out, s.blind("call", f.Call))
	}
	if f.Agent != "" {
		out = append(out, s.blind("agent", f.Agent))
	}
	return out
}

// begunTerms are the terms of what is under way, if it tells of several subjects: the
// erasure of one is told by its slot.
func (s scope) begunTerms(f recording.Facts) []catalog.Index {
	if len(f.Subjects) < 2 {
		return nil
	}
	return s.terms(f)
}

// directory is the part of a name up to and with its last slash.
func directory(name string) string { return name[:strings.LastIndexByte(name, '/')+1] }

// parents gives the directories a name lies in, innermost first, without the
// root, which every bucket has.
func parents(name string) (dirs []string) {
	for d := directory(name); d != ""; d = directory(d[:len(d)-1]) {
		dirs = append(dirs, d)
	}
	return dirs
}
