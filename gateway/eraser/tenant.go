package eraser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// Ending is what the certificate needs of an erasure that ends with its tenant's key: the
// tenant's own, or one that had no certificate by then. Nobody can tell it any more once
// that key is destroyed. The store has it in clear, since nothing is left to seal it
// under, and signed, so that nobody else is believed; it names nobody who was recorded.
type Ending struct {
	Tenant     recording.Tenant    `json:"tenant"`
	ID         recording.ErasureID `json:"id"`
	Scope      string              `json:"scope"`
	At         time.Time           `json:"at"`      // when it was asked for
	Refused    time.Time           `json:"refused"` // nothing was read from then on
	Who        string              `json:"who"`
	Reason     string              `json:"reason"`
	Commitment []byte              `json:"commitment"`
	Unreadable int64               `json:"unreadable"` // versions
	Refiled    int64               `json:"refiled"`
	Oldest     int64               `json:"oldest"` // version of the key that the provider had
}

// EndingKey is the blob key of an Ending.
func EndingKey(t recording.Tenant, id recording.ErasureID) string {
	if id == recording.ErasureOf(t) {
		return fmt.Sprintf("%s%v/tenant", recordsBase, t)
	}
	return EndedBase(t) + id.String()
}

// EndedBase begins the keys of the endings of a tenant's erasures, but for its own.
func EndedBase(t recording.Tenant) string { return fmt.Sprintf("%s%v/ended/", recordsBase, t) }

// of reports whether an ending is of the erasure that a row tells of.
func (r Ending) of(row catalog.ErasureRow) bool {
	return r.Tenant == row.Tenant && r.ID == row.ID && r.Scope == row.Scope && r.At.Equal(row.AskedAt) &&
		r.Who == row.Who && r.Reason == row.Reason && bytes.Equal(r.Commitment, row.Commitment)
}

// readEnding reads an ending that one of the keys has signed.
func (k keys) readEnding(signed []byte) (r Ending, err error) {
	body, err := k.note(signed)
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	return r, err
}

// ending reads the ending of the erasure that a row tells of.
func (k keys) ending(row catalog.ErasureRow, signed []byte) (r Ending, err error) {
	if r, err = k.readEnding(signed); err != nil || !r.of(row) {
		return r, errors.Join(fmt.Errorf("%w: the record of the erasure of a tenant in the store, %s, is not ours, or of another request; "+
			"if another key of yours signed it, name that in certificates.older-keys; else delete it", recording.ErrIncident, EndingKey(row.Tenant, row.ID)), err)
	}
	return r, nil
}

// RecordTenant makes the endings of a tenant's erasures durable in the store, before the
// tenant's key is destroyed: nobody can tell later. An earlier try's is the one that
// counts. The tenant's own comes last. recording.ErrNoErasure: the catalog does not know
// who asked. keytree.ErrForgotten: the key is gone, and nothing was recorded before.
func (e *Eraser) RecordTenant(ctx context.Context, t recording.Tenant) error {
	own, err := e.Catalog.Erasure(ctx, t, recording.ErasureOf(t))
	if err != nil {
		return err
	}
	ours, _, _, err := e.published(ctx) // which key is in use may wait for the certificates
	if err != nil {
		return err
	}
	if own.Recorded {
		_, err := ours.ending(own, own.Record)
		return err
	}
	r, err := e.ended(ctx, t, ours)
	if err != nil {
		return err
	}
	defer r.settings.Clear()
	if err := r.others(ctx, t); err != nil {
		return err
	}
	signed, made, err := r.record(ctx, own)
	if err != nil {
		return err
	}
	// gofail: var tenantRecorded string
	// return failpoint(tenantRecorded)
	return e.Catalog.RecordedTenant(ctx, t, signed, made.Unreadable)
}

// ended records erasures that end with their tenant's key.
type ended struct {
	*Eraser
	ours     keys
	refused  time.Time   // nothing of the tenant is read from then on
	oldest   int64       // version of the key that the provider has
	settings keytree.Key // under which records of erasures are sealed
	gone     error       // keytree.ErrForgotten: the key is, and nothing can be told any more
}

func (e *Eraser) ended(ctx context.Context, t recording.Tenant, ours keys) (*ended, error) {
	r := &ended{Eraser: e, ours: ours, refused: now()}
	has, err := e.Keys.Versions(ctx, keytree.RootOf(t))
	if errors.Is(err, keytree.ErrForgotten) {
		r.gone = err
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	r.oldest = int64(has.Oldest)
	row, err := e.Catalog.Tenant(ctx, t)
	if err != nil {
		return nil, err
	}
	head, err := keytree.ReadHead(ctx, e.Blobs, t, uint64(row.Epoch))
	if err != nil {
		return nil, err
	}
	all, err := keytree.Unwrap(ctx, e.Keys, keytree.InStore(e.Blobs), head)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrOvertaken, err) // not ErrForgotten: the key is there
	}
	defer all.Clear()
	// A catalog that is an older copy lacks what was asked for since. Who writes the store
	// can put there what is no record; that keeps no key from being destroyed.
	if _, err := e.following().Requeue(ctx, t, all, row.Epoch); err != nil {
		if !errors.Is(err, recording.ErrIncident) {
			return nil, err
		}
		e.Logger.Error("records of erasures in the store are not ours", "tenant", t.String(), "error", err)
	}
	r.settings, err = all.System(ctx, keytree.SettingsSlot())
	return r, err
}

// others records the erasures beside the tenant's own that have no certificate. Nothing
// is recorded, and so nothing certified, of one that nobody asked for: rows are anyone's
// who writes the catalog.
func (r *ended) others(ctx context.Context, t recording.Tenant) error {
	var after catalog.ErasureCursor
	for {
		rows, err := r.Catalog.ToEnd(ctx, t, after, certifyBatch)
		if err != nil || len(rows) == 0 {
			return err
		}
		var recording errgroup.Group
		recording.SetLimit(certifyAtOnce)
		for _, row := range rows {
			recording.Go(func() error { return r.other(ctx, row) })
		}
		if err := recording.Wait(); err != nil {
			return err
		}
		after = rows[len(rows)-1].Cursor()
	}
}

func (r *ended) other(ctx context.Context, row catalog.ErasureRow) error {
	_, _, err := r.record(ctx, row)
	if errors.Is(err, keytree.ErrForgotten) || errors.Is(err, errUnasked) {
		r.Logger.Error("an erasure that ends with its tenant gets no certificate", "tenant", row.Tenant.String(), "erasure", row.ID.String(), "error", err)
		return nil
	}
	return err
}

// errUnasked is of an erasure that its sealed record does not ask for.
var errUnasked = errors.New("eraser: its sealed record does not ask for it")

// record creates the ending of an erasure, or gives the one that another was first to
// create.
func (r *ended) record(ctx context.Context, row catalog.ErasureRow) (signed []byte, made Ending, err error) {
	key := EndingKey(row.Tenant, row.ID)
	signed, err = r.following().read(ctx, key, maxCertificate)
	if errors.Is(err, fs.ErrNotExist) {
		if signed, err = r.sign(ctx, row); err != nil {
			return nil, made, err
		}
		// gofail: var tenantRecord string
		// return nil, made, failpoint(tenantRecord)
		err = r.Blobs.Create(ctx, key, bytes.NewReader(signed), int64(len(signed)))
		if errors.Is(err, fs.ErrExist) {
			signed, err = r.following().read(ctx, key, maxCertificate)
		}
	}
	if err != nil {
		return nil, made, err
	}
	made, err = r.ours.ending(row, signed)
	return signed, made, err
}

// sign makes the ending of an erasure.
func (r *ended) sign(ctx context.Context, row catalog.ErasureRow) ([]byte, error) {
	if r.gone != nil {
		return nil, r.gone
	}
	made := Ending{
		Tenant: row.Tenant, ID: row.ID, Scope: row.Scope, At: row.AskedAt, Refused: row.AskedAt,
		Who: row.Who, Reason: row.Reason, Commitment: row.Commitment, Refiled: row.Refiled, Oldest: r.oldest,
	}
	var err error
	if row.Scope == catalog.ScopeTenant { // its journal asks for it
		made.Refused = r.refused
		made.Unreadable, err = r.Catalog.CountReadable(ctx, row.Tenant) // to which none is added from now on
	} else {
		asked, unasked := OpenRecord(r.settings, row.Tenant, row.Base, row.ID, row.Record)
		if unasked != nil || !asked.of(row) {
			return nil, errUnasked
		}
		made.Unreadable, err = r.Catalog.Unreadable(ctx, row.Tenant, row.ID)
	}
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(made)
	if err != nil {
		return nil, fmt.Errorf("encode record of erasure: %w", err)
	}
	return r.Signer.Note(body)
}

// of reports whether a statement is of the erasure that a row tells of.
func (s Statement) of(row catalog.ErasureRow) bool {
	return s.Scope == row.Scope && s.At.Equal(row.AskedAt) && s.Who == row.Who && s.Reason == row.Reason && bytes.Equal(s.Commitment, row.Commitment)
}

// CertifyTenant verifies that the key of a tenant is destroyed, of which no lease can
// be left, ends with that every erasure which has no certificate yet, makes the tenant's
// own certificate durable in the store, and gives it with the event that tells of it. It
// may be repeated.
func (e *Eraser) CertifyTenant(ctx context.Context, erased keytree.Head) ([]byte, []audit.Record, error) {
	t := erased.Tenant
	own, err := e.Catalog.Erasure(ctx, t, recording.ErasureOf(t))
	if err != nil {
		return nil, nil, err
	}
	before, err := keytree.ReadHead(ctx, e.Blobs, t, erased.Epoch-1)
	if err != nil {
		return nil, nil, err
	}
	if err := e.destroyed(ctx, before); err != nil {
		return nil, nil, err
	}
	ours, err := e.signing(ctx)
	if err != nil {
		return nil, nil, err
	}
	last := claim.Epoch{
		Before: int64(before.Epoch), After: int64(erased.Epoch),
		HeadBefore: sum(before.Marshal()), HeadAfter: sum(erased.Marshal()),
		OldRoot: sum(before.Wrapped), OldRootPrefix: wrappedPrefix(before.Wrapped),
		Key: claim.Versions{Before: int64(before.Version)},
	}
	if err := e.certifyEnded(ctx, t, last, ours); err != nil {
		return nil, nil, err
	}
	signed, err := e.certifyEnding(ctx, own, own.Record, last, ours)
	if err != nil {
		return nil, nil, err
	}
	event, err := told(t, "erasure.certified")
	return signed, []audit.Record{event}, err
}

// certifyEnded ends the erasures beside the tenant's own that have no certificate.
func (e *Eraser) certifyEnded(ctx context.Context, t recording.Tenant, last claim.Epoch, ours keys) error {
	var failed error
	for more := true; more; {
		var err error
		more, err = e.issue(ctx, issuing{
			due: func(ctx context.Context, after catalog.ErasureCursor) ([]catalog.ErasureRow, error) {
				return e.Catalog.ToEnd(ctx, t, after, certifyBatch)
			},
			one: func(ctx context.Context, row catalog.ErasureRow) ([]byte, string, error) {
				ending, err := e.following().read(ctx, EndingKey(t, row.ID), maxCertificate)
				if errors.Is(err, fs.ErrNotExist) {
					return nil, "", nil // others has told why
				}
				if err != nil {
					return nil, "", err
				}
				signed, err := e.certifyEnding(ctx, row, ending, last, ours)
				return signed, "erasure.certified", err
			},
			end: func(ctx context.Context, all []catalog.Certificate) error { return e.Catalog.CertifyEnded(ctx, t, all) },
		})
		failed = errors.Join(failed, err)
	}
	return failed
}

// certifyEnding makes the certificate of an erasure durable that ends with its tenant's
// key: by an ending that is ours, and names what the row does.
func (e *Eraser) certifyEnding(ctx context.Context, row catalog.ErasureRow, ending []byte, last claim.Epoch, ours keys) ([]byte, error) {
	made, err := ours.ending(row, ending)
	if err != nil {
		return nil, err
	}
	last.Key.OldestBefore = made.Oldest
	signed, err := e.Signer.Sign(tenantStatement(made, last))
	if err != nil {
		return nil, err
	}
	return e.keepFirst(ctx, row, signed)
}

// destroyed proves that the provider has no key of a tenant, and opens its last root
// no more.
func (e *Eraser) destroyed(ctx context.Context, last keytree.Head) error {
	_, err := e.Keys.Versions(ctx, keytree.RootOf(last.Tenant))
	if err == nil {
		return fmt.Errorf("%w: the provider still has the key of %v", recording.ErrIncident, last.Tenant)
	}
	if !errors.Is(err, keytree.ErrForgotten) {
		return err
	}
	opens, err := e.opens(ctx, last)
	if err == nil && opens {
		err = fmt.Errorf("%w: the root of epoch %d of %v still opens", recording.ErrIncident, last.Epoch, last.Tenant)
	}
	return err
}

// tenantStatement is statement for an erasure that ended with its tenant's key, of which
// no pages and no version are left.
func tenantStatement(r Ending, last claim.Epoch) claim.Erasure {
	said := statement(catalog.ErasureRow{
		ID: r.ID, Tenant: r.Tenant, Scope: r.Scope, Who: r.Who, Reason: r.Reason, Commitment: r.Commitment,
		AskedAt: r.Refused, Versions: r.Unreadable, Refiled: r.Refiled,
	}, []claim.Epoch{last})
	said.Verification = []claim.Check{
		{Check: claim.OldRootRefused, Answer: claim.Forgotten}, {Check: claim.KeyAbsent, Answer: claim.Forgotten}, {Check: claim.LeasesDrained},
	}
	return said
}
