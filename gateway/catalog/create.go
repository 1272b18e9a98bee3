package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// Overwrite says what becomes of the version that has the name already.
type Overwrite string

// The ways to overwrite.
const (
	Never        Overwrite = "never"   // it stays, and the new one is refused
	KeepVersions Overwrite = "version" // it stays, but no longer current, if it is of the same recording
	Replace      Overwrite = "replace" // it is replaced, and opens no more, if it is of the same recording; unless it is held: then as version
)

// Commit turns an intent into a recording.
type Commit struct {
	Tenant      recording.Tenant
	Stage       Stage // of the indexes
	Version     recording.Version
	Overwrite   Overwrite
	Content     Content
	OlderName   Index       // while rows move: as Content.Name by the generation that they leave
	Directories []Directory // from the bucket down to Content.Directory
	Terms       []Index     // by which it can be found
	List        *PartList   // of an upload in parts; nil if it came whole
	Timeline    Timeline    // on which the catalog has every hold and filing that the store has
}

// Each ends after the database's clock. insertAllowed inserts only where the
// tenant is active, in the stage that its writer knew, and has the bucket, and no slot
// has a tombstone.
var (
	intoVersions = `INSERT INTO versions (version, tenant, bucket, recording, state, is_current, blob,
	slot_recording, slot_subject, slot_day, created_at, wrapped_dek, sealed_facts, seen_at) `
	insertIntent  = intoVersions + `VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, `
	insertOnce    = `) ON CONFLICT DO NOTHING`
	insertAllowed = intoVersions + `SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, `
	allowedOnce   = ` FROM tenants t JOIN buckets b ON b.tenant = t.id
	WHERE t.id = $2 AND t.state = 'active' AND b.bucket = $3 AND NOT b.closing AND ` + noneBuried("t.id", "$8", "$9", "$10") + ` AND t.index_stage = $14 ON CONFLICT DO NOTHING`
	selectBuried    = `SELECT ` + anyBuried("$1", "$2", "$3", "$4")
	selectDayBuried = `SELECT ` + buried("$1", TreeDays, "$2")
)

// Begin records an intent and the events that led to it, in one transaction.
// An intent that is recorded already is success, and changes nothing.
// ErrNoTenant, ErrTenantRevoked, ErrTenantErased, ErrNoBucket, ErrTombstoned,
// ErrDayTombstoned: nothing may be written. ErrStage: nor before its subject's slot was
// looked for again.
func (c *Catalog) Begin(ctx context.Context, in Intent, events []audit.Record) error {
	return c.write(ctx, "Begin", func(ctx context.Context, tx *sql.Tx) error {
		fresh, err := in.insert(ctx, tx, c.dialect)
		if err != nil || !fresh {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
}

// insert adds the intent, and reports whether it is new.
func (in Intent) insert(ctx context.Context, tx *sql.Tx, d dialect) (fresh bool, err error) {
	if fresh, err = in.insertRow(ctx, tx, d); err != nil || !fresh {
		return fresh, err
	}
	return true, insertTerms(ctx, tx, in.Tenant, in.Version, in.Terms)
}

// insertRow reports whether the intent is new. Mostly it is, and may be: then one
// statement does. What hinders another is looked for after the row is there, or
// was waited for.
func (in Intent) insertRow(ctx context.Context, tx *sql.Tx, d dialect) (fresh bool, err error) {
	if added, err := change(ctx, tx, insertAllowed+d.now+allowedOnce, append(in.row(), in.Stage)...); err != nil || added == 1 {
		return err == nil, err
	}
	added, err := change(ctx, tx, insertIntent+d.now+insertOnce, in.row()...)
	if err != nil || added == 0 {
		return false, err
	}
	t, err := get[Tenant](ctx, tx, recording.ErrNoTenant, selectTenant, in.Tenant[:])
	if err == nil {
		err = t.State.Err()
	}
	if err == nil && t.Stage != in.Stage {
		err = ErrStage
	}
	if err == nil {
		_, err = get[Bucket](ctx, tx, recording.ErrNoBucket, selectOpenBucket, in.Tenant[:], in.Bucket[:])
	}
	if err != nil {
		return true, err
	}
	day, err := get[yes](ctx, tx, recording.ErrNotFound, selectDayBuried, in.Tenant[:], in.Slots.Day)
	if err == nil && day.bool {
		err = ErrDayTombstoned
	}
	if err != nil {
		return true, err
	}
	slots, err := get[yes](ctx, tx, recording.ErrNotFound, selectBuried, in.Tenant[:], in.Slots.Recording, in.Slots.Subject, in.Slots.Day)
	if err == nil && slots.bool {
		err = ErrTombstoned
	}
	return true, err
}

func (in Intent) row() []any {
	return []any{in.Version[:], in.Tenant[:], in.Bucket[:], in.Recording[:],
		Intended, false, in.Blob, in.Slots.Recording, in.Slots.Subject, in.Slots.Day, in.CreatedAt.UnixMicro(), in.Wrapped, in.Facts}
}

// Create makes a recording exist: the one moment it does. In one transaction
// the intent becomes committed and current, its directories, terms and events
// are written, and what had the name is treated as cm.Overwrite says. Of an
// upload in parts, those on the list are kept, and all others dropped. A
// version that was committed before, of the same list if it has one, is success,
// and changes nothing.
//
// ErrAborted: the intent is not open. ErrTenantRevoked, ErrTenantErased,
// ErrNoBucket: nothing may be written there. ErrTombstoned: nor under its slots.
// ErrStage: its indexes are not those of the stage that the tenant is in. ErrExists:
// the name is taken, and Overwrite is Never. ErrMoved: the name stands for another
// recording, so what was begun as a version of this one cannot be its next. ErrParts:
// a part on the list is not stored any more. ErrUnavailable: nothing was written. ErrUnknown: the
// database was lost during COMMIT and could not be asked. Any other answer is
// the truth, even when the connection broke or ctx ended on the way.
//
// A Create that overlaps a revocation may count as before it and become visible
// after it. Whoever must see all that came before looks in a serializable
// transaction, which such a Create does not survive.
func (c *Catalog) Create(ctx context.Context, cm Commit, events []audit.Record) error {
	return c.observed(ctx, "Create", func(ctx context.Context) error {
		err := c.writeAgain(ctx, c.creation(cm, events, asItIs))
		if errors.Is(err, recording.ErrExists) {
			err = c.writeAgain(ctx, c.creation(cm, events, freed)) // what has the name may be erased
		}
		return err
	})
}

// naming says what Create does about the name before it takes it.
type naming bool

const (
	asItIs naming = false
	freed  naming = true
)

// creation is the transaction of Create.
func (c *Catalog) creation(cm Commit, events []audit.Record, n naming) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		if n == freed {
			if err := c.dialect.freeName(ctx, tx, cm.Tenant, cm.Content.Name); err != nil {
				return err
			}
		}
		if cm.Stage.Moving() {
			if err := adoptName(ctx, tx, cm.Tenant, cm.OlderName, cm.Content.Name, cm.Content.Directory); err != nil {
				return err
			}
		}
		bucket, err := cm.commitNew(ctx, tx)
		if errors.Is(err, errNotNew) {
			var done bool
			if bucket, done, err = c.commitAny(ctx, tx, cm); done {
				return err
			}
		}
		if err != nil {
			return err
		}
		if err := insertDirectories(ctx, tx, cm.Tenant, bucket, cm.Stage.Written(), cm.Directories); err != nil {
			return err
		}
		if err := insertTerms(ctx, tx, cm.Tenant, cm.Version, cm.Terms); err != nil {
			return err
		}
		return insertEvents(ctx, tx, events)
	}
}

var selectHolder = `SELECT ` + versionColumns + ` FROM versions v
	WHERE v.name_index = $1 AND v.tenant = $2 AND ` + isCurrent + ` AND ` + isBuried

// freeName takes a name from a version whose subject or day is erased.
func (d dialect) freeName(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, name Index) error {
	held, err := all[Version](ctx, tx, selectHolder+d.forUpdate, name[:], tenant[:])
	if err != nil {
		return err
	}
	return d.erase(ctx, tx, held)
}

// commitAny commits what may displace others, or have been committed before:
// then it is done.
func (c *Catalog) commitAny(ctx context.Context, tx *sql.Tx, cm Commit) (bucket recording.BucketID, done bool, err error) {
	o, err := c.openIntent(ctx, tx, cm)
	if err != nil {
		return bucket, false, err
	}
	if o.state != Intended {
		return bucket, true, cm.ownList(ctx, tx)
	}
	if err := c.dialect.freeName(ctx, tx, cm.Tenant, cm.Content.Name); err != nil {
		return bucket, false, err
	}
	if err := cm.displace(ctx, tx, c.dialect); err != nil {
		return bucket, false, err
	}
	if err := cm.commit(ctx, tx); err != nil {
		return bucket, false, err
	}
	return o.bucket, false, cm.keepParts(ctx, tx, c.dialect)
}

// openRow is a version to be committed, as Create finds it.
type openRow struct {
	state  VersionState
	tenant TenantState
	bucket recording.BucketID // zero: the tenant has none
	buried bool               // one of its slots
	stage  Stage
}

func (o *openRow) columns() []any {
	return []any{&o.state, &o.tenant, fixed(o.bucket[:]), &o.buried, &o.stage}
}

var selectOpen = `SELECT v.state, t.state, CASE WHEN b.tenant = v.tenant AND NOT b.closing THEN b.bucket END,
	` + anyBuried("v.tenant", "v.slot_recording", "v.slot_subject", "v.slot_day") + `, t.index_stage
	FROM versions v
	JOIN tenants t ON t.id = v.tenant
	LEFT JOIN buckets b ON b.bucket = v.bucket
	WHERE v.tenant = $1 AND v.version = $2`

// openIntent locks the version and checks that it may be committed. The state
// it reports is Intended, or one that says that it was committed before.
func (c *Catalog) openIntent(ctx context.Context, tx *sql.Tx, cm Commit) (openRow, error) {
	o, err := get[openRow](ctx, tx, ErrAborted, selectOpen+c.dialect.forUpdate, cm.Tenant[:], cm.Version[:])
	if err != nil || o.state == Committed || o.state == Replaced || o.state == Erased {
		return o, err
	}
	if err = o.err(); err == nil && o.stage != cm.Stage {
		err = ErrStage
	}
	return o, err
}

// err says why nothing more may be written for a version, nil if it is open.
func (o openRow) err() error {
	switch {
	case o.state != Intended:
		return ErrAborted
	case o.tenant.Err() != nil:
		return o.tenant.Err()
	case o.bucket == recording.BucketID{}:
		return recording.ErrNoBucket
	case o.buried:
		return ErrTombstoned
	}
	return nil
}

// displace makes room under the name. Never does not look whether there is
// room: the unique index of current versions decides, in commit.
//
// An upload in parts cannot be begun again, so it takes the name of whichever
// recording has it by now.
func (cm Commit) displace(ctx context.Context, tx *sql.Tx, d dialect) error {
	var query string
	args := []any{cm.Tenant[:], cm.Content.Name[:], cm.Version[:], cm.List != nil}
	switch cm.Overwrite {
	case Never:
		return nil
	case KeepVersions:
		query = `UPDATE versions AS v SET is_current = FALSE WHERE ` + displaced
	case Replace: // what is held is kept as a version
		if err := d.still(ctx, tx, cm.Timeline); err != nil {
			return err
		}
		query = `UPDATE versions AS v SET is_current = FALSE, state = CASE WHEN ` + isHeld + ` THEN v.state ELSE 'replaced' END WHERE ` + displaced
		if err := d.scrap(ctx, tx, displaced+` AND NOT `+isHeld, args...); err != nil {
			return err
		}
	default:
		return fmt.Errorf("catalog: overwrite %q is not one of its values", cm.Overwrite)
	}
	_, err := tx.ExecContext(ctx, query, args...)
	return err
}

const displaced = `v.tenant = $1 AND v.name_index = $2 AND v.state = 'committed' AND v.is_current
	AND (v.recording = (SELECT i.recording FROM versions i WHERE i.version = $3) OR $4)`

var (
	flipIntent = `UPDATE versions SET state = 'committed', is_current = TRUE,
		committed_at = $1, name_index = $2, dir_index = $3, size = $4, stored_size = $5,
		class = $6, wrapped_dek = $7, sealed_facts = $8, sealed_end = $9, parts = $10
		WHERE version = $11 AND tenant = $12 AND state = 'intent'`
	// flipAllowed flips only where the tenant is active, in the stage that its writer
	// knew, and has the bucket, and no slot has a tombstone.
	flipAllowed = flipIntent + ` AND EXISTS (
		SELECT 1 FROM tenants t JOIN buckets b ON b.tenant = t.id
		WHERE t.id = versions.tenant AND t.state = 'active' AND t.index_stage = $13 AND b.bucket = versions.bucket AND NOT b.closing)
		AND ` + noneBuried("versions.tenant", "versions.slot_recording", "versions.slot_subject", "versions.slot_day") + `
		RETURNING bucket`
)

func (cm Commit) flipArgs() []any {
	in := cm.Content
	return []any{in.CommittedAt.UnixMicro(), in.Name[:], in.Directory[:], in.Size, in.StoredSize,
		in.Class, in.WrappedDEK, in.SealedFacts, in.SealedEnd, in.Parts, cm.Version[:], cm.Tenant[:]}
}

// commit flips the intent.
func (cm Commit) commit(ctx context.Context, tx *sql.Tx) error {
	flipped, err := change(ctx, tx, flipIntent, cm.flipArgs()...)
	if err == nil && flipped != 1 {
		return ErrAborted
	}
	return cm.taken(err)
}

// errNotNew: commitNew has done nothing, and cannot say why.
var errNotNew = errors.New("catalog: not a new recording of its own")

// commitNew commits a recording that came whole and displaces none, as most
// do, in one statement, and gives its bucket.
func (cm Commit) commitNew(ctx context.Context, tx *sql.Tx) (recording.BucketID, error) {
	if cm.Overwrite != Never || cm.List != nil {
		return recording.BucketID{}, errNotNew
	}
	at, err := get[bucketRow](ctx, tx, errNotNew, flipAllowed, append(cm.flipArgs(), cm.Stage)...)
	return at.bucket, cm.taken(err)
}

type bucketRow struct{ bucket recording.BucketID }

func (r *bucketRow) columns() []any { return []any{fixed(r.bucket[:])} }

// taken says what it means that the name is taken.
func (cm Commit) taken(err error) error {
	switch {
	case nameTaken(err) && cm.Overwrite == Never:
		return recording.ErrExists
	case nameTaken(err):
		return ErrMoved
	}
	return err
}

func insertTerms(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, version recording.Version, terms []Index) error {
	var rows [][]any
	for _, term := range terms {
		rows = append(rows, []any{tenant[:], term[:], version[:]})
	}
	return insert(ctx, tx, intoTerms, rows)
}

// replaceTerms has a version be found by other terms than before.
func replaceTerms(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, version recording.Version, terms []Index) error {
	if err := dropTerms(ctx, tx, version); err != nil {
		return err
	}
	return insertTerms(ctx, tx, tenant, version, terms)
}

func dropTerms(ctx context.Context, tx *sql.Tx, version recording.Version) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM terms WHERE version = $1`, version[:])
	return err
}

const intoTerms = `terms (tenant, term, version)`

// Abort gives up an intent; from then on it cannot be committed, and its blob
// and its parts are residues. Aborting what is aborted is not an error. ErrCommitted: it was committed first, and stays.
// ErrNotFound: there was no such intent.
func (c *Catalog) Abort(ctx context.Context, tenant recording.Tenant, version recording.Version) error {
	return c.write(ctx, "Abort", func(ctx context.Context, tx *sql.Tx) error {
		flipped, err := change(ctx, tx, `UPDATE versions SET state = 'aborted', wrapped_dek = NULL, sealed_facts = NULL
			WHERE tenant = $1 AND version = $2 AND state = 'intent'`, tenant[:], version[:])
		if err != nil {
			return err
		}
		if flipped == 1 {
			return c.dialect.endAborted(ctx, tx, version)
		}
		v, err := get[Version](ctx, tx, recording.ErrNotFound, selectVersion, tenant[:], version[:])
		if err == nil && v.State != Aborted {
			return ErrCommitted
		}
		if err != nil {
			return err
		}
		return c.dialect.leaveBlob(ctx, tx, version, aboutAborted) // swept before its writer was done: it may have a blob by now
	})
}
