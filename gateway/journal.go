package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// An entry is one change of a tenant's settings. Entries are numbered from 1
// without a gap; each is sealed under the tenant's settings key and created
// exclusively in the store before the catalog follows, so the catalog can be
// rebuilt from them. It carries the event that explains it, so that whoever
// lets the catalog follow writes that too. One of the pointers, or State, is set.
type entry struct {
	At     time.Time           `json:"at"`
	Event  audit.Record        `json:"event"`
	Tenant *tenantEntry        `json:"tenant,omitempty"` // the first entry of every tenant
	State  catalog.TenantState `json:"state,omitempty"`
	Erase  *eraseEntry         `json:"erase,omitempty"` // with the state that asks for it
	Bucket *bucketEntry        `json:"bucket,omitempty"`

	DeletedBucket *recording.BucketID `json:"deleted_bucket,omitempty"` // it was closed before
	Key           *keyEntry           `json:"key,omitempty"`
	Hold          *holdEntry          `json:"hold,omitempty"`
	Generation    uint32              `json:"generation,omitempty"` // of blind indexes, that rows are to leave
	ReleasedHold  *recording.HoldID   `json:"released_hold,omitempty"`
}

type tenantEntry struct {
	Name  string   `json:"name"`
	Admin [32]byte `json:"admin"` // SHA-256 of the admin token
}

type eraseEntry struct {
	Reason     string `json:"reason"`
	Commitment []byte `json:"commitment"`
}

type bucketEntry struct {
	ID       recording.BucketID `json:"id"`
	Settings BucketSettings     `json:"settings"`
}

type keyEntry struct {
	AccessKey string      `json:"access_key"`
	Secret    string      `json:"secret"`
	Kind      policy.Kind `json:"kind"`
	Name      string      `json:"name,omitempty"`
	Bucket    string      `json:"bucket"`
	Prefix    string      `json:"prefix,omitempty"`
	Purpose   string      `json:"purpose,omitempty"`
	Write     bool        `json:"write,omitempty"`
}

// maxEntry bounds a sealed entry, so that each can be read back whole.
const maxEntry = 64 << 10

// journalTries bounds how often another replica may come first.
const journalTries = 8

// change makes an entry durable in the store, then lets the catalog follow,
// together with the event that explains it. Whether the entry may be made is
// decided on the state that the entries before it left: were another to come
// between, its number would be taken. So every durable entry can be applied.
//
// When it fails, its entry may be durable nevertheless: then the change is
// made, and the tenant's next request here lets the catalog follow first.
func (g *Gateway) change(ctx context.Context, s scope, e entry, event audit.Event) (err error) {
	if e.Event, err = s.seal(ctx, event); err != nil {
		return err
	}
	for range journalTries {
		if err := g.admissible(ctx, s, e); err != nil {
			return err
		}
		sequence := s.tenant.Journal + 1
		err := g.journal(ctx, s, sequence, e)
		if errors.Is(err, fs.ErrExist) { // another replica was first, or one died here
			if err := g.rollForward(ctx, &s.tenant); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = g.apply(ctx, s, sequence, e)
		}
		if errors.Is(err, catalog.ErrStage) { // with other indexes it is applied
			err = g.rollForward(ctx, &s.tenant)
		}
		// gofail: var journalApplied string
		// err = failpoint(journalApplied)
		if err != nil {
			g.current.Delete(s.tenant.ID)
		}
		return err
	}
	return fmt.Errorf("%w: settings of %v change too fast", recording.ErrUnavailable, s.tenant.ID)
}

// admissible decides whether e may follow what the catalog holds.
func (g *Gateway) admissible(ctx context.Context, s scope, e entry) error {
	if err := s.tenant.State.Err(); err != nil && (e.State == "" || err == recording.ErrTenantErased) {
		return err // the entry that asks for an erasure is the last
	}
	switch {
	case e.Bucket != nil:
		return g.nameIsFree(ctx, s, e.Bucket.Settings.Name)
	case e.Key != nil && e.Key.Bucket != policy.AnyBucket:
		_, err := g.bucket(ctx, s, recording.Bucket(e.Key.Bucket))
		return err
	case e.Generation != 0:
		return g.mayLeave(ctx, s, e.Generation)
	case e.State == catalog.TenantErasing:
		holds, err := g.catalog.Holds(ctx, s.tenant.ID)
		if err != nil {
			return unavailable(err)
		}
		return erasable(holds)
	}
	return nil
}

// nameIsFree reports recording.ErrBucketExists or ErrBucketClosing unless no
// bucket has the name.
func (g *Gateway) nameIsFree(ctx context.Context, s scope, name recording.Bucket) error {
	row, err := g.bucketRow(ctx, s, name)
	switch {
	case errors.Is(err, recording.ErrNoBucket):
		return nil
	case err != nil:
		return err
	case row.Closing:
		return recording.ErrBucketClosing
	}
	return recording.ErrBucketExists
}

// journal creates one entry exclusively.
func (g *Gateway) journal(ctx context.Context, s scope, sequence int64, e entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode journal entry: %w", err)
	}
	key, err := s.keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return err
	}
	sealed, err := keytree.Seal(key, keytree.LabelJournal, keytree.JournalBind(s.tenant.ID, sequence), b)
	if err != nil {
		return err
	}
	if len(sealed) > maxEntry {
		return fmt.Errorf("journal entry of %d bytes: %w", len(sealed), recording.ErrSettings)
	}
	// gofail: var journalWrite string
	// return failpoint(journalWrite)
	return unavailable(g.blobs.Create(ctx, keytree.JournalKey(s.tenant.ID, sequence), bytes.NewReader(sealed), int64(len(sealed))))
}

// rollForward applies entries that the store has and the catalog has not.
func (g *Gateway) rollForward(ctx context.Context, t *catalog.Tenant) error {
	for {
		fresh, err := g.catalog.Tenant(ctx, t.ID)
		if err != nil {
			return unavailable(err)
		}
		*t = fresh
		sequence := t.Journal + 1
		sealed, err := g.readEntry(ctx, t.ID, sequence)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return unavailable(err)
		}
		if err := g.replay(ctx, *t, sequence, sealed); err != nil && !errors.Is(err, catalog.ErrStage) {
			return err
		}
	}
}

func (g *Gateway) readEntry(ctx context.Context, t recording.Tenant, sequence int64) ([]byte, error) {
	return sealedEntry(ctx, g.blobs, t, sequence)
}

// sealedEntry reads one entry from a store.
func sealedEntry(ctx context.Context, s blob.Store, t recording.Tenant, sequence int64) ([]byte, error) {
	body, err := s.Open(ctx, keytree.JournalKey(t, sequence), 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read journal entry %d of %v: %w", sequence, t, err)
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxEntry))
}

// replay applies one sealed entry.
func (g *Gateway) replay(ctx context.Context, t catalog.Tenant, sequence int64, sealed []byte) error {
	keys, err := g.keys(ctx, &t)
	if err != nil {
		return err
	}
	defer keys.Clear()
	e, err := openEntry(ctx, keys, t.ID, sequence, sealed)
	if err != nil {
		return err
	}
	s, err := g.indexed(ctx, t, keys)
	if err != nil {
		return err
	}
	return g.apply(ctx, s, sequence, e)
}

// openEntry unseals one entry. One that does not open was not made by us.
func openEntry(ctx context.Context, keys *keytree.Keys, t recording.Tenant, sequence int64, sealed []byte) (e entry, err error) {
	key, err := keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return e, err
	}
	b, err := keytree.Open(key, keytree.LabelJournal, keytree.JournalBind(t, sequence), sealed)
	if err != nil {
		return e, fmt.Errorf("%w: journal entry %d of %v: %w", recording.ErrIncident, sequence, t, err)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("%w: journal entry %d of %v is malformed", recording.ErrIncident, sequence, t)
	}
	return e, nil
}

// apply lets the catalog follow one durable entry; applying it again changes
// nothing.
func (g *Gateway) apply(ctx context.Context, s scope, sequence int64, e entry) error {
	// gofail: var journalApply string
	// return failpoint(journalApply)
	change, err := s.rows(ctx, sequence, e)
	if err != nil {
		return err
	}
	change.Tenant, change.Sequence, change.Stage, change.Events = s.tenant.ID, sequence, s.tenant.Stage, []audit.Record{e.Event}
	return unavailable(g.catalog.Apply(ctx, change))
}

// rows gives what an entry is in the catalog, sealed and indexed.
func (s scope) rows(ctx context.Context, sequence int64, e entry) (catalog.Change, error) {
	switch {
	case e.Tenant != nil:
		return s.tenantRows(ctx, e)
	case e.State != "":
		return catalog.Change{State: e.State, Erasure: s.ownErasure(e)}, nil
	case e.Bucket != nil:
		return s.bucketRow(ctx, e)
	case e.Key != nil:
		return s.keyRow(ctx, e)
	case e.Hold != nil:
		return s.holdRow(ctx, e)
	case e.Generation != 0:
		return catalog.Change{Announced: announced(e.Generation, sequence)}, nil
	case e.ReleasedHold != nil:
		return catalog.Change{Released: e.ReleasedHold}, nil
	case e.DeletedBucket != nil:
		return catalog.Change{Deleted: e.DeletedBucket}, nil
	}
	return catalog.Change{}, fmt.Errorf("%w: empty journal entry", recording.ErrIncident)
}
