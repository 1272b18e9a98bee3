package eraser

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// Ended reads what the store has of the erasures of tenants whose keys are gone. Nothing
// there is sealed any more, and whoever writes to the store may add to it: what no key of
// this process's has signed is not there.
type Ended struct {
	*Eraser
	ours keys
}

// Ended gives one. ErrOtherSigner: this process has no key of certificates, or another
// than they are signed with.
func (e *Eraser) Ended(ctx context.Context) (Ended, error) {
	if e.Signer == nil {
		return Ended{}, fmt.Errorf("%w: it has none; give it the settings of a process with the role eraser", ErrOtherSigner)
	}
	ours, last, _, err := e.published(ctx)
	if err == nil && last != nil && ours[last.ID()] == nil {
		err = e.otherSigner(last)
	}
	return Ended{e, ours}, err
}

// ErrNotOurs: a blob is in the place of what a key of this process's signs, and none has
// signed it.
var ErrNotOurs = fmt.Errorf("%w: it is not ours; if another key of yours signed it, name that in certificates.older-keys; else delete it", recording.ErrIncident)

// Erasure gives the erasure of which the store has the ending under a key, certified or
// under way still. fs.ErrNotExist: there is none. ErrNotOurs.
func (n Ended) Erasure(ctx context.Context, t recording.Tenant, key string) (row catalog.ErasureRow, err error) {
	signed, err := n.following().read(ctx, key, maxCertificate)
	if err != nil {
		return row, err
	}
	r, err := n.ours.readEnding(signed)
	if err != nil || r.Tenant != t || EndingKey(t, r.ID) != key {
		return row, ErrNotOurs
	}
	row = catalog.ErasureRow{
		ID: r.ID, Tenant: t, Scope: r.Scope, State: catalog.ErasureQueued, Who: r.Who, Reason: r.Reason, Commitment: r.Commitment,
		AskedAt: r.At, Record: signed, Recorded: true, Versions: r.Unreadable, Refiled: r.Refiled,
	}
	of, signed, err := n.certificate(ctx, t, r.ID)
	if of != nil {
		row.State, row.Certificate, row.CertifiedAt, row.UnlinkableAt = catalog.ErasureCertified, signed, of.Issued, of.Dates.Unlinkable
	}
	return row, err
}

// certificate gives the newest certificate of an erasure, nil if it has none.
func (n Ended) certificate(ctx context.Context, t recording.Tenant, id recording.ErasureID) (of *claim.Erasure, signed []byte, err error) {
	for _, key := range []string{UnlinkableKey(t, id), CertificateKey(t, id)} {
		signed, err := n.following().read(ctx, key, maxCertificate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		of, err := n.ours.verify(signed)
		if err == nil && of.ID == id.String() && of.Tenant == t.String() {
			return of, signed, nil
		}
	}
	return nil, nil, nil
}

// RestoreCertified lets the catalog have the erasures of an erased tenant by their
// certificates: what else the store tells of those that were certified before the tenant
// was erased was sealed with its key. It gives how many the catalog lacked, and tells of
// blobs that are no such certificate.
func (n Ended) RestoreCertified(ctx context.Context, t recording.Tenant, unknown func(key, why string)) (restored int64, err error) {
	for info, err := range n.Blobs.List(ctx, CertificateBase(t)) {
		if err != nil {
			return restored, err
		}
		lost, err := n.restoreCertified(ctx, t, info.Key)
		if errors.Is(err, ErrNotOurs) {
			unknown(info.Key, err.Error())
			continue
		}
		if err != nil {
			return restored, err
		}
		if lost {
			restored++
		}
	}
	return restored, nil
}

// restoreCertified restores what the certificate at a key, or a later one, tells of.
func (n Ended) restoreCertified(ctx context.Context, t recording.Tenant, key string) (lost bool, err error) {
	id, err := recording.ParseErasureID(strings.TrimSuffix(strings.TrimPrefix(key, CertificateBase(t)), unlinkableSuffix))
	if err != nil {
		return false, ErrNotOurs
	}
	row, err := n.Catalog.Erasure(ctx, t, id)
	switch {
	case err == nil && row.State == catalog.ErasureCertified:
		return false, nil
	case errors.Is(err, recording.ErrNoErasure):
		row = catalog.ErasureRow{ID: id, Tenant: t, Record: []byte{}}
	case err != nil:
		return false, err
	}
	of, signed, err := n.certificate(ctx, t, id)
	if err != nil {
		return false, err
	}
	if of == nil {
		return false, ErrNotOurs
	}
	row.State, row.Scope, row.Who, row.Reason = catalog.ErasureCertified, string(of.Scope.Kind), of.Request.Requester, of.Request.Reason
	row.AskedAt, row.Certificate, row.CertifiedAt, row.UnlinkableAt = of.Dates.Refused, signed, of.Issued, of.Dates.Unlinkable
	row.Versions, row.Refiled = of.Counts.Unreadable, of.Counts.Refiled
	if n := len(of.Epochs); n > 0 {
		row.Epoch = of.Epochs[n-1].After
	}
	if row.Commitment, err = hex.DecodeString(of.Scope.Commitment); err != nil {
		return false, fmt.Errorf("%w: its commitment: %w", ErrNotOurs, err)
	}
	return n.Catalog.RestoreEnded(ctx, row)
}
