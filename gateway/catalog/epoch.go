package catalog

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// EpochRow is an epoch: a head that does not open what was punctured before it.
type EpochRow struct {
	Tenant       recording.Tenant
	Epoch        int64
	Version      int64 // of the provider's key, that its root is wrapped under
	Slots        int64 // how many it punctured
	CommittedAt  time.Time
	EffectiveAt  time.Time // zero before
	OldestBefore int64     // the provider's oldest version before and after what opened older heads was destroyed
	OldestAfter  int64
}

const (
	epochColumns = `o.tenant, o.epoch, o.version, o.slots, o.committed_at, o.effective_at, o.oldest_before, o.oldest_after`
	selectEpochs = `SELECT ` + epochColumns + ` FROM epochs o WHERE o.tenant = $1`
)

func (e *EpochRow) columns() []any {
	return []any{fixed(e.Tenant[:]), &e.Epoch, &e.Version, &e.Slots, moment{&e.CommittedAt}, moment{&e.EffectiveAt},
		orZero(&e.OldestBefore), orZero(&e.OldestAfter)}
}

// tenantRow is a tenant's id.
type tenantRow struct{ recording.Tenant }

func (r *tenantRow) columns() []any { return []any{fixed(r.Tenant[:])} }

func (d dialect) selectToPuncture() string {
	return `SELECT t.id FROM tenants t WHERE t.state IN ('active', 'revoked') AND t.id IN (
		SELECT e.tenant FROM erasures e WHERE e.state <> 'certified'
		UNION SELECT o.tenant FROM epochs o WHERE o.effective_at IS NULL
		UNION SELECT p.tenant FROM punctures p WHERE p.epoch IS NULL AND (p.erasure IS NOT NULL OR p.since < ` + d.now + ` - $1))
		ORDER BY t.id`
}

// TenantsToPuncture gives the tenants whose epochs have to be driven: those with
// erasures that are not certified, epochs that are not effective, or scraps that
// have waited for so long. An erased tenant has none.
func (c *Catalog) TenantsToPuncture(ctx context.Context, scrapAge time.Duration) ([]recording.Tenant, error) {
	rows, err := all[tenantRow](ctx, c.read("TenantsToPuncture"), c.dialect.selectToPuncture(), scrapAge.Microseconds())
	return tenantsOf(rows), explain(ctx, err)
}

func tenantsOf(rows []tenantRow) []recording.Tenant {
	out := make([]recording.Tenant, len(rows))
	for i, r := range rows {
		out[i] = r.Tenant
	}
	return out
}

// LeaseEpochs gives a tenant's epochs to a holder for a time, by the database's
// clock, and reports whether it did: not while another holds them. The same
// holder renews.
func (c *Catalog) LeaseEpochs(ctx context.Context, tenant recording.Tenant, holder [16]byte, d time.Duration) (leased bool, err error) {
	now := c.dialect.now
	err = c.write(ctx, "LeaseEpochs", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, `INSERT INTO epoch_leases (tenant, holder, ends) VALUES ($1, $2, `+now+` + $3)
			ON CONFLICT (tenant) DO UPDATE SET holder = excluded.holder, ends = excluded.ends
			WHERE epoch_leases.holder = excluded.holder OR epoch_leases.ends <= `+now, tenant[:], holder[:], d.Microseconds())
		leased = n == 1
		return err
	})
	return leased && err == nil, err
}

// LeaveEpochs ends a holder's lease, if it has it still.
func (c *Catalog) LeaveEpochs(ctx context.Context, tenant recording.Tenant, holder [16]byte) error {
	return c.write(ctx, "LeaveEpochs", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM epoch_leases WHERE tenant = $1 AND holder = $2`, tenant[:], holder[:])
		return err
	})
}

// Tombstone is a slot that is to be punctured, as its row says.
type Tombstone struct {
	Slot
	Erasure recording.ErasureID // zero of a scrap
}

func (t *Tombstone) columns() []any { return append(t.Slot.columns(), fixed(t.Erasure[:])) }

const (
	selectOpenSlots = `SELECT p.tree, p.slot, p.erasure FROM punctures p WHERE p.tenant = $1 AND p.epoch IS NULL
		ORDER BY p.since, p.tree, p.slot LIMIT $2`
	// The sum keeps SQLite from going through all erasures in the order of time. A tenant's
	// own erasure, which may be asked for while an epoch is made, has another record.
	selectUnrecorded = selectErasures + ` AND NOT e.recorded AND e.scope <> 'tenant' ORDER BY e.asked_at + 0, e.id`
)

// ToPuncture gives a tenant's slots that have a tombstone and are punctured by no
// epoch yet, oldest first, at most limit of them, and whether there are more; and
// every erasure whose record is not in the store, those of the slots among them, but for
// the tenant's own.
func (c *Catalog) ToPuncture(ctx context.Context, tenant recording.Tenant, limit int) (slots []Tombstone, unrecorded []ErasureRow, more bool, err error) {
	q := c.read("ToPuncture")
	slots, err = all[Tombstone](ctx, q, selectOpenSlots, tenant[:], limit+1)
	if err != nil {
		return nil, nil, false, explain(ctx, err)
	}
	if more = len(slots) > limit; more {
		slots = slots[:limit]
	}
	unrecorded, err = all[ErasureRow](ctx, q, selectUnrecorded, tenant[:]) // later than the slots, lest it miss one of theirs
	return slots, unrecorded, more, explain(ctx, err)
}

// SealedRecord is the sealed record of an erasure.
type SealedRecord struct {
	ID     recording.ErasureID
	Base   int64
	Sealed []byte
}

func (r *SealedRecord) columns() []any { return []any{fixed(r.ID[:]), &r.Base, &r.Sealed} }

// longRecord is the length in bytes from which a record is read by itself: one that
// names a million slots has 30 MB.
const longRecord = 64 << 10

// EachRecord shows the records of some erasures, each once, and keeps few of them in
// memory.
func (c *Catalog) EachRecord(ctx context.Context, tenant recording.Tenant, ids []recording.ErasureID, visit func(SealedRecord)) error {
	q := c.read("EachRecord")
	for some := range slices.Chunk(ids, maxRows) {
		args := []any{longRecord, tenant[:]}
		for i := range some {
			args = append(args, some[i][:])
		}
		rows, err := all[SealedRecord](ctx, q, `SELECT e.id, e.base, CASE WHEN length(e.record) < $1 THEN e.record END FROM erasures e
			WHERE e.tenant = $2 AND e.id IN `+list(3, len(some)), args...)
		if err != nil {
			return explain(ctx, err)
		}
		for _, r := range rows {
			if r.Sealed == nil {
				if r, err = get[SealedRecord](ctx, q, recording.ErrNoErasure, `SELECT e.id, e.base, e.record FROM erasures e
					WHERE e.tenant = $1 AND e.id = $2`, tenant[:], r.ID[:]); err != nil {
					return explain(ctx, err)
				}
			}
			visit(r)
		}
	}
	return nil
}

// Unrecorded gives a tenant's erasures whose records are not in the store, but for its own.
func (c *Catalog) Unrecorded(ctx context.Context, tenant recording.Tenant) ([]ErasureRow, error) {
	e, err := all[ErasureRow](ctx, c.read("Unrecorded"), selectUnrecorded, tenant[:])
	return e, explain(ctx, err)
}

// Follow tells of the head of a new epoch that is durable in the store.
type Follow struct {
	Tenant  recording.Tenant
	Head    Head
	From    int64     // the epoch it follows
	Version int64     // of the provider's key, that its root is wrapped under
	Slots   []Slot    // that it punctured
	At      time.Time // when it was committed
}

// FollowHead makes the head of a new epoch the tenant's: its slots are punctured,
// and so are the erasures that have no other slots left. Slots that have no
// tombstone get one, which a catalog that was restored from a copy may lack.
// A head that was followed already is success.
//
// ErrNoTenant: there is none. ErrBehind: the tenant's epoch is not the one before.
func (c *Catalog) FollowHead(ctx context.Context, f Follow) error {
	return c.write(ctx, "FollowHead", func(ctx context.Context, tx *sql.Tx) error {
		if err := f.advance(ctx, tx); err != nil {
			return err
		}
		if err := f.puncture(ctx, tx, c.dialect); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO epochs (tenant, epoch, version, slots, committed_at)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, f.Tenant[:], f.Head.Epoch, f.Version, len(f.Slots), f.At.UnixMicro())
		if err != nil {
			return err
		}
		return c.dialect.advanceErasures(ctx, tx, "", f.Tenant[:])
	})
}

func (f Follow) advance(ctx context.Context, tx *sql.Tx) error {
	moved, err := change(ctx, tx, `UPDATE tenants SET epoch = $1, head = $2 WHERE id = $3 AND epoch = $4`,
		f.Head.Epoch, f.Head.Bytes, f.Tenant[:], f.From)
	if err != nil || moved == 1 {
		return err
	}
	t, err := get[Tenant](ctx, tx, recording.ErrNoTenant, selectTenant, f.Tenant[:])
	if err == nil && (t.Epoch != f.Head.Epoch || !bytes.Equal(t.Head, f.Head.Bytes)) {
		err = ErrBehind
	}
	return err
}

// puncture notes the epoch of the slots. A tombstone that is made here is not
// settled: versions may lie below it.
func (f Follow) puncture(ctx context.Context, tx *sql.Tx, d dialect) error {
	slots := slices.Clone(f.Slots)
	slices.SortFunc(slots, func(a, b Slot) int { return cmp.Or(cmp.Compare(a.Tree, b.Tree), cmp.Compare(a.Number, b.Number)) })
	for some := range slices.Chunk(slices.Compact(slots), maxRows) {
		var args []any
		for _, s := range some {
			var unsettled any = s.Tree
			if s.Tree == TreeSystem { // no version lies there
				unsettled = nil
			}
			args = append(args, f.Tenant[:], s.Tree, s.Number, f.Head.Epoch, unsettled)
		}
		_, err := tx.ExecContext(ctx, intoPunctures+`VALUES `+values(len(some), "?", "?", "?", "NULL", "?", d.now, "?")+`
			ON CONFLICT (tenant, tree, slot) DO UPDATE SET epoch = COALESCE(punctures.epoch, excluded.epoch)`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

// updatePunctured moves on the erasures of which no slot is left. It asks for each
// by a value and not by NOT EXISTS, which PostgreSQL would join with the index of
// slots that are left, and so read for each erasure what this transaction has
// removed from it: 10,000 times 10,000 entries.
const updatePunctured = `UPDATE erasures SET state = 'punctured', epoch = (SELECT max(p.epoch) FROM punctures p WHERE p.erasure = erasures.id)
	WHERE tenant = $1 AND ` + openErasure + `state = 'queued' AND (SELECT min(COALESCE(p.epoch, 0)) FROM punctures p WHERE p.erasure = erasures.id) > 0`

const updateEffective = `UPDATE erasures SET state = 'effective' WHERE tenant = $1 AND ` + openErasure + `state = 'punctured' AND EXISTS (
	SELECT 1 FROM epochs o WHERE o.tenant = erasures.tenant AND o.epoch = erasures.epoch AND o.effective_at IS NOT NULL)`

// openErasure is what SQLite must be told, in the words of the index, to look for
// those of a state among those alone that have no certificate yet.
const openErasure = `state <> 'certified' AND `

// advanceErasures moves on the erasures of a tenant, $1, that a condition with
// further parameters selects, as far as their slots and epochs are.
func (d dialect) advanceErasures(ctx context.Context, tx *sql.Tx, which string, args ...any) error {
	for _, step := range []string{updatePunctured, updateEffective} {
		if _, err := tx.ExecContext(ctx, step+which, d.plannedNow(args)...); err != nil {
			return err
		}
	}
	return nil
}

// EpochEffective notes that nothing opens the heads before an epoch any more:
// of e counts what is zero before that. Its erasures are effective with it. An
// epoch that was effective already is success, and keeps what was noted first.
// ErrNotFound: no such head was followed.
func (c *Catalog) EpochEffective(ctx context.Context, e EpochRow) error {
	return c.write(ctx, "EpochEffective", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, `UPDATE epochs SET seen_at = CASE WHEN effective_at IS NULL THEN `+c.dialect.now+` ELSE seen_at END,
			effective_at = COALESCE(effective_at, $1), oldest_before = COALESCE(oldest_before, $2), oldest_after = COALESCE(oldest_after, $3)
			WHERE tenant = $4 AND epoch = $5`, e.EffectiveAt.UnixMicro(), e.OldestBefore, e.OldestAfter, e.Tenant[:], e.Epoch)
		if err != nil {
			return err
		}
		if n == 0 {
			return recording.ErrNotFound
		}
		return c.dialect.advanceErasures(ctx, tx, "", e.Tenant[:])
	})
}

// tookRow is an epoch that punctured slots of an erasure.
type tookRow struct {
	EpochRow
	erasure recording.ErasureID
}

func (r *tookRow) columns() []any { return append(r.EpochRow.columns(), fixed(r.erasure[:])) }

// EpochsOf gives the epochs that punctured slots of some erasures, in their order.
func (c *Catalog) EpochsOf(ctx context.Context, tenant recording.Tenant, of []ErasureRow) (map[recording.ErasureID][]EpochRow, error) {
	out := map[recording.ErasureID][]EpochRow{}
	for some := range slices.Chunk(of, maxRows) {
		args := []any{tenant[:]}
		for i := range some {
			args = append(args, some[i].ID[:])
		}
		rows, err := all[tookRow](ctx, c.read("EpochsOf"), `SELECT `+epochColumns+`, p.erasure FROM (
			SELECT DISTINCT erasure, epoch FROM punctures WHERE tenant = $1 AND erasure IN `+list(2, len(some))+`) p
			JOIN epochs o ON o.tenant = $1 AND o.epoch = p.epoch ORDER BY o.epoch`, args...)
		if err != nil {
			return nil, explain(ctx, err)
		}
		for _, r := range rows {
			out[r.erasure] = append(out[r.erasure], r.EpochRow)
		}
	}
	return out, nil
}

// UnfinishedEpochs gives a tenant's epochs that are not effective, oldest first.
func (c *Catalog) UnfinishedEpochs(ctx context.Context, tenant recording.Tenant) ([]EpochRow, error) {
	e, err := all[EpochRow](ctx, c.read("UnfinishedEpochs"), selectEpochs+` AND o.effective_at IS NULL ORDER BY o.epoch`, tenant[:])
	return e, explain(ctx, err)
}

// selectToCertify goes by those that have no certificate: see selectUnrecorded.
func (d dialect) selectToCertify() string {
	return `SELECT ` + erasureColumns + ` FROM erasures e JOIN epochs o ON o.tenant = e.tenant AND o.epoch = e.epoch
		WHERE e.tenant = $1 AND e.` + openErasure + `e.state = 'effective' AND e.recorded AND o.seen_at <= ` + d.now + ` - $2
		AND e.asked_at + 0 >= $3 AND (e.asked_at + 0 > $4 OR e.id > $5) ORDER BY e.asked_at + 0, e.id LIMIT $6`
}

// ToCertify gives erasures that are in the store and have been effective for so long,
// by the database's clock, oldest first, those after one, at most limit of them.
func (c *Catalog) ToCertify(ctx context.Context, tenant recording.Tenant, drained time.Duration, after ErasureCursor, limit int) ([]ErasureRow, error) {
	at := after.micros()
	e, err := all[ErasureRow](ctx, c.read("ToCertify"), c.dialect.selectToCertify(),
		tenant[:], drained.Microseconds(), at, at, after.ID[:], limit)
	return e, explain(ctx, err)
}

// Certificate is one of an erasure, and the event that tells of it.
type Certificate struct {
	ID     recording.ErasureID
	Signed []byte
	Event  audit.Record
}

// Certify ends erasures of a tenant with their certificates. One that is certified
// already keeps the certificate it has. ErrNoErasure: there is none such.
// ErrTransition: one is not effective. In either case nothing is changed.
func (c *Catalog) Certify(ctx context.Context, tenant recording.Tenant, all []Certificate) error {
	return c.write(ctx, "Certify", func(ctx context.Context, tx *sql.Tx) error {
		return certify(ctx, tx, tenant, all, `state = 'certified', certified_at = `+c.dialect.now, `state = 'effective'`)
	})
}

// certify sets certificates and what comes with them of the erasures that are in some
// state; others have to be certified.
func certify(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, all []Certificate, set, in string) error {
	var events []audit.Record
	for _, one := range all {
		n, err := change(ctx, tx, `UPDATE erasures SET certificate = $1, `+set+` WHERE tenant = $2 AND id = $3 AND `+in, one.Signed, tenant[:], one.ID[:])
		if err != nil {
			return err
		}
		if n == 1 {
			events = append(events, one.Event)
			continue
		}
		e, err := get[ErasureRow](ctx, tx, recording.ErrNoErasure, selectErasure, tenant[:], one.ID[:])
		if err == nil && e.State != ErasureCertified {
			err = ErrTransition
		}
		if err != nil {
			return err
		}
	}
	return insertEvents(ctx, tx, events)
}
