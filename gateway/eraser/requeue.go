package eraser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

const (
	recordsBase = "erasures/"
	recordsMany = 100      // looked up at a time
	maxRecord   = 64 << 20 // of one that names a million slots
)

// recorded is an erasure by the key of its record.
type recorded struct {
	base int64
	id   recording.ErasureID
}

// Requeue restores the erasures of a tenant that the store has records of and the
// catalog lacks, and gives them: a catalog that took over from another, or is an
// older copy of itself, has lost erasures that were acknowledged. It looks at those
// that were asked for in one epoch. Those of earlier ones are there, since no
// catalog moves on to an epoch before it has what was asked for in the one before.
func (f Following) Requeue(ctx context.Context, t recording.Tenant, keys *keytree.Keys, base int64) ([]recording.ErasureID, error) {
	return f.requeue(ctx, t, keys, fmt.Sprintf("%s%v/%016x/", recordsBase, t, base))
}

// RequeueAll is Requeue for every epoch.
func (f Following) RequeueAll(ctx context.Context, t recording.Tenant, keys *keytree.Keys) ([]recording.ErasureID, error) {
	return f.requeue(ctx, t, keys, fmt.Sprintf("%s%v/", recordsBase, t))
}

func (f Following) requeue(ctx context.Context, t recording.Tenant, keys *keytree.Keys, prefix string) (lost []recording.ErasureID, err error) {
	defer func() {
		if len(lost) > 0 {
			f.Restored(t, lost)
		}
	}()
	var closed []recorded
	refiled := false
	for some, err := range chunks(f.records(ctx, t, prefix), recordsMany) {
		if err != nil {
			return lost, err
		}
		missing, err := f.missing(ctx, t, some)
		if err != nil {
			return lost, err
		}
		if len(missing) > 0 && !refiled {
			if err := f.RefileAll(ctx, t, keys); err != nil {
				return lost, fmt.Errorf("file anew what the store has: %w", err)
			}
			refiled = true
		}
		for _, r := range missing {
			was, err := f.restore(ctx, t, keys, r)
			if errors.Is(err, recording.ErrIncident) { // which holds up no other
				closed = append(closed, r)
				continue
			}
			if err != nil {
				return lost, fmt.Errorf("restore erasure %v: %w", r.id, err)
			}
			if was {
				lost = append(lost, r.id)
			}
		}
	}
	return lost, f.unread(ctx, t, closed)
}

// unread says of records that do not open what they are, unless another tells of the same
// erasure: they may be anybody's, or what is left of an erasure that was acknowledged.
func (f Following) unread(ctx context.Context, t recording.Tenant, closed []recorded) error {
	closed, err := f.missing(ctx, t, closed)
	for _, r := range closed {
		err = errors.Join(err, fmt.Errorf("%w: %s in the store does not open: put it back from a copy of the store, or delete it if nobody asked for that erasure",
			recording.ErrIncident, RecordKey(t, r.base, r.id)))
	}
	return err
}

// records gives the records of a tenant below a prefix. What is there and is none
// is passed over: nobody but us can make one that opens.
func (f Following) records(ctx context.Context, t recording.Tenant, prefix string) iter.Seq2[recorded, error] {
	return func(yield func(recorded, error) bool) {
		for info, err := range f.Blobs.List(ctx, prefix) {
			r, ok := parseRecordKey(t, info.Key)
			if (err != nil || ok) && !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func parseRecordKey(t recording.Tenant, key string) (r recorded, ok bool) {
	place, id, _ := strings.Cut(strings.TrimPrefix(key, fmt.Sprintf("%s%v/", recordsBase, t)), "/")
	base, err := strconv.ParseInt(place, 16, 64)
	if err != nil {
		return r, false
	}
	r.base = base
	r.id, err = recording.ParseErasureID(id)
	return r, err == nil && RecordKey(t, r.base, r.id) == key
}

// chunks gathers what a sequence gives, until it fails.
func chunks[T any](all iter.Seq2[T, error], many int) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		var some []T
		for v, err := range all {
			if err != nil {
				yield(nil, err)
				return
			}
			if some = append(some, v); len(some) == many {
				if !yield(some, nil) {
					return
				}
				some = nil
			}
		}
		if len(some) > 0 {
			yield(some, nil)
		}
	}
}

func (f Following) missing(ctx context.Context, t recording.Tenant, all []recorded) ([]recorded, error) {
	ids := make([]recording.ErasureID, len(all))
	for i, r := range all {
		ids[i] = r.id
	}
	known, err := f.Catalog.KnownErasures(ctx, t, ids)
	return slices.DeleteFunc(all, func(r recorded) bool { return slices.Contains(known, r.id) }), err
}

// restore lets the catalog have an erasure by its record.
func (f Following) restore(ctx context.Context, t recording.Tenant, keys *keytree.Keys, r recorded) (lost bool, err error) {
	settings, err := keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return false, err
	}
	defer settings.Clear()
	sealed, err := f.read(ctx, RecordKey(t, r.base, r.id), maxRecord)
	if err != nil {
		return false, err
	}
	s, err := OpenRecord(settings, t, r.base, r.id, sealed)
	if err != nil {
		return false, err
	}
	row := catalog.ErasureRow{
		ID: r.id, Tenant: t, Scope: s.Scope, Who: s.Who, Reason: s.Reason, Commitment: s.Commitment, AskedAt: s.At,
		Base: r.base, Record: sealed, Recorded: true,
	}
	slots := make([]catalog.Slot, len(s.Slots))
	for i, slot := range s.Slots {
		slots[i] = catalog.Slot{Tree: slot.Tree, Number: slot.Number}
	}
	event, err := audit.Seal(keytree.Key{}, audit.Event{
		Tenant: t, At: now(), Who: "lethe", Action: "erasure.restored", Outcome: audit.Allowed,
	})
	if err != nil {
		return false, err
	}
	return f.Catalog.RestoreErasure(ctx, row, slots, s.Versions, []audit.Record{event})
}

func (f Following) read(ctx context.Context, key string, most int64) ([]byte, error) {
	body, err := f.Blobs.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, most))
}

// Recertify gives erasures that are punctured the certificates that the store has of
// them. The packs of those that were punctured long ago may be gone: then the keys say
// that they are.
func (f Following) Recertify(ctx context.Context, t catalog.Tenant, keys *keytree.Keys) error {
	open, err := f.Catalog.Uncertified(ctx, t.ID)
	if err != nil {
		return err
	}
	for _, row := range open {
		gone, err := f.gone(ctx, keys, row)
		if err != nil {
			return err
		}
		if !gone {
			continue
		}
		if err := f.certificate(ctx, &row); err != nil {
			return err
		}
		if row.Certificate == nil {
			continue
		}
		if err := f.Catalog.RestoreCertificate(ctx, row, t.Epoch); err != nil {
			return err
		}
	}
	return nil
}

// gone reports whether all that an erasure is to have punctured is: the catalog knows, or
// no key of the record's slots can be had.
func (f Following) gone(ctx context.Context, keys *keytree.Keys, row catalog.ErasureRow) (bool, error) {
	if row.State != catalog.ErasureQueued {
		return true, nil
	}
	settings, err := keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return false, err
	}
	defer settings.Clear()
	s, err := OpenRecord(settings, row.Tenant, row.Base, row.ID, row.Record)
	if err != nil {
		return false, nil
	}
	for _, slot := range s.Slots {
		key, err := keys.Slot(ctx, keytree.Tree(slot.Tree), uint64(slot.Number))
		key.Clear()
		switch {
		case errors.Is(err, keytree.ErrPunctured):
		case err == nil, errors.Is(err, keytree.ErrPage), errors.Is(err, fs.ErrNotExist): // it is there, or nobody can tell
			return false, nil
		default:
			return false, err
		}
	}
	return true, nil
}

// certificate completes a row by the newest certificate that the store has of it, if it
// has one. That may be signed with a key that is not used any more, and is not verified:
// whoever is shown it does that.
func (f Following) certificate(ctx context.Context, row *catalog.ErasureRow) error {
	for _, key := range []string{UnlinkableKey(row.Tenant, row.ID), CertificateKey(row.Tenant, row.ID)} {
		signed, err := f.read(ctx, key, maxCertificate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var of claim.Erasure
		if json.Unmarshal(payload(signed), &of) == nil && of.ID == row.ID.String() {
			row.Certificate, row.CertifiedAt, row.UnlinkableAt = signed, of.Issued, of.Dates.Unlinkable
			return nil
		}
	}
	return nil
}

// payload is what an envelope holds, whoever signed it.
func payload(signed []byte) []byte {
	var envelope struct {
		Payload []byte `json:"payload"`
	}
	_ = json.Unmarshal(signed, &envelope) // nothing is in what is none
	return envelope.Payload
}
