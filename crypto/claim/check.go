package claim

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-vault/lethe/recording"
)

// check says what is missing or wrong in e, as ErrStatement.
func (e *Erasure) check() error {
	_, badTenant := recording.ParseTenant(e.Tenant)
	err := need(
		field{"version", e.Version == version},
		field{"id", isHex(e.ID, 16)},
		field{"tenant", badTenant == nil},
		field{"issued", isDate(e.Issued)},
		field{"replaces_sha256", e.Replaces == "" || isHex(e.Replaces, 32) && !e.Dates.Unlinkable.IsZero()},
		field{"scope.kind", slices.Contains(kinds, e.Scope.Kind)},
		field{"scope.commitment", isHex(e.Scope.Commitment, 32)},
		field{"request.requester", isText(e.Request.Requester)},
		field{"request.reason", CheckReason(e.Request.Reason) == nil},
		field{"method.name", e.Method.Name == methodName && e.Method.Source == methodSource},
		field{"method.algorithms", all(e.Method.Algorithms, Algorithm.whole)},
		field{"program", isText(e.Program.Name) && isText(e.Program.Version) && (e.Program.Build == "" || isText(e.Program.Build))},
		field{"provider.kind", e.Provider.Kind == Vault || e.Provider.Kind == Local},
		field{"provider.key", isText(e.Provider.Key)},
		field{"verification", all(e.Verification, Check.whole) && (!e.endsTenant() || e.verified(KeyAbsent))},
		field{"counts", e.Counts.Unreadable >= 0 && e.Counts.Refiled >= 0},
		field{"epochs", len(e.Epochs) > 0 && (e.Scope.Kind != OfTenant || e.endsTenant())},
		field{"residual_risks", all(e.Risks, isText)},
	)
	for i := range e.Epochs {
		err = cmp.Or(err, e.Epochs[i].check())
	}
	return cmp.Or(err, e.Dates.check())
}

// endsTenant holds of an erasure that ended with the tenant's key: the tenant's own, or
// another that had no certificate by then.
func (e *Erasure) endsTenant() bool {
	return len(e.Epochs) > 0 && e.Epochs[len(e.Epochs)-1].gone()
}

func (e *Erasure) verified(p Performed) bool {
	return slices.ContainsFunc(e.Verification, func(c Check) bool { return c.Check == p })
}

// gone holds if no version of the tenant's key is left.
func (p *Epoch) gone() bool { return p.Key.After == 0 && p.Key.OldestAfter == 0 }

func (p *Epoch) check() error {
	v, n := p.Key, p.Punctured
	// The provider may have lost the old version before it was asked, to an eraser that
	// was killed then, and be at a later epoch already.
	trimmed := v.After > v.Before && v.OldestAfter > v.Before && v.OldestBefore <= v.OldestAfter
	return need(
		field{"epochs.before", p.Before >= 0 && p.After > p.Before},
		field{"epochs.head_before_sha256", isHex(p.HeadBefore, 32)},
		field{"epochs.head_after_sha256", isHex(p.HeadAfter, 32)},
		field{"epochs.old_root_sha256", isHex(p.OldRoot, 32)},
		field{"epochs.old_root_prefix", p.OldRootPrefix == "" || isText(p.OldRootPrefix)},
		field{"epochs.pack_sha256", isHex(p.Pack, 32) || p.gone() && p.Pack == ""},
		field{"epochs.punctured", n.Recordings >= 0 && n.Subjects >= 0 && n.Days >= 0 && n.System >= 0},
		field{"epochs.key_versions", v.Before > 0 && v.OldestBefore > 0 && (p.gone() || trimmed)},
	)
}

func (d *Dates) check() error {
	return need(
		field{"dates.refused", isDate(d.Refused)},
		field{"dates.effective", isDate(d.Effective)},
		field{"dates.complete", d.Complete.IsZero() || isDate(d.Complete) && !d.Complete.Before(d.Effective)},
		field{"dates.complete_unknown", d.Complete.IsZero() == slices.Contains([]Unknown{RetentionNotTold, CopiesNotTold}, d.CompleteUnknown)},
		field{"dates.unlinkable", d.Unlinkable.IsZero() || isDate(d.Unlinkable)},
	)
}

func (a Algorithm) whole() bool { return isText(a.Use) && isText(a.Name) && a.Bits > 0 }

// whole holds of a check that there is, with an answer where one was given.
func (c Check) whole() bool {
	_, known := sentences[c.Check]
	refused := c.Check == OldRootRefused || c.Check == KeyAbsent
	return known && (refused && isText(c.Answer) || !refused && c.Answer == "")
}

// A field is a part of a statement, and whether it is as it must be.
type field struct {
	name string
	ok   bool
}

func need(fields ...field) error {
	for _, f := range fields {
		if !f.ok {
			return fmt.Errorf("%w: %s", ErrStatement, f.name)
		}
	}
	return nil
}

// all holds of one or more of which each is whole.
func all[T any](of []T, whole func(T) bool) bool {
	return len(of) > 0 && !slices.ContainsFunc(of, func(t T) bool { return !whole(t) })
}

// isHex holds of n bytes in lower-case hex.
func isHex(s string, n int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == n && hex.EncodeToString(b) == s
}

// isDate holds of whole seconds in UTC.
func isDate(t time.Time) bool {
	return !t.IsZero() && t.Location() == time.UTC && t.Nanosecond() == 0
}

// maxText is the longest text in a statement, in characters.
const maxText = 400

// isText holds of text that can be shown on a line.
func isText(s string) bool {
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxText {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
