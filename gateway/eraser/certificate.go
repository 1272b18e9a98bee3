package eraser

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// CertificateKey is the blob key of the certificate of an erasure.
func CertificateKey(t recording.Tenant, id recording.ErasureID) string {
	return fmt.Sprintf("certificates/%v/%v", t, id)
}

// maxCertificate bounds a certificate that is read back.
const maxCertificate = 256 << 10

// certify ends a tenant's erasures that have drained: each gets its certificate,
// first in the store and then in the catalog. One that fails holds up no other.
func (e *Eraser) certify(ctx context.Context, t catalog.Tenant) error {
	due, _, err := e.Catalog.ToCertify(ctx, t.ID, e.Drain)
	if err != nil {
		return err
	}
	known := map[int64]claim.Epoch{}
	for _, row := range due {
		if failed := e.certifyOne(ctx, row, known); failed != nil {
			err = errors.Join(err, fmt.Errorf("certify erasure %v: %w", row.ID, failed))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

func (e *Eraser) certifyOne(ctx context.Context, row catalog.ErasureRow, known map[int64]claim.Epoch) error {
	rows, err := e.Catalog.EpochsOf(ctx, row.Tenant, row.ID)
	if err != nil {
		return err
	}
	epochs := make([]claim.Epoch, len(rows))
	for i, r := range rows {
		if epochs[i], err = e.epoch(ctx, r, known); err != nil {
			return err
		}
	}
	if row.Versions, err = e.Catalog.Unreadable(ctx, row.Tenant, row.ID); err != nil { // not all are settled yet
		return err
	}
	signed, err := e.Signer.Sign(statement(row, epochs))
	if err != nil {
		return err
	}
	// gofail: var certificateCreate string
	// return failpoint(certificateCreate)
	if signed, err = e.keep(ctx, row, signed); err != nil {
		return err
	}
	event, err := audit.Seal(keytree.Key{}, audit.Event{
		Tenant: row.Tenant, At: now(), Who: "lethe", Action: "erasure.certified", Outcome: audit.Allowed,
	})
	if err != nil {
		return err
	}
	// gofail: var certificateFollow string
	// return failpoint(certificateFollow)
	err = e.Catalog.Certify(ctx, row.Tenant, row.ID, signed, []audit.Record{event})
	if err == nil {
		e.counts.certificates.Add(1)
	}
	return err
}

// keep makes a certificate durable in the store. An erasure has one: if an earlier
// try has made it, that is it.
func (e *Eraser) keep(ctx context.Context, row catalog.ErasureRow, signed []byte) ([]byte, error) {
	key := CertificateKey(row.Tenant, row.ID)
	err := e.Blobs.Create(ctx, key, bytes.NewReader(signed), int64(len(signed)))
	if !errors.Is(err, fs.ErrExist) {
		return signed, err
	}
	body, err := e.Blobs.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	made, err := io.ReadAll(io.LimitReader(body, maxCertificate))
	if err != nil {
		return nil, err
	}
	if of, err := e.Signer.PublicKey().Verify(made); err != nil || of.ID != row.ID.String() {
		return nil, fmt.Errorf("%w: the certificate of erasure %v in the store is not ours", recording.ErrIncident, row.ID)
	}
	return made, nil
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

// epoch tells of an epoch by what the store has of it.
func (e *Eraser) epoch(ctx context.Context, row catalog.EpochRow, known map[int64]claim.Epoch) (claim.Epoch, error) {
	if told, ok := known[row.Epoch]; ok {
		return told, nil
	}
	before, err := keytree.ReadHead(ctx, e.Blobs, row.Tenant, uint64(row.Epoch)-1)
	if err != nil {
		return claim.Epoch{}, err
	}
	after, err := keytree.ReadHead(ctx, e.Blobs, row.Tenant, uint64(row.Epoch))
	if err != nil {
		return claim.Epoch{}, err
	}
	pack, err := keytree.ReadPack(ctx, e.Blobs, after)
	if err != nil {
		return claim.Epoch{}, err
	}
	told := claim.Epoch{
		Before: int64(before.Epoch), After: int64(after.Epoch),
		HeadBefore: sum(before.Marshal()), HeadAfter: sum(after.Marshal()),
		OldRoot: sum(before.Wrapped), OldRootPrefix: wrappedPrefix(before.Wrapped),
		Pack: hex.EncodeToString(after.PackSum[:]), Punctured: count(pack.Slots),
		Key: claim.Versions{
			Before: int64(before.Version), After: int64(after.Version),
			OldestBefore: row.OldestBefore, OldestAfter: row.OldestAfter,
		},
	}
	known[row.Epoch] = told
	return told, nil
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
