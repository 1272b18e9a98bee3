package eraser

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// Statement is what the record of an erasure says, so that it can be made good
// whatever becomes of catalog and provider. Who holds the tenant's keys can read it
// for as long as the tenant lives, so it names nobody who was recorded.
type Statement struct {
	ID         recording.ErasureID `json:"id"`
	Scope      string              `json:"scope"`
	At         time.Time           `json:"at"`
	Who        string              `json:"who"`
	Reason     string              `json:"reason,omitempty"`
	Commitment []byte              `json:"commitment"`
	Slots      []StatedSlot        `json:"slots"`
	Versions   []recording.Version `json:"versions,omitempty"` // that it made unreadable one by one
}

// StatedSlot is a slot to be punctured.
type StatedSlot struct {
	Tree   int64 `json:"tree"`
	Number int64 `json:"slot"`
}

// StatementOf says what an erasure takes.
func StatementOf(r catalog.ErasureRow, slots []catalog.Slot, versions []recording.Version) Statement {
	s := Statement{ID: r.ID, Scope: r.Scope, At: r.AskedAt, Who: r.Who, Reason: r.Reason, Commitment: r.Commitment, Versions: versions}
	for _, slot := range slots {
		s.Slots = append(s.Slots, StatedSlot{slot.Tree, slot.Number})
	}
	return s
}

// RecordKey is the blob key of the record of an erasure that was asked for in an
// epoch. Those that are not punctured yet stand below the newest epochs.
func RecordKey(t recording.Tenant, base int64, id recording.ErasureID) string {
	return fmt.Sprintf("erasures/%v/%016x/%v", t, base, id)
}

func recordBind(t recording.Tenant, base int64, id recording.ErasureID) []byte {
	return append(binary.BigEndian.AppendUint64(t[:], uint64(base)), id[:]...)
}

// Seal seals a statement under the tenant's settings key.
func (s Statement) Seal(settings keytree.Key, t recording.Tenant, base int64) ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode record of erasure: %w", err)
	}
	return keytree.Seal(settings, keytree.LabelErasure, recordBind(t, base, s.ID), b)
}

// OpenRecord unseals a statement. One that does not open was not made by us.
func OpenRecord(settings keytree.Key, t recording.Tenant, base int64, id recording.ErasureID, sealed []byte) (s Statement, err error) {
	b, err := keytree.Open(settings, keytree.LabelErasure, recordBind(t, base, id), sealed)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil || s.ID != id {
		return Statement{}, fmt.Errorf("%w: record of erasure %v of %v: %w", recording.ErrIncident, id, t, err)
	}
	return s, nil
}

// Record makes the record of an erasure durable in the store, before anyone is told
// that the erasure is, and before anything is punctured for it.
func Record(ctx context.Context, s blob.Store, c *catalog.Catalog, row catalog.ErasureRow) error {
	// gofail: var erasureRecord string
	// return failpoint(erasureRecord)
	key := RecordKey(row.Tenant, row.Base, row.ID)
	err := s.Create(ctx, key, bytes.NewReader(row.Record), int64(len(row.Record)))
	if errors.Is(err, fs.ErrExist) {
		err = madeBefore(ctx, s, key, row.Record)
	}
	if err != nil {
		return fmt.Errorf("record erasure %v: %w", row.ID, err)
	}
	// gofail: var erasureRecorded string
	// return failpoint(erasureRecorded)
	return c.Recorded(ctx, row.Tenant, row.ID)
}

// madeBefore proves that the record in the store is the one that an earlier try has made.
func madeBefore(ctx context.Context, s blob.Store, key string, record []byte) error {
	there, err := Following{Blobs: s}.read(ctx, key, maxRecord)
	if err == nil && !bytes.Equal(there, record) {
		err = fmt.Errorf("%w: %s in the store is another; delete it", recording.ErrIncident, key)
	}
	return err
}
