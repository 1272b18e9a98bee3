package eraser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// TenantRecord is what the certificate of a tenant's own erasure needs and nobody can
// tell any more once the tenant's key is destroyed. The store has it in clear, since
// nothing is left to seal it under; it names nobody who was recorded.
type TenantRecord struct {
	At         time.Time `json:"at"`      // when it was asked for
	Refused    time.Time `json:"refused"` // nothing was read from then on
	Who        string    `json:"who"`
	Reason     string    `json:"reason"`
	Commitment []byte    `json:"commitment"`
	Unreadable int64     `json:"unreadable"` // versions
	Oldest     int64     `json:"oldest"`     // version of the key that the provider had
}

// TenantRecordKey is the blob key of a TenantRecord.
func TenantRecordKey(t recording.Tenant) string { return fmt.Sprintf("%s%v/tenant", recordsBase, t) }

// RecordTenant makes the record of a tenant's erasure durable in the store, before the
// tenant's key is destroyed: nobody can tell later. An earlier try's is the one that
// counts. recording.ErrNoErasure: the catalog does not know who asked.
func (e *Eraser) RecordTenant(ctx context.Context, t recording.Tenant) error {
	row, err := e.Catalog.Erasure(ctx, t, recording.ErasureOf(t))
	if err != nil || row.Recorded {
		return err
	}
	f := e.following()
	b, err := f.read(ctx, TenantRecordKey(t), maxCertificate)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = e.recordTenant(ctx, row)
	}
	if err != nil {
		return err
	}
	made, err := parseTenantRecord(t, b)
	if err != nil {
		return err
	}
	if !made.At.Equal(row.AskedAt) || made.Who != row.Who || made.Reason != row.Reason || !bytes.Equal(made.Commitment, row.Commitment) {
		return fmt.Errorf("%w: the record of the erasure of %v in the store, %s, is of another; delete it if it is not ours",
			recording.ErrIncident, t, TenantRecordKey(t))
	}
	// gofail: var tenantRecorded string
	// return failpoint(tenantRecorded)
	return e.Catalog.RecordedTenant(ctx, t, b, made.Unreadable)
}

// recordTenant creates the record, or gives the one that another was first to create.
func (e *Eraser) recordTenant(ctx context.Context, row catalog.ErasureRow) ([]byte, error) {
	refused := now()
	versions, err := e.Catalog.CountReadable(ctx, row.Tenant) // to which none is added from now on
	if err != nil {
		return nil, err
	}
	has, err := e.Keys.Versions(ctx, keytree.RootOf(row.Tenant))
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(TenantRecord{
		At: row.AskedAt, Refused: refused, Who: row.Who, Reason: row.Reason, Commitment: row.Commitment,
		Unreadable: versions, Oldest: int64(has.Oldest),
	})
	if err != nil {
		return nil, fmt.Errorf("encode record of erasure: %w", err)
	}
	// gofail: var tenantRecord string
	// return nil, failpoint(tenantRecord)
	err = e.Blobs.Create(ctx, TenantRecordKey(row.Tenant), bytes.NewReader(b), int64(len(b)))
	if errors.Is(err, fs.ErrExist) {
		return e.following().read(ctx, TenantRecordKey(row.Tenant), maxCertificate)
	}
	return b, err
}

func parseTenantRecord(t recording.Tenant, b []byte) (r TenantRecord, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%w: the record of the erasure of %v is malformed", recording.ErrIncident, t)
	}
	return r, nil
}

// CertifyTenant verifies that the key of a tenant is destroyed, of which no lease can
// be left, makes the certificate that says so durable in the store, and gives it with
// the event that tells of it. It may be repeated.
func (e *Eraser) CertifyTenant(ctx context.Context, erased keytree.Head) ([]byte, []audit.Record, error) {
	t := erased.Tenant
	row, err := e.Catalog.Erasure(ctx, t, recording.ErasureOf(t))
	if err != nil {
		return nil, nil, err
	}
	record, err := parseTenantRecord(t, row.Record)
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
	if _, err := e.signing(ctx); err != nil {
		return nil, nil, err
	}
	signed, err := e.Signer.Sign(tenantStatement(row, record, before, erased))
	if err != nil {
		return nil, nil, err
	}
	signed, err = e.keep(ctx, CertificateKey(t, row.ID), signed, func(of *claim.Erasure) bool { return of.ID == row.ID.String() })
	if err != nil {
		return nil, nil, err
	}
	event, err := told(t, "erasure.certified")
	return signed, []audit.Record{event}, err
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

// tenantStatement is statement for the erasure of a tenant, which has no pages and
// leaves no version of the key.
func tenantStatement(row catalog.ErasureRow, r TenantRecord, before, erased keytree.Head) claim.Erasure {
	row.AskedAt, row.Versions = r.Refused, r.Unreadable
	said := statement(row, []claim.Epoch{{
		Before: int64(before.Epoch), After: int64(erased.Epoch),
		HeadBefore: sum(before.Marshal()), HeadAfter: sum(erased.Marshal()),
		OldRoot: sum(before.Wrapped), OldRootPrefix: wrappedPrefix(before.Wrapped),
		Key: claim.Versions{Before: int64(before.Version), OldestBefore: r.Oldest},
	}})
	said.Verification = []claim.Check{
		{Check: claim.OldRootRefused, Answer: claim.Forgotten}, {Check: claim.KeyAbsent, Answer: claim.Forgotten}, {Check: claim.LeasesDrained},
	}
	return said
}

// TenantErasure gives the erasure of a tenant as the store has it, certified or under
// way still; nil if the store has no record of it. What it says of who asked is no more
// certain than the store, for no key is left that would seal it.
func (f Following) TenantErasure(ctx context.Context, t recording.Tenant) (*catalog.ErasureRow, error) {
	b, err := f.read(ctx, TenantRecordKey(t), maxCertificate)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := parseTenantRecord(t, b)
	if err != nil {
		return nil, err
	}
	row := &catalog.ErasureRow{
		ID: recording.ErasureOf(t), Tenant: t, Scope: catalog.ScopeTenant, State: catalog.ErasureQueued, Who: r.Who, Reason: r.Reason,
		Commitment: r.Commitment, AskedAt: r.At, Record: b, Recorded: true, Versions: r.Unreadable,
	}
	err = f.certificate(ctx, row)
	if row.Certificate != nil {
		row.State = catalog.ErasureCertified
	}
	return row, err
}
