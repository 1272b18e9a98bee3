package catalog

import (
	"context"
	"database/sql"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// TenantState is where a tenant stands in its life:
//
//	active ⇄ revoked → erasing → erased
//	active ──────────→ erasing
type TenantState string

// The states of a tenant.
const (
	TenantActive  TenantState = "active"
	TenantRevoked TenantState = "revoked"
	TenantErasing TenantState = "erasing"
	TenantErased  TenantState = "erased"
)

// Err is nil for an active tenant, and otherwise why nothing of it is served:
// recording.ErrTenantRevoked or recording.ErrTenantErased.
func (s TenantState) Err() error {
	switch s {
	case TenantActive:
		return nil
	case TenantRevoked:
		return recording.ErrTenantRevoked
	}
	return recording.ErrTenantErased
}

// to reports whether a tenant may go from s to next. Staying is allowed.
func (s TenantState) to(next TenantState) error {
	switch {
	case s == next,
		s == TenantActive && next == TenantRevoked,
		s == TenantRevoked && next == TenantActive,
		s == TenantErasing && next == TenantErased,
		(s == TenantActive || s == TenantRevoked) && next == TenantErasing:
		return nil
	case s == TenantErasing || s == TenantErased:
		return recording.ErrTenantErased
	}
	return ErrTransition
}

// Tenant is a customer of the vault.
type Tenant struct {
	ID        recording.Tenant
	Name      string // an operator's label, in clear
	State     TenantState
	Epoch     int64  // of Head
	Head      []byte // copy of the newest head of its key tree
	Journal   int64  // sequence of the last change applied
	Stage     Stage  // of its blind indexes
	CreatedAt time.Time
	ReadAt    time.Time // when this was the row, or at most readFor later; not kept
}

const tenantColumns = `t.id, t.name, t.state, t.epoch, t.head, t.journal, t.index_stage, t.created_at`

func (t *Tenant) columns() []any {
	t.ReadAt = time.Now()
	return []any{fixed(t.ID[:]), &t.Name, &t.State, &t.Epoch, &t.Head, &t.Journal, &t.Stage, moment{&t.CreatedAt}}
}

const (
	selectTenants      = `SELECT ` + tenantColumns + ` FROM tenants t`
	selectTenant       = selectTenants + ` WHERE t.id = $1`
	selectTenantByName = selectTenants + ` WHERE t.name = $1
		ORDER BY CASE t.state WHEN 'erased' THEN 1 ELSE 0 END, t.created_at DESC LIMIT 1`
)

// Tenant finds a tenant in any state. ErrNoTenant: there is none.
func (c *Catalog) Tenant(ctx context.Context, id recording.Tenant) (Tenant, error) {
	t, err := get[Tenant](ctx, c.read("Tenant"), recording.ErrNoTenant, selectTenant, id[:])
	return t, explain(ctx, err)
}

// TenantByName finds the tenant of that name. An erased tenant's name is free
// again: it is found only while no other tenant has its name, the newest of
// several. ErrNoTenant: there never was one.
func (c *Catalog) TenantByName(ctx context.Context, name string) (Tenant, error) {
	t, err := get[Tenant](ctx, c.read("TenantByName"), recording.ErrNoTenant, selectTenantByName, name)
	return t, explain(ctx, err)
}

// Tenants gives every tenant in any state, in the order of their names.
func (c *Catalog) Tenants(ctx context.Context) ([]Tenant, error) {
	t, err := all[Tenant](ctx, c.read("Tenants"), selectTenants+` ORDER BY t.name, t.created_at, t.id`)
	return t, explain(ctx, err)
}

// Standing is what a replica polls to learn that a tenant was revoked or has
// moved to a new epoch.
type Standing struct {
	Tenant recording.Tenant
	State  TenantState
	Epoch  int64
}

func (s *Standing) columns() []any { return []any{fixed(s.Tenant[:]), &s.State, &s.Epoch} }

// Timeline is what the catalog is on: another than before tells that another server
// took over, or that a sweep found the catalog to be an older copy of itself. Either may
// lack what was committed last. None is "".
type Timeline string

// timelineRow is the name of a timeline.
type timelineRow struct{ Timeline }

func (r *timelineRow) columns() []any { return []any{&r.Timeline} }

func (d dialect) selectTimeline() string { return `SELECT ` + d.timelineNow() }

func (d dialect) timelineNow() string {
	return d.timeline + ` || '/' || CAST(COALESCE((SELECT a.not_before FROM anchors a WHERE a.id = 1), 0) AS TEXT)`
}

// Timeline gives the present one.
func (c *Catalog) Timeline(ctx context.Context) (Timeline, error) {
	t, err := get[timelineRow](ctx, c.read("Timeline"), recording.ErrNotFound, c.dialect.selectTimeline())
	return t.Timeline, explain(ctx, err)
}

// still fails with ErrTimeline if the catalog is on another timeline than its caller
// has brought up to what the store holds. Of a caller who says none it asks nothing.
func (d dialect) still(ctx context.Context, tx *sql.Tx, known Timeline) error {
	if known == "" {
		return nil
	}
	t, err := get[timelineRow](ctx, tx, recording.ErrNotFound, d.selectTimeline())
	if err == nil && t.Timeline != known {
		err = ErrTimeline
	}
	return err
}

// Standings gives the standing of every tenant.
func (c *Catalog) Standings(ctx context.Context) ([]Standing, error) {
	s, err := all[Standing](ctx, c.read("Standings"), `SELECT id, state, epoch FROM tenants`)
	return s, explain(ctx, err)
}
