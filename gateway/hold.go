package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// HoldRequest says what to keep from being erased: what stands under a name, with
// every version of it, or unless Subject is empty all that tells of someone, now
// and later.
type HoldRequest struct {
	Bucket  recording.Bucket
	Name    recording.Name
	Subject recording.Subject
	Reason  string // 1 to 500 characters; sealed, and forgotten with the hold
}

// HoldInfo is a hold as it stands.
type HoldInfo struct {
	ID        recording.HoldID
	Recording recording.ID // zero if it is of a subject
	HoldRequest
	Who       string
	CreatedAt time.Time
}

// holdEntry is a hold in the journal. What it says of anyone is sealed under the
// key of a slot of its own, which is forgotten once the hold is released: an entry
// stays for ever.
type holdEntry struct {
	ID        recording.HoldID `json:"id"`
	Recording recording.ID     `json:"recording"`
	OfSubject bool             `json:"of_subject,omitempty"`
	Slot      uint64           `json:"slot"`
	Sealed    []byte           `json:"sealed"`
	Who       string           `json:"who"`
}

// holdDetail is what a hold says of anyone.
type holdDetail struct {
	Bucket  recording.Bucket  `json:"bucket,omitempty"`
	Name    recording.Name    `json:"name,omitempty"`
	Subject recording.Subject `json:"subject,omitempty"`
	Reason  string            `json:"reason"`
}

// maxHoldReason bounds the reason of a hold, in characters.
const maxHoldReason = 500

func (r HoldRequest) check() error {
	n := utf8.RuneCountInString(r.Reason)
	if n == 0 || n > maxHoldReason || !utf8.ValidString(r.Reason) {
		return recording.ErrHoldReason
	}
	for _, c := range r.Reason {
		if unicode.IsControl(c) {
			return recording.ErrHoldReason
		}
	}
	return nil
}

// Hold keeps something of a tenant from being erased until it is released: whoever
// asks for its erasure is refused, it is not replaced, and when what it is filed
// under is erased it is filed elsewhere before.
//
// An erasure that was queued before the hold is acknowledged may come before it.
// recording.ErrNotFound: nothing stands under the name. A subject need not be known.
func (g *Gateway) Hold(ctx context.Context, c Caller, tenant string, r HoldRequest) (HoldInfo, error) {
	p, err := g.administer(ctx, c, policy.HoldSome, tenant)
	if err != nil {
		return HoldInfo{}, err
	}
	if err := r.check(); err != nil {
		return HoldInfo{}, err
	}
	s, err := g.enter(ctx, p.tenant)
	if err != nil {
		return HoldInfo{}, err
	}
	defer s.end()
	h := holdEntry{ID: recording.NewHoldID(), OfSubject: r.Subject != "", Who: p.event.Who}
	if !h.OfSubject {
		found, v, err := g.find(ctx, s, r.Bucket, r.Name)
		if err != nil {
			return HoldInfo{}, g.noBucket(ctx, s, p.event, err)
		}
		p.event.Bucket = found.id
		if v == nil {
			return HoldInfo{}, g.refuse(ctx, s, p.event, "not-found", recording.ErrNotFound)
		}
		h.Recording, p.event.Recording = v.Recording, v.Recording
	}
	if h.Slot, err = g.slots.Next(ctx, s.tenant.ID, keytree.Recordings); err != nil {
		return HoldInfo{}, unavailable(err)
	}
	if h.Sealed, err = s.sealHold(ctx, h, r); err != nil {
		return HoldInfo{}, err
	}
	e := entry{At: now(), Hold: &h}
	if err := g.change(ctx, s, e, p.event); err != nil {
		return HoldInfo{}, err
	}
	return HoldInfo{ID: h.ID, Recording: h.Recording, HoldRequest: r, Who: h.Who, CreatedAt: e.At}, nil
}

func holdBind(t recording.Tenant, id recording.HoldID) []byte {
	return append(append([]byte{}, t[:]...), id[:]...)
}

func (s scope) sealHold(ctx context.Context, h holdEntry, r HoldRequest) ([]byte, error) {
	b, err := json.Marshal(holdDetail(r))
	if err != nil {
		return nil, errors.New("encode hold") // the cause could quote it
	}
	key, err := s.keys.Slot(ctx, keytree.Recordings, h.Slot)
	if err != nil {
		return nil, err
	}
	defer key.Clear()
	return keytree.Seal(key, keytree.LabelHold, holdBind(s.tenant.ID, h.ID), b)
}

// openHold unseals what a hold says. keytree.ErrPunctured: it was released.
func (s scope) openHold(ctx context.Context, id recording.HoldID, slot uint64, sealed []byte) (d holdDetail, err error) {
	key, err := s.keys.Slot(ctx, keytree.Recordings, slot)
	if err != nil {
		return d, err
	}
	defer key.Clear()
	b, err := keytree.Open(key, keytree.LabelHold, holdBind(s.tenant.ID, id), sealed)
	if err == nil && json.Unmarshal(b, &d) != nil {
		err = keytree.ErrSealed
	}
	if err != nil {
		return d, fmt.Errorf("%w: hold %v: %w", recording.ErrIntegrity, id, err)
	}
	return d, nil
}

// holdRow gives a hold for the catalog. One whose slot is forgotten was released by
// a later entry, and is none.
func (s scope) holdRow(ctx context.Context, e entry) (catalog.Change, error) {
	h := e.Hold
	row := catalog.Hold{
		ID: h.ID, Recording: h.Recording, Slot: int64(h.Slot), Sealed: h.Sealed, Who: h.Who, CreatedAt: e.At,
	}
	d, err := s.openHold(ctx, h.ID, h.Slot, h.Sealed)
	if errors.Is(err, keytree.ErrPunctured) {
		return catalog.Change{}, nil
	}
	if err != nil {
		return catalog.Change{}, err
	}
	if h.OfSubject {
		subject := s.subject(d.Subject)
		row.Subject, row.Older = subject.Index, subject.Older
	}
	return catalog.Change{Hold: &row}, nil
}

// Holds lists a tenant's holds, oldest first.
func (g *Gateway) Holds(ctx context.Context, c Caller, tenant string) ([]HoldInfo, error) {
	p, err := g.administer(ctx, c, policy.SeeHolds, tenant)
	if err != nil {
		return nil, err
	}
	s, err := g.enter(ctx, p.tenant)
	if err != nil {
		return nil, err
	}
	defer s.end()
	if err := g.explain(ctx, s, p.event); err != nil {
		return nil, err
	}
	rows, err := g.catalog.Holds(ctx, s.tenant.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]HoldInfo, 0, len(rows))
	for _, row := range rows {
		info, err := s.holdInfo(ctx, row)
		if errors.Is(err, keytree.ErrPunctured) { // released since it was read
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

func (s scope) holdInfo(ctx context.Context, row catalog.Hold) (HoldInfo, error) {
	d, err := s.openHold(ctx, row.ID, uint64(row.Slot), row.Sealed)
	return HoldInfo{
		ID: row.ID, Recording: row.Recording, HoldRequest: HoldRequest(d), Who: row.Who, CreatedAt: row.CreatedAt,
	}, err
}

// ReleaseHold ends a hold, and gives it as it was. What it says is forgotten with
// the next epoch. recording.ErrNoHold: there is none such, or no more.
func (g *Gateway) ReleaseHold(ctx context.Context, c Caller, tenant string, id recording.HoldID) (HoldInfo, error) {
	p, err := g.administer(ctx, c, policy.ReleaseHold, tenant)
	if err != nil {
		return HoldInfo{}, err
	}
	s, err := g.enter(ctx, p.tenant)
	if err != nil {
		return HoldInfo{}, err
	}
	defer s.end()
	row, err := g.catalog.Hold(ctx, s.tenant.ID, id)
	if errors.Is(err, recording.ErrNoHold) {
		return HoldInfo{}, g.refuse(ctx, s, p.event, "no-hold", err)
	}
	if err != nil {
		return HoldInfo{}, unavailable(err)
	}
	info, err := s.holdInfo(ctx, row)
	if err != nil {
		return HoldInfo{}, err
	}
	p.event.Recording = row.Recording
	return info, g.change(ctx, s, entry{At: now(), ReleasedHold: &id}, p.event)
}

// Held is that a hold forbids an erasure, or a correction. It is recording.ErrHeld.
type Held struct {
	Ground policy.Ground
	Hold   recording.HoldID
}

func (h Held) Error() string {
	return fmt.Sprintf("%v: %s, hold %v", recording.ErrHeld, h.Ground, h.Hold)
}

// Unwrap is recording.ErrHeld.
func (Held) Unwrap() error { return recording.ErrHeld }

// erasable decides on an erasure by the holds that bear on it.
func erasable(holds []catalog.Hold) error { return allowed(policy.Erasable, holds) }

// correctable decides by the holds that bear on a recording whether it may tell of others.
func correctable(holds []catalog.Hold) error { return allowed(policy.Correctable, holds) }

func allowed(by func([]policy.Hold) (policy.Ground, recording.HoldID), holds []catalog.Hold) error {
	bearing := make([]policy.Hold, len(holds))
	for i, h := range holds {
		bearing[i] = policy.Hold{ID: h.ID, OfSubject: h.Subject != (catalog.Index{})}
	}
	if ground, id := by(bearing); ground != policy.NoGround {
		return Held{ground, id}
	}
	return nil
}
