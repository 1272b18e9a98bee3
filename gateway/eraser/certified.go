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

// RestoreCertified lets the catalog have the erasures of a tenant whose key is gone by
// their certificates in the store: what else is told of those that were certified before
// the tenant was erased was sealed with that key. It gives how many the catalog lacked,
// and tells of what is there that is no certificate of ours.
func (e *Eraser) RestoreCertified(ctx context.Context, t recording.Tenant, unknown func(key, why string)) (restored int64, err error) {
	if e.Signer == nil {
		unknown(CertificateBase(t), "a process without the role eraser knows no certificates: rebuild with one that has it")
		return 0, nil
	}
	ours, _, _, err := e.published(ctx)
	if err != nil {
		return 0, err
	}
	for info, err := range e.Blobs.List(ctx, CertificateBase(t)) {
		if err != nil {
			return restored, err
		}
		lost, err := e.restoreCertified(ctx, t, info.Key, ours)
		if errors.Is(err, errNoCertificate) {
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

var errNoCertificate = errors.New("no certificate of an erasure of this tenant that a key of ours has signed; " +
	"if another key of yours signed it, name that in certificates.older-keys")

// restoreCertified restores what the certificate at a key, and any later one, tells of.
func (e *Eraser) restoreCertified(ctx context.Context, t recording.Tenant, key string, ours keys) (lost bool, err error) {
	id, err := recording.ParseErasureID(strings.TrimSuffix(strings.TrimPrefix(key, CertificateBase(t)), unlinkableSuffix))
	if err != nil {
		return false, errNoCertificate
	}
	row, err := e.Catalog.FindErasure(ctx, id)
	switch {
	case err == nil && row.Tenant != t:
		return false, errNoCertificate
	case err == nil && row.State == catalog.ErasureCertified:
		return false, nil
	case errors.Is(err, recording.ErrNoErasure):
		row = catalog.ErasureRow{ID: id, Tenant: t, Record: []byte{}}
	case err != nil:
		return false, err
	}
	if err := e.readCertified(ctx, &row, ours); err != nil {
		return false, err
	}
	return e.Catalog.RestoreEnded(ctx, row)
}

// readCertified completes a row by the newest certificate that one of the keys has signed.
func (e *Eraser) readCertified(ctx context.Context, row *catalog.ErasureRow, ours keys) error {
	for _, key := range []string{UnlinkableKey(row.Tenant, row.ID), CertificateKey(row.Tenant, row.ID)} {
		signed, err := e.following().read(ctx, key, maxCertificate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		of, err := ours.verify(signed)
		if err != nil || of.ID != row.ID.String() || of.Tenant != row.Tenant.String() {
			continue
		}
		row.Certificate = signed
		return asTold(row, of)
	}
	return errNoCertificate
}

// asTold completes a row by what its certificate says.
func asTold(row *catalog.ErasureRow, of *claim.Erasure) (err error) {
	row.State, row.Scope, row.Who, row.Reason = catalog.ErasureCertified, string(of.Scope.Kind), of.Request.Requester, of.Request.Reason
	row.AskedAt, row.CertifiedAt, row.UnlinkableAt = of.Dates.Refused, of.Issued, of.Dates.Unlinkable
	row.Versions, row.Refiled = of.Counts.Unreadable, of.Counts.Refiled
	if n := len(of.Epochs); n > 0 {
		row.Epoch = of.Epochs[n-1].After
	}
	if row.Commitment, err = hex.DecodeString(of.Scope.Commitment); err != nil {
		return fmt.Errorf("%w: %w", errNoCertificate, err)
	}
	return nil
}
