package restapi

import (
	"cmp"
	"context"
	"strings"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// CreateTenant makes a tenant and shows its admin token, once.
func (s session) CreateTenant(ctx context.Context, r CreateTenantRequestObject) (CreateTenantResponseObject, error) {
	if !addressable(r.Body.Name) {
		return nil, errTenantPath
	}
	t, token, err := s.gateway.CreateTenant(ctx, s.caller, r.Body.Name)
	if err != nil {
		return nil, err
	}
	return CreateTenant201JSONResponse{Tenant: t.Name, AdminToken: token.Reveal()}, nil
}

// addressable reports whether a name can be one element of a URL's path as
// every client and proxy understands it (RFC 3986, section 3.3).
func addressable(name string) bool {
	return name != "." && name != ".." && !strings.Contains(name, "/")
}

// ListTenants lists all tenants.
func (s session) ListTenants(ctx context.Context, _ ListTenantsRequestObject) (ListTenantsResponseObject, error) {
	infos, err := s.gateway.Tenants(ctx, s.caller)
	if err != nil {
		return nil, err
	}
	list := ListTenants200JSONResponse{Tenants: make([]Tenant, 0, len(infos))}
	for _, t := range infos {
		list.Tenants = append(list.Tenants, shown(t))
	}
	return list, nil
}

// GetTenant tells a tenant's state.
func (s session) GetTenant(ctx context.Context, r GetTenantRequestObject) (GetTenantResponseObject, error) {
	now, err := s.tenant(ctx, r.Tenant, s.gateway.Tenant)
	return GetTenant200JSONResponse{now}, err
}

// RevokeTenant refuses a tenant's reads and writes until it is restored.
func (s session) RevokeTenant(ctx context.Context, r RevokeTenantRequestObject) (RevokeTenantResponseObject, error) {
	now, err := s.tenant(ctx, r.Tenant, s.gateway.RevokeTenant)
	return RevokeTenant200JSONResponse{now}, err
}

// RestoreTenant undoes a revocation.
func (s session) RestoreTenant(ctx context.Context, r RestoreTenantRequestObject) (RestoreTenantResponseObject, error) {
	now, err := s.tenant(ctx, r.Tenant, s.gateway.RestoreTenant)
	return RestoreTenant200JSONResponse{now}, err
}

// EraseTenant destroys a tenant's key for good.
func (s session) EraseTenant(ctx context.Context, r EraseTenantRequestObject) (EraseTenantResponseObject, error) {
	t, err := s.gateway.EraseTenant(ctx, s.caller, r.Tenant, cmp.Or(r.Body.Reason, noReason))
	now := shown(t)
	if t.Erasure.ID != (recording.ErasureID{}) {
		erasure := shownErasure(t.Erasure)
		now.Erasure = &erasure
	}
	return EraseTenant202JSONResponse{TenantNowJSONResponse(now)}, err
}

// tenantCall is a method of the gateway that acts on the tenant of a name.
type tenantCall func(context.Context, gateway.Caller, string) (gateway.TenantInfo, error)

func (s session) tenant(ctx context.Context, name string, call tenantCall) (TenantNowJSONResponse, error) {
	t, err := call(ctx, s.caller, name)
	return TenantNowJSONResponse(shown(t)), err
}

func shown(t gateway.TenantInfo) Tenant {
	return Tenant{Tenant: t.Name, Id: t.ID.String(), State: TenantState(t.State), CreatedAt: t.CreatedAt.UTC()}
}
