package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// Part is one attempt at a part of an upload, or at the list of its parts:
//
//	intent → stored → residue
//	intent → residue
//
// An attempt that is stored drops the one before it. What is dropped is read by
// nobody: its row goes, and its blob is a Residue.
type Part struct {
	Blob      string // its key in the blob store
	Version   recording.Version
	Tenant    recording.Tenant
	Number    int64
	CreatedAt time.Time

	// Of a part that is stored.
	StoredSize int64  // bytes of the blob
	Sealed     []byte // its layout; nil once the upload is complete
}

// PartList is how an upload becomes one recording.
type PartList struct {
	Blob       string   // of the list; begun as a part
	StoredSize int64    // bytes of that blob
	Parts      []string // blobs of the parts that are on it
	Sealed     []byte   // the list itself
}

const partColumns = `v.blob, v.version, v.tenant, v.number, v.created_at, v.stored_size, v.sealed`

func (p *Part) columns() []any {
	return []any{&p.Blob, fixed(p.Version[:]), fixed(p.Tenant[:]), &p.Number, moment{&p.CreatedAt}, &p.StoredSize, &p.Sealed}
}

const selectParts = `SELECT ` + partColumns + ` FROM parts v WHERE v.tenant = $1 AND v.version = $2 AND v.state = $3 ORDER BY v.number, v.blob`

// storedPart is the state of a part beside Intended.
const storedPart VersionState = "stored"

// BeginPart records an attempt at a part, and the events that led to it, in
// one transaction. One that is recorded already is success, and changes nothing.
// ErrAborted: the upload is not open. ErrTenantRevoked, ErrTenantErased,
// ErrNoBucket, ErrTombstoned: nothing may be written there.
func (c *Catalog) BeginPart(ctx context.Context, p Part, events []audit.Record) error {
	return c.write(ctx, "BeginPart", func(ctx context.Context, tx *sql.Tx) error {
		added, err := change(ctx, tx, `INSERT INTO parts (blob, version, tenant, number, state, stored_size, created_at, seen_at)
			VALUES ($1, $2, $3, $4, $5, 0, $6, `+c.dialect.now+`) ON CONFLICT DO NOTHING`,
			p.Blob, p.Version[:], p.Tenant[:], p.Number, Intended, p.CreatedAt.UnixMicro())
		if err != nil || added == 0 {
			return err
		}
		if err := p.mayGoOn(ctx, tx); err != nil {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
}

// mayGoOn reports why nothing more may be written for the part's upload.
func (p Part) mayGoOn(ctx context.Context, tx *sql.Tx) error {
	o, err := get[openRow](ctx, tx, ErrAborted, selectOpen, p.Tenant[:], p.Version[:])
	if err != nil {
		return err
	}
	return o.err()
}

// partState is the state of an attempt.
type partState struct{ VersionState }

func (s *partState) columns() []any { return []any{&s.VersionState} }

const selectPartState = `SELECT v.state FROM parts v WHERE v.tenant = $1 AND v.blob = $2`

// StorePart makes an attempt the part of its number, drops the one before, and
// reports whether there was one. One that was stored before is success, and
// changes nothing. ErrAborted: the upload is not open any more. ErrDropped: it is,
// but the attempt was dropped before. Other errors are those of BeginPart.
func (c *Catalog) StorePart(ctx context.Context, p Part) (replaced bool, err error) {
	err = c.write(ctx, "StorePart", func(ctx context.Context, tx *sql.Tx) error {
		replaced = false
		is, err := get[partState](ctx, tx, ErrDropped, selectPartState+c.dialect.forUpdate, p.Tenant[:], p.Blob)
		if err == nil && is.VersionState == storedPart {
			return nil
		}
		if err != nil && !errors.Is(err, ErrDropped) {
			return err
		}
		if ended := p.mayGoOn(ctx, tx); ended != nil {
			return ended
		}
		if err != nil {
			return err
		}
		dropped, err := c.dialect.dropParts(ctx, tx, `version = $1 AND number = $2 AND state = 'stored'`, p.Version[:], p.Number)
		if err != nil {
			return err
		}
		replaced = dropped > 0
		_, err = tx.ExecContext(ctx, `UPDATE parts SET state = 'stored', stored_size = $1, sealed = $2 WHERE blob = $3`,
			p.StoredSize, p.Sealed, p.Blob)
		return err
	})
	return replaced, err
}

// DropPart gives up an attempt that was not stored. ErrCommitted: it was, and
// stays. ErrNotFound: there was no such attempt.
func (c *Catalog) DropPart(ctx context.Context, tenant recording.Tenant, blob string) error {
	return c.write(ctx, "DropPart", func(ctx context.Context, tx *sql.Tx) error {
		is, err := get[partState](ctx, tx, recording.ErrNotFound, selectPartState+c.dialect.forUpdate, tenant[:], blob)
		if errors.Is(err, recording.ErrNotFound) {
			_, err := get[Residue](ctx, tx, recording.ErrNotFound, selectResidue, tenant[:], blob)
			return err
		}
		if err != nil {
			return err
		}
		if is.VersionState == storedPart {
			return ErrCommitted
		}
		_, err = c.dialect.dropParts(ctx, tx, `blob = $1`, blob)
		return err
	})
}

// Parts gives the parts of a version that are stored, in the order of their
// numbers; of a recording, its list is the last.
func (c *Catalog) Parts(ctx context.Context, tenant recording.Tenant, version recording.Version) ([]Part, error) {
	p, err := all[Part](ctx, c.read("Parts"), selectReadableParts, tenant[:], version[:], storedPart)
	return p, explain(ctx, err)
}

// The parts and the list of what is not erased by its subject or its day.
var (
	selectReadableParts = `SELECT p.blob, p.version, p.tenant, p.number, p.created_at, p.stored_size, p.sealed
		FROM parts p JOIN versions v ON v.version = p.version
		WHERE p.tenant = $1 AND p.version = $2 AND p.state = $3 AND ` + notBuried + ` ORDER BY p.number, p.blob`
	selectPartList = `SELECT l.sealed FROM part_lists l JOIN versions v ON v.version = l.version
		WHERE l.tenant = $1 AND l.version = $2 AND ` + notBuried
)

type sealedList struct{ sealed []byte }

func (l *sealedList) columns() []any { return []any{&l.sealed} }

// PartList gives the list of a recording that came in parts. ErrNotFound: it
// came whole, or there is no such recording.
func (c *Catalog) PartList(ctx context.Context, tenant recording.Tenant, version recording.Version) ([]byte, error) {
	l, err := get[sealedList](ctx, c.read("PartList"), recording.ErrNotFound, selectPartList, tenant[:], version[:])
	return l.sealed, explain(ctx, err)
}

// ownList reports ErrAborted unless the upload was completed with this list.
func (cm Commit) ownList(ctx context.Context, tx *sql.Tx) error {
	if cm.List == nil {
		return nil
	}
	is, err := get[partState](ctx, tx, ErrAborted, selectPartState, cm.Tenant[:], cm.List.Blob)
	if err == nil && is.VersionState != storedPart {
		err = ErrAborted
	}
	return err
}

// keepParts ends an upload: the parts on its list stay, and no others.
func (cm Commit) keepParts(ctx context.Context, tx *sql.Tx, d dialect) error {
	if cm.List == nil {
		return nil
	}
	if err := cm.dropUnlisted(ctx, tx, d); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE parts SET sealed = NULL WHERE version = $1`, cm.Version[:]); err != nil {
		return err
	}
	stored, err := change(ctx, tx, `UPDATE parts SET state = 'stored', stored_size = $1
		WHERE version = $2 AND blob = $3 AND state = 'intent'`, cm.List.StoredSize, cm.Version[:], cm.List.Blob)
	if err != nil {
		return err
	}
	if stored != 1 {
		return fmt.Errorf("list: %w: %w", ErrParts, ErrDropped)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO part_lists (version, tenant, sealed) VALUES ($1, $2, $3)`,
		cm.Version[:], cm.Tenant[:], cm.List.Sealed)
	if err != nil {
		return err
	}
	return endUpload(ctx, tx, cm.Version)
}

// dropUnlisted drops the stored parts that the list lacks, and reports ErrParts
// if it has one that is not stored.
func (cm Commit) dropUnlisted(ctx context.Context, tx *sql.Tx, d dialect) error {
	stored, err := all[Part](ctx, tx, selectParts, cm.Tenant[:], cm.Version[:], storedPart)
	if err != nil {
		return err
	}
	listed := make(map[string]bool, len(cm.List.Parts))
	for _, blob := range cm.List.Parts {
		listed[blob] = true
	}
	for _, p := range stored {
		if listed[p.Blob] {
			delete(listed, p.Blob)
			continue
		}
		if _, err := d.dropParts(ctx, tx, `blob = $1`, p.Blob); err != nil {
			return err
		}
	}
	if len(listed) > 0 {
		return ErrParts
	}
	return nil
}
