package catalog

import (
	"context"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// VersionState is where a version stands in its life:
//
//	intent → committed → replaced → erased
//	         committed ───────────→ erased
//	intent → aborted
type VersionState string

// The states of a version.
const (
	Intended  VersionState = "intent"    // its upload runs, or was lost
	Committed VersionState = "committed" // it exists
	Aborted   VersionState = "aborted"   // it never existed; its blob may go
	Replaced  VersionState = "replaced"  // it existed until another took its name
	Erased    VersionState = "erased"    // it existed, and is found no more; its blob may go
)

// Intent announces a version before any of it is stored.
type Intent struct {
	Version   recording.Version
	Tenant    recording.Tenant
	Bucket    recording.BucketID
	Recording recording.ID
	Blob      string // its key in the blob store; "" if it comes in parts, which have their own
	Slots     Slots
	CreatedAt time.Time
	Stage     Stage // of the indexes by which the subject's slot was found

	// Of what comes whole, as its blob has them: while it comes nothing else says whose
	// it is.
	Wrapped, Facts []byte

	// Of what tells of several subjects: the erasure of any takes it. Of others Create
	// has them alone.
	Terms []Index
}

// Slots are the places of a version in its tenant's key trees.
type Slots struct{ Recording, Subject, Day int64 }

// Content is what is known of a version once its body has ended.
type Content struct {
	CommittedAt time.Time
	Name        Index // of bucket and name
	Directory   Index // of bucket and directory
	Size        int64 // bytes the recorder sent
	StoredSize  int64 // bytes of the blob
	Class       recording.Class
	WrappedDEK  []byte
	SealedFacts []byte
	SealedEnd   []byte
	Parts       int64 // how many it came in; 0 if it came whole
}

// Version is one version of a recording.
type Version struct {
	Intent
	State   VersionState
	Current bool // it is what its name stands for
	Content      // zero unless committed or replaced; of what comes whole there is wrap and facts
}

const versionColumns = `v.version, v.tenant, v.bucket, v.recording, v.blob,
	v.slot_recording, v.slot_subject, v.slot_day, v.created_at, v.state, v.is_current,
	v.committed_at, v.name_index, v.dir_index, v.size, v.stored_size,
	v.class, v.wrapped_dek, v.sealed_facts, v.sealed_end, v.parts`

func (v *Version) columns() []any {
	return []any{
		fixed(v.Version[:]), fixed(v.Tenant[:]), fixed(v.Bucket[:]), fixed(v.Recording[:]), orZero(&v.Blob),
		orZero(&v.Slots.Recording), orZero(&v.Slots.Subject), orZero(&v.Slots.Day), moment{&v.CreatedAt},
		orZero(&v.State), orZero(&v.Current),
		moment{&v.CommittedAt}, fixed(v.Name[:]), fixed(v.Directory[:]),
		orZero(&v.Size), orZero(&v.StoredSize),
		orZero(&v.Class), &v.WrappedDEK, &v.SealedFacts, &v.SealedEnd, orZero(&v.Parts),
	}
}

// isCurrent selects what listings and reads see. Its words are those of the
// partial indexes, which serve no other.
const isCurrent = `v.state = 'committed' AND v.is_current`

// Found is what stands under a name, with all that decides whether it may be
// served.
type Found struct {
	Tenant  Tenant
	Bucket  Bucket
	Version *Version // nil: nothing stands under the name
}

type foundRow struct {
	tenant  Tenant
	bucket  Bucket
	version Version
}

func (r *foundRow) columns() []any {
	return append(append(r.tenant.columns(), r.bucket.columns()...), r.version.columns()...)
}

var (
	selectFoundColumns = `SELECT ` + tenantColumns + `, ` + bucketColumns + `, ` + versionColumns + `
	FROM buckets b
	JOIN tenants t ON t.id = b.tenant`
	selectFound = selectFoundColumns + `
	LEFT JOIN versions v ON v.tenant = b.tenant AND v.bucket = b.bucket AND v.name_index = $1 AND ` + isCurrent + ` AND ` + notBuried + `
	WHERE b.tenant = $2 AND b.bucket_index = $3 AND NOT b.closing`
)

// Find looks up a name in one query. ErrNoBucket: there is no such bucket.
// The tenant may be in any state: its Err says whether it is served.
func (c *Catalog) Find(ctx context.Context, tenant recording.Tenant, bucket, name Index) (Found, error) {
	return c.found(ctx, "Find", selectFound, name[:], tenant[:], bucket[:])
}

func (c *Catalog) found(ctx context.Context, operation, query string, args ...any) (Found, error) {
	r, err := get[foundRow](ctx, c.read(operation), recording.ErrNoBucket, query, args...)
	if err != nil {
		return Found{}, explain(ctx, err)
	}
	found := Found{Tenant: r.tenant, Bucket: r.bucket}
	if r.version.State != "" {
		found.Version = &r.version
	}
	return found, nil
}

const selectVersion = `SELECT ` + versionColumns + ` FROM versions v WHERE v.tenant = $1 AND v.version = $2`

var selectSeen = `SELECT ` + versionColumns + `, ` + isBuried + ` FROM versions v WHERE v.tenant = $1 AND v.version = $2`

// Version finds a version in any state: Erased too if its subject or its day is.
// ErrNotFound: there is none.
func (c *Catalog) Version(ctx context.Context, tenant recording.Tenant, version recording.Version) (Version, error) {
	s, err := get[seen](ctx, c.read("Version"), recording.ErrNotFound, selectSeen, tenant[:], version[:])
	return s.version(), explain(ctx, err)
}

var selectKept = `SELECT ` + versionColumns + ` FROM versions v
	WHERE v.tenant = $1 AND v.recording = $2 AND v.state = 'committed' AND ` + notBuried + ` ORDER BY v.committed_at DESC, v.version DESC`

// Kept gives the versions of a recording that can be read, newest first.
func (c *Catalog) Kept(ctx context.Context, tenant recording.Tenant, id recording.ID) ([]Version, error) {
	v, err := all[Version](ctx, c.read("Kept"), selectKept, tenant[:], id[:])
	return v, explain(ctx, err)
}

var selectTerm = `SELECT ` + versionColumns + ` FROM terms s JOIN versions v ON v.version = s.version
	WHERE s.tenant = $1 AND s.term = $2 AND v.state = 'committed' AND ` + notBuried + ` ORDER BY v.committed_at, v.version`

// ByTerm gives the committed versions that were created with a term, current
// or not, oldest first.
func (c *Catalog) ByTerm(ctx context.Context, tenant recording.Tenant, term Index) ([]Version, error) {
	v, err := all[Version](ctx, c.read("ByTerm"), selectTerm, tenant[:], term[:])
	return v, explain(ctx, err)
}
