package gateway

import (
	"context"
	"errors"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// CreateTenant makes a tenant and its admin token, shown once.
//
// Killed before the catalog has the row, it leaves a root at the provider, a
// head and an entry in the store that nothing refers to and no one was told of.
func (g *Gateway) CreateTenant(ctx context.Context, c Caller, name string) (TenantInfo, Secret, error) {
	grant, err := g.permit(ctx, c, policy.MakeTenant, policy.Target{})
	if err != nil {
		return TenantInfo{}, Secret{}, err
	}
	if err := checkTenantName(name); err != nil {
		return TenantInfo{}, Secret{}, err
	}
	switch old, err := g.catalog.TenantByName(ctx, name); {
	case err == nil && old.State != catalog.TenantErased:
		return TenantInfo{}, Secret{}, recording.ErrTenantExists
	case err != nil && !errors.Is(err, recording.ErrNoTenant):
		return TenantInfo{}, Secret{}, unavailable(err)
	}
	t := catalog.Tenant{ID: recording.NewTenant(), Name: name, State: catalog.TenantActive, CreatedAt: now()}
	head, err := g.plant(ctx, t.ID)
	if err != nil {
		return TenantInfo{}, Secret{}, unavailable(err)
	}
	t.Epoch, t.Head = int64(head.Epoch), head.Marshal()
	keys, err := g.keys(ctx, &t)
	if err != nil {
		return TenantInfo{}, Secret{}, err
	}
	defer keys.Clear()
	token, hash := newToken("lta_")
	grant.event.Tenant = t.ID
	e := entry{At: t.CreatedAt, Tenant: &tenantEntry{Name: name, Admin: hash}}
	if err := g.change(ctx, scope{tenant: t, keys: keys}, e, grant.event); err != nil {
		return TenantInfo{}, Secret{}, err
	}
	g.current.Store(t.ID, g.states.known())
	return tenantInfo(t), token, nil
}

// tenantRows gives a new tenant and its admin token for the catalog.
func (s scope) tenantRows(ctx context.Context, e entry) (catalog.Change, error) {
	token, err := s.tokenRow(ctx, e)
	return catalog.Change{
		New: &catalog.NewTenant{
			Name:      e.Tenant.Name,
			Head:      catalog.Head{Epoch: s.tenant.Epoch, Bytes: s.tenant.Head},
			CreatedAt: e.At,
		},
		Token: token,
	}, err
}

func checkTenantName(name string) error {
	if name == "" || name == "." || name == ".." || utf8.RuneCountInString(name) > 128 || !utf8.ValidString(name) {
		return recording.ErrTenantName
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == '/' {
			return recording.ErrTenantName
		}
	}
	return nil
}

func tenantInfo(t catalog.Tenant) TenantInfo {
	return TenantInfo{ID: t.ID, Name: t.Name, State: string(t.State), CreatedAt: t.CreatedAt}
}

// Tenants lists all tenants to the operator, and its own to an admin.
func (g *Gateway) Tenants(ctx context.Context, c Caller) ([]TenantInfo, error) {
	if c.Kind == policy.Admin {
		own, err := g.Tenant(ctx, c, c.tenant.Name)
		if err != nil {
			return nil, err
		}
		return []TenantInfo{own}, nil
	}
	grant, err := g.permit(ctx, c, policy.ListTenant, policy.Target{})
	if err != nil {
		return nil, err
	}
	if err := g.explain(ctx, scope{}, grant.event); err != nil {
		return nil, err
	}
	list, err := g.catalog.Tenants(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]TenantInfo, len(list))
	for i, t := range list {
		out[i] = tenantInfo(t)
	}
	return out, nil
}

// Tenant gives one tenant by name.
func (g *Gateway) Tenant(ctx context.Context, c Caller, name string) (TenantInfo, error) {
	p, err := g.administer(ctx, c, policy.SeeTenant, name)
	if err != nil {
		return TenantInfo{}, err
	}
	return tenantInfo(p.tenant), g.explain(ctx, scope{}, p.event)
}

// RevokeTenant refuses the tenant's reads and writes until it is restored: new
// requests at once, running streams within stateAge.
func (g *Gateway) RevokeTenant(ctx context.Context, c Caller, name string) (TenantInfo, error) {
	return g.administerState(ctx, c, policy.Revoke, name, catalog.TenantRevoked)
}

// RestoreTenant undoes RevokeTenant.
func (g *Gateway) RestoreTenant(ctx context.Context, c Caller, name string) (TenantInfo, error) {
	return g.administerState(ctx, c, policy.Restore, name, catalog.TenantActive)
}

func (g *Gateway) administerState(ctx context.Context, c Caller, a policy.Action, name string, to catalog.TenantState) (TenantInfo, error) {
	p, err := g.administer(ctx, c, a, name)
	if err != nil {
		return TenantInfo{}, err
	}
	return g.setState(ctx, p, entry{At: now(), State: to})
}

// setState makes an entry that moves a tenant to another state.
func (g *Gateway) setState(ctx context.Context, p administered, e entry) (TenantInfo, error) {
	to := e.State
	s, err := g.unlock(ctx, p.tenant)
	if err != nil {
		return TenantInfo{}, err
	}
	defer s.end()
	if s.tenant.State == to {
		err = g.explain(ctx, s, p.event)
	} else {
		err = g.change(ctx, s, e, p.event)
	}
	if held, ok := errors.AsType[Held](err); ok {
		return TenantInfo{}, g.refuse(ctx, s, p.event, string(held.Ground), err)
	}
	if err != nil {
		return TenantInfo{}, err
	}
	if to != catalog.TenantActive {
		g.leases.Drop(p.tenant.ID)
	}
	if err := g.poll(ctx); err != nil {
		return TenantInfo{}, unavailable(err)
	}
	s.tenant.State = to
	return tenantInfo(s.tenant), nil
}

// administered is a tenant that a caller may administer, and the event that
// will say what became of it.
type administered struct {
	tenant catalog.Tenant
	event  audit.Event
}

// administer finds a tenant by name for a caller who may do a to it. Another
// tenant's admin cannot tell a name that exists from one that does not.
func (g *Gateway) administer(ctx context.Context, c Caller, a policy.Action, name string) (administered, error) {
	t, err := g.tenantByName(ctx, name)
	if err != nil && !errors.Is(err, recording.ErrNoTenant) {
		return administered{}, unavailable(err)
	}
	grant, denied := g.permit(ctx, c, a, policy.Target{Tenant: t.ID})
	if denied != nil {
		return administered{}, denied
	}
	if err != nil {
		return administered{}, err
	}
	grant.event.Tenant = t.ID
	return administered{t, grant.event}, nil
}

// tenantByName finds a tenant by a name that a client gives; one that no
// tenant can have is not fit for a database.
func (g *Gateway) tenantByName(ctx context.Context, name string) (catalog.Tenant, error) {
	if checkTenantName(name) != nil {
		return catalog.Tenant{}, recording.ErrNoTenant
	}
	return g.catalog.TenantByName(ctx, name)
}
