package catalog

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// Hold keeps a recording, or all that tells of a subject, from being erased.
type Hold struct {
	ID        recording.HoldID
	Recording recording.ID // zero if it is of a subject
	Subject   Index        // the subject's term; zero if it is of a recording
	Older     Index        // while rows move: by the generation that they leave
	Slot      int64        // of the recordings tree, under whose key it is sealed; forgotten with the hold
	Sealed    []byte
	Who       string
	CreatedAt time.Time
}

const (
	holdColumns = `h.id, h.recording, h.subject_index, h.older_index, h.slot, h.sealed, h.who, h.created_at`
	selectHolds = `SELECT ` + holdColumns + ` FROM holds h WHERE h.tenant = $1 ORDER BY h.created_at, h.id`
	selectHold  = `SELECT ` + holdColumns + ` FROM holds h WHERE h.tenant = $1 AND h.id = $2`
)

func (h *Hold) columns() []any {
	return []any{fixed(h.ID[:]), fixed(h.Recording[:]), fixed(h.Subject[:]), fixed(h.Older[:]), &h.Slot, &h.Sealed, &h.Who, moment{&h.CreatedAt}}
}

// Holds gives a tenant's holds, oldest first.
func (c *Catalog) Holds(ctx context.Context, tenant recording.Tenant) ([]Hold, error) {
	h, err := all[Hold](ctx, c.read("Holds"), selectHolds, tenant[:])
	return h, explain(ctx, err)
}

// Hold finds one of a tenant's holds. ErrNoHold: there is none.
func (c *Catalog) Hold(ctx context.Context, tenant recording.Tenant, id recording.HoldID) (Hold, error) {
	h, err := get[Hold](ctx, c.read("Hold"), recording.ErrNoHold, selectHold, tenant[:], id[:])
	return h, explain(ctx, err)
}

func (ch Change) putHold(ctx context.Context, tx *sql.Tx) error {
	if ch.Hold == nil {
		return nil
	}
	h := ch.Hold
	var of []byte
	if h.Subject == (Index{}) {
		of = h.Recording[:]
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO holds (id, tenant, recording, subject_index, older_index, slot, sealed, who, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		h.ID[:], ch.Tenant[:], of, h.Subject.orNull(), h.Older.orNull(), h.Slot, h.Sealed, h.Who, h.CreatedAt.UnixMicro())
	if err != nil {
		return err
	}
	// Whatever erases or replaces writes a tombstone, after having looked for holds. To
	// read those that wait makes PostgreSQL undo one that saw no hold and ends later.
	_, err = get[count](ctx, tx, recording.ErrNotFound, `SELECT count(*) FROM punctures p WHERE p.tenant = $1 AND p.epoch IS NULL`, ch.Tenant[:])
	return err
}

// release ends a hold, and makes a scrap of the slot that it is sealed under.
func (d dialect) release(ctx context.Context, tx *sql.Tx, ch Change) error {
	if ch.Released == nil {
		return nil
	}
	const which = ` FROM holds WHERE tenant = $1 AND id = $2`
	_, err := tx.ExecContext(ctx, intoPunctures+`SELECT tenant, 1, slot, NULL, NULL, `+d.now+`, NULL`+which+` ON CONFLICT DO NOTHING`,
		ch.Tenant[:], ch.Released[:])
	if err == nil {
		_, err = tx.ExecContext(ctx, `DELETE`+which, ch.Tenant[:], ch.Released[:])
	}
	return err
}

// isHeld is the condition that a hold bears on a row of versions.
const isHeld = `(EXISTS (SELECT 1 FROM holds h WHERE h.recording = v.recording AND h.tenant = v.tenant)
	OR EXISTS (SELECT 1 FROM terms q JOIN holds h ON h.subject_index = q.term AND h.tenant = q.tenant WHERE q.version = v.version)
	OR EXISTS (SELECT 1 FROM terms q JOIN holds h ON h.older_index = q.term AND h.tenant = q.tenant WHERE q.version = v.version))`

// holdsOn gives the holds that bear on versions, oldest first of each hundred.
func (d dialect) holdsOn(ctx context.Context, tx *sql.Tx, versions []Version) (out []Hold, err error) {
	for len(versions) > 0 {
		some := versions[:min(len(versions), maxRows)]
		versions = versions[len(some):]
		in, args := versionList(some)
		held, err := all[Hold](ctx, tx, strings.ReplaceAll(selectHoldsOn, "$IN", in), args...)
		if err != nil {
			return nil, err
		}
		out = append(out, held...)
	}
	return out, nil
}

const selectHoldsOn = `SELECT ` + holdColumns + ` FROM holds h WHERE h.id IN (
	SELECT r.id FROM versions v JOIN holds r ON r.recording = v.recording AND r.tenant = v.tenant WHERE v.version IN $IN
	UNION SELECT r.id FROM terms q JOIN holds r ON r.subject_index = q.term AND r.tenant = q.tenant WHERE q.version IN $IN
	UNION SELECT r.id FROM terms q JOIN holds r ON r.older_index = q.term AND r.tenant = q.tenant WHERE q.version IN $IN)
	ORDER BY h.created_at, h.id`

const selectHoldsOfSubject = `SELECT ` + holdColumns + ` FROM holds h WHERE h.subject_index = $1 AND h.tenant = $2 ORDER BY h.created_at, h.id`

// What is held below a subject or a day goes by the holds, of which there are few:
// SQLite joins crosswise from left to right alone.
var (
	heldVersions = `SELECT ` + versionColumns + ` FROM (
		SELECT c.version FROM holds h CROSS JOIN versions c WHERE h.tenant = $1 AND c.recording = h.recording AND c.tenant = h.tenant
		UNION SELECT q.version FROM holds h CROSS JOIN terms q WHERE h.tenant = $1 AND q.term = h.subject_index AND q.tenant = h.tenant
		UNION SELECT q.version FROM holds h CROSS JOIN terms q WHERE h.tenant = $1 AND h.older_index IS NOT NULL
			AND q.term = h.older_index AND q.tenant = h.tenant) k
		CROSS JOIN versions v
		WHERE v.version = k.version AND v.state = 'committed' AND ` + notBuried
	selectHeldSubject = heldVersions + ` AND v.slot_subject = $2 ORDER BY v.version LIMIT $3`
	selectHeldDay     = heldVersions + ` AND v.slot_day = $2 ORDER BY v.version LIMIT $3`
)

// selectHeldBelow is the query of what is held below a slot of a subject or a day.
func selectHeldBelow(tree int64) string {
	if tree == TreeSubjects {
		return selectHeldSubject
	}
	return selectHeldDay
}

// HeldBelow gives versions below the slot of a subject or a day on which holds
// bear, at most limit of them.
func (c *Catalog) HeldBelow(ctx context.Context, tenant recording.Tenant, s Slot, limit int) ([]Version, error) {
	v, err := all[Version](ctx, c.read("HeldBelow"), selectHeldBelow(s.Tree), tenant[:], s.Number, limit)
	return v, explain(ctx, err)
}
