package eraser

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// CertificateKey is the blob key of the certificate of an erasure.
func CertificateKey(t recording.Tenant, id recording.ErasureID) string {
	return CertificateBase(t) + id.String()
}

// CertificateBase begins the keys of a tenant's certificates.
func CertificateBase(t recording.Tenant) string { return fmt.Sprintf("certificates/%v/", t) }

// UnlinkableKey is the blob key of the certificate that comes later, with the date from
// which the erasure is unlinkable.
func UnlinkableKey(t recording.Tenant, id recording.ErasureID) string {
	return CertificateKey(t, id) + unlinkableSuffix
}

const unlinkableSuffix = "-unlinkable"

// maxCertificate bounds a certificate that is read back.
const maxCertificate = 256 << 10

const (
	certifyBatch  = 100  // of one transaction
	certifyAtOnce = 16   // are created in the store
	certifyMost   = 1000 // of a tenant in one pass, lest other tenants wait
)

// issuing is how certificates of one kind are issued.
type issuing struct {
	due func(context.Context, catalog.ErasureCursor) ([]catalog.ErasureRow, error)          // after one, at most certifyBatch
	one func(context.Context, catalog.ErasureRow) (signed []byte, action string, err error) // made durable in the store; nil if it gets none
	end func(context.Context, []catalog.Certificate) error
}

// certify ends a tenant's erasures that have drained: each gets its certificate,
// first in the store and then in the catalog.
func (e *Eraser) certify(ctx context.Context, t recording.Tenant) error {
	known := epochs{of: map[int64]toldEpoch{}}
	var took map[recording.ErasureID][]catalog.EpochRow // of the batch
	var forbidden map[recording.ErasureID]error         // likewise
	_, err := e.issue(ctx, issuing{
		due: func(ctx context.Context, after catalog.ErasureCursor) (rows []catalog.ErasureRow, err error) {
			if rows, err = e.Catalog.ToCertify(ctx, t, e.Drain, after, certifyBatch); err == nil {
				took, err = e.Catalog.EpochsOf(ctx, t, rows)
			}
			if err == nil {
				forbidden, err = e.alive(ctx, t, rows)
			}
			return rows, err
		},
		one: func(ctx context.Context, row catalog.ErasureRow) ([]byte, string, error) {
			if err := forbidden[row.ID]; err != nil {
				return nil, "", err
			}
			signed, err := e.certifyOne(ctx, row, took[row.ID], &known)
			return signed, "erasure.certified", err
		},
		end: func(ctx context.Context, all []catalog.Certificate) error { return e.Catalog.Certify(ctx, t, all) },
	})
	return err
}

// issue issues what is due, and reports whether that was as much as one pass does. One
// that fails holds up no other, in this pass or the next.
func (e *Eraser) issue(ctx context.Context, how issuing) (more bool, failed error) {
	var after catalog.ErasureCursor
	for issued := 0; issued < certifyMost; {
		rows, err := how.due(ctx, after)
		if err == nil && len(rows) > 0 {
			_, err = e.signing(ctx) // nothing is done for one that could not be kept
		}
		if err != nil || len(rows) == 0 {
			return false, errors.Join(failed, err)
		}
		made, err := e.issueEach(ctx, rows, how)
		if failed == nil { // those of one batch say enough
			failed = err
		}
		// gofail: var certificateFollow string
		// return false, failpoint(certificateFollow)
		if err := how.end(ctx, made); err != nil {
			return false, errors.Join(failed, err)
		}
		e.counts.certificates.Add(uint64(len(made)))
		issued += len(made)
		after = rows[len(rows)-1].Cursor()
	}
	return true, failed
}

func (e *Eraser) issueEach(ctx context.Context, rows []catalog.ErasureRow, how issuing) (made []catalog.Certificate, err error) {
	all, failed := make([]catalog.Certificate, len(rows)), make([]error, len(rows))
	var issuing errgroup.Group // each one's failure is its own
	issuing.SetLimit(certifyAtOnce)
	for i, row := range rows {
		issuing.Go(func() error {
			failed[i] = fault.Contain(func() (err error) {
				all[i], err = certificate(ctx, row, how)
				return err
			})
			return nil
		})
	}
	issuing.Wait() // none fails it
	for i, f := range failed {
		if f != nil {
			err = errors.Join(err, fmt.Errorf("certify erasure %v: %w", rows[i].ID, f))
			continue
		}
		if all[i].Signed != nil {
			made = append(made, all[i])
		}
	}
	return made, err
}

// certificate issues one, with the event that tells of it.
func certificate(ctx context.Context, row catalog.ErasureRow, how issuing) (c catalog.Certificate, err error) {
	signed, action, err := how.one(ctx, row)
	if err != nil {
		return c, err
	}
	event, err := told(row.Tenant, action)
	return catalog.Certificate{ID: row.ID, Signed: signed, Event: event}, err
}

// told is the event that tells of a certificate.
func told(t recording.Tenant, action string) (audit.Record, error) {
	return audit.Seal(keytree.Key{}, audit.Event{Tenant: t, At: now(), Who: "lethe", Action: action, Outcome: audit.Allowed})
}

func (e *Eraser) certifyOne(ctx context.Context, row catalog.ErasureRow, took []catalog.EpochRow, known *epochs) (_ []byte, err error) {
	epochs := make([]claim.Epoch, len(took))
	for i, r := range took {
		if epochs[i], err = e.epoch(ctx, r, known); err != nil {
			return nil, err
		}
	}
	if row.Scope == catalog.ScopeSubject || row.Scope == catalog.ScopeDay { // not all that lies below is settled yet
		if row.Versions, err = e.Catalog.Unreadable(ctx, row.Tenant, row.ID); err != nil {
			return nil, err
		}
	}
	signed, err := e.Signer.Sign(statement(row, epochs))
	if err != nil {
		return nil, err
	}
	return e.keepFirst(ctx, row, signed)
}

// keepFirst is keep of the certificate that is issued first.
func (e *Eraser) keepFirst(ctx context.Context, row catalog.ErasureRow, signed []byte) ([]byte, error) {
	return e.keep(ctx, CertificateKey(row.Tenant, row.ID), signed, func(of *claim.Erasure) bool {
		return of.ID == row.ID.String() && of.Replaces == ""
	})
}

// keep makes a certificate durable in the store. There is one of each kind: if an
// earlier try has made it, that is it, unless it is not ours.
func (e *Eraser) keep(ctx context.Context, key string, signed []byte, ours func(*claim.Erasure) bool) ([]byte, error) {
	// gofail: var certificateCreate string
	// return nil, failpoint(certificateCreate)
	err := e.Blobs.Create(ctx, key, bytes.NewReader(signed), int64(len(signed)))
	if !errors.Is(err, fs.ErrExist) {
		return signed, err
	}
	known, err := e.signing(ctx)
	if err != nil {
		return nil, err
	}
	made, err := e.following().read(ctx, key, maxCertificate)
	if err != nil {
		return nil, err
	}
	if of, err := known.verify(made); err != nil || !ours(of) {
		return nil, errors.Join(fmt.Errorf("%w: the certificate in the store, %s, is not ours", recording.ErrIncident, key), err)
	}
	return made, nil
}

// unlink issues the second certificates of a tenant's erasures whose generation of blind
// indexes is forgotten, and reports whether more are left than one pass does.
func (e *Eraser) unlink(ctx context.Context, t recording.Tenant) (more bool, err error) {
	forgotten, err := e.Catalog.Unlinkable(ctx, t)
	if err != nil {
		return false, err
	}
	for _, g := range forgotten {
		left, failed := e.issue(ctx, issuing{
			due: func(ctx context.Context, after catalog.ErasureCursor) ([]catalog.ErasureRow, error) {
				return e.Catalog.ToUnlink(ctx, t, g.Generation, after, certifyBatch)
			},
			one: func(ctx context.Context, row catalog.ErasureRow) ([]byte, string, error) {
				signed, err := e.unlinkOne(ctx, row, g.ForgottenAt)
				return signed, "erasure.unlinkable", err
			},
			end: func(ctx context.Context, all []catalog.Certificate) error {
				return e.Catalog.Unlink(ctx, t, g.ForgottenAt, all)
			},
		})
		more, err = more || left, errors.Join(err, failed)
	}
	return more, err
}

// unlinkOne issues a certificate again, with the date from which the erasure is
// unlinkable. The first stays where it is.
func (e *Eraser) unlinkOne(ctx context.Context, row catalog.ErasureRow, at time.Time) ([]byte, error) {
	known, err := e.signing(ctx)
	if err != nil {
		return nil, err
	}
	first, err := known.verify(row.Certificate)
	if err != nil {
		return nil, fmt.Errorf("%w: the catalog's certificate is not ours: %w", recording.ErrIncident, err)
	}
	signed, err := e.Signer.Reissue(first, now(), at)
	if err != nil {
		return nil, err
	}
	return e.keep(ctx, UnlinkableKey(row.Tenant, row.ID), signed, func(of *claim.Erasure) bool {
		return of.ID == first.ID && of.Replaces == first.Sum()
	})
}

// statement is what a certificate says, but for what is the same in all.
func statement(row catalog.ErasureRow, epochs []claim.Epoch) claim.Erasure {
	at := now()
	return claim.Erasure{
		ID: row.ID.String(), Tenant: row.Tenant.String(), Issued: at,
		Scope:    claim.Committed{Kind: claim.Kind(row.Scope), Commitment: hex.EncodeToString(row.Commitment)},
		Request:  claim.Request{Requester: row.Who, Reason: row.Reason},
		Provider: claim.Provider{Key: string(keytree.RootOf(row.Tenant))},
		Epochs:   epochs,
		Verification: []claim.Check{
			{Check: claim.HeadInStore}, {Check: claim.HeadInCatalog}, {Check: claim.OldestVersion},
			{Check: claim.OldRootRefused, Answer: claim.Forgotten}, {Check: claim.LeasesDrained},
		},
		Counts: claim.Counts{Unreadable: row.Versions, Refiled: row.Refiled},
		Dates:  claim.Dates{Refused: row.AskedAt, Effective: at},
	}
}

// epochs are those that were looked at in this pass.
type epochs struct {
	mu sync.Mutex // guards of
	of map[int64]toldEpoch
}

// toldEpoch is what there is to tell of an epoch, or why that is nothing.
type toldEpoch struct {
	claim.Epoch
	error
}

// epoch is readEpoch, once for all erasures that have it.
func (e *Eraser) epoch(ctx context.Context, row catalog.EpochRow, known *epochs) (claim.Epoch, error) {
	known.mu.Lock()
	defer known.mu.Unlock()
	told, ok := known.of[row.Epoch]
	if !ok {
		told.Epoch, told.error = e.readEpoch(ctx, row)
		known.of[row.Epoch] = told
	}
	return told.Epoch, told.error
}

// readEpoch tells of an epoch by what the store has of it.
func (e *Eraser) readEpoch(ctx context.Context, row catalog.EpochRow) (claim.Epoch, error) {
	after, err := keytree.ReadHead(ctx, e.Blobs, row.Tenant, uint64(row.Epoch))
	if err != nil {
		return claim.Epoch{}, err
	}
	before, err := e.headBefore(ctx, after)
	if err != nil {
		return claim.Epoch{}, err
	}
	pack, err := keytree.ReadPack(ctx, e.Blobs, after)
	if err != nil {
		return claim.Epoch{}, err
	}
	return claim.Epoch{
		Before: int64(before.Epoch), After: int64(after.Epoch),
		HeadBefore: sum(before.Marshal()), HeadAfter: sum(after.Marshal()),
		OldRoot: sum(before.Wrapped), OldRootPrefix: wrappedPrefix(before.Wrapped),
		Pack: hex.EncodeToString(after.PackSum[:]), Punctured: count(pack.Slots),
		Key: claim.Versions{
			Before: int64(before.Version), After: int64(after.Version),
			OldestBefore: row.OldestBefore, OldestAfter: row.OldestAfter,
		},
	}, nil
}

// headBefore is the head before another. A recovery passes over what stands in the place
// of one and is none of ours.
func (e *Eraser) headBefore(ctx context.Context, after keytree.Head) (before keytree.Head, err error) {
	for back := 1; uint64(back) <= after.Epoch; back++ {
		before, err = keytree.ReadHead(ctx, e.Blobs, after.Tenant, after.Epoch-uint64(back))
		ours := err == nil && before.Version == after.Version-back // each epoch takes the next
		if ours || err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, keytree.ErrHead) {
			return before, err
		}
	}
	return before, fmt.Errorf("%w: %v has no head before that of epoch %d", recording.ErrIncident, after.Tenant, after.Epoch)
}

func count(slots []keytree.Slot) (p claim.Punctured) {
	of := map[keytree.Tree]*int64{
		keytree.Recordings: &p.Recordings, keytree.Subjects: &p.Subjects, keytree.Days: &p.Days, keytree.System: &p.System,
	}
	for _, s := range slots {
		*of[s.Tree]++
	}
	return p
}

// wrappedPrefix is what says under which version Vault wrapped a root, "" where
// another provider did.
func wrappedPrefix(wrapped []byte) string {
	parts := strings.SplitN(string(wrapped), ":", 3)
	if len(parts) < 3 || parts[0] != "vault" {
		return ""
	}
	return parts[0] + ":" + parts[1] + ":"
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// now is the time as the catalog keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
