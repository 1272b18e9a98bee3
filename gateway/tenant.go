package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-vault/lethe/crypto/keytree"
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
	head, err := keytree.Plant(ctx, g.provider, g.blobs, t.ID)
	if err != nil {
		return TenantInfo{}, Secret{}, unavailable(err)
	}
	t.Epoch, t.Head = int64(head.Epoch), head.Marshal()
	keys, err := g.keys(ctx, t)
	if err != nil {
		return TenantInfo{}, Secret{}, err
	}
	token, hash := newToken("lta_")
	grant.event.Tenant = t.ID
	e := entry{At: t.CreatedAt, Tenant: &tenantEntry{Name: name, Admin: hash}}
	if err := g.change(ctx, scope{tenant: t, keys: keys}, e, grant.event); err != nil {
		return TenantInfo{}, Secret{}, err
	}
	g.current.Store(t.ID, struct{}{})
	return tenantInfo(t), token, nil
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

// newToken draws a bearer token and gives what is kept of it. A token of 256
// random bits needs no slow hash.
func newToken(prefix string) (Secret, [32]byte) {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	token := prefix + base64.RawURLEncoding.EncodeToString(b)
	return NewSecret(token), sha256.Sum256([]byte(token))
}

func tenantInfo(t catalog.Tenant) TenantInfo {
	return TenantInfo{ID: t.ID, Name: t.Name, State: string(t.State), CreatedAt: t.CreatedAt}
}

// Tenants lists all tenants to the operator, and its own to an admin.
func (g *Gateway) Tenants(ctx context.Context, c Caller) ([]TenantInfo, error) {
	if c.Kind == policy.Admin {
		return []TenantInfo{tenantInfo(c.tenant)}, nil
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
	t, err := g.administer(ctx, c, policy.SeeTenant, name)
	return tenantInfo(t.tenant), err
}

// RevokeTenant refuses the tenant's reads and writes until it is restored: new
// requests at once, running streams within stateAge.
func (g *Gateway) RevokeTenant(ctx context.Context, c Caller, name string) (TenantInfo, error) {
	return g.setState(ctx, c, policy.Revoke, name, catalog.TenantRevoked)
}

// RestoreTenant undoes RevokeTenant.
func (g *Gateway) RestoreTenant(ctx context.Context, c Caller, name string) (TenantInfo, error) {
	return g.setState(ctx, c, policy.Restore, name, catalog.TenantActive)
}

func (g *Gateway) setState(ctx context.Context, c Caller, a policy.Action, name string, to catalog.TenantState) (TenantInfo, error) {
	p, err := g.administer(ctx, c, a, name)
	if err != nil {
		return TenantInfo{}, err
	}
	was := p.tenant.State
	if was == to || was == catalog.TenantErased && to == catalog.TenantErasing {
		return tenantInfo(p.tenant), nil
	}
	if was == catalog.TenantErasing || was == catalog.TenantErased {
		return TenantInfo{}, recording.ErrTenantErased
	}
	s, err := g.unlock(ctx, p.tenant)
	if err != nil {
		return TenantInfo{}, err
	}
	if err := g.change(ctx, s, entry{At: now(), State: to}, p.event); err != nil {
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
	t, err := g.catalog.TenantByName(ctx, name)
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

// Token looks up a bearer token of the REST API and gives who holds it.
func (g *Gateway) Token(ctx context.Context, token Secret) (Caller, error) {
	if sameSecret(token, g.owner) {
		return Caller{Principal: policy.Principal{Kind: policy.Operator}, Who: "owner"}, nil
	}
	row, t, err := g.catalog.Token(ctx, sha256.Sum256([]byte(token.Reveal())))
	if err != nil {
		return Caller{}, unavailable(err)
	}
	return Caller{
		Principal: policy.Principal{Kind: policy.Kind(row.Kind), Tenant: t.ID},
		Who:       row.Kind,
		tenant:    t,
	}, nil
}
