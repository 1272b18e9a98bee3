package catalog

import (
	"context"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// Token is what is kept of a bearer token: its hash, and the role it bears,
// sealed, so that whoever writes rows makes no token.
type Token struct {
	Hash      [32]byte
	Sealed    []byte
	CreatedAt time.Time
}

// Credential is an access key with its secret and scope, sealed.
type Credential struct {
	AccessKey string
	Kind      string
	Sealed    []byte
	CreatedAt time.Time
}

type tokenRow struct {
	Token
	tenant Tenant
}

func (r *tokenRow) columns() []any {
	return append([]any{fixed(r.Hash[:]), &r.Sealed, moment{&r.CreatedAt}}, r.tenant.columns()...)
}

type credentialRow struct {
	Credential
	tenant Tenant
}

func (r *credentialRow) columns() []any {
	own := []any{&r.AccessKey, &r.Kind, &r.Sealed, moment{&r.CreatedAt}}
	return append(own, r.tenant.columns()...)
}

const (
	selectToken = `SELECT k.hash, k.sealed, k.created_at, ` + tenantColumns + `
		FROM tokens k JOIN tenants t ON t.id = k.tenant WHERE k.hash = $1`
	selectCredential = `SELECT k.access_key, k.kind, k.sealed, k.created_at, ` + tenantColumns + `
		FROM credentials k JOIN tenants t ON t.id = k.tenant WHERE k.access_key = $1`
)

// Token finds a bearer token by its hash, and its tenant in any state.
// ErrNoCredential: there is none.
func (c *Catalog) Token(ctx context.Context, hash [32]byte) (Token, Tenant, error) {
	r, err := get[tokenRow](ctx, c.read("Token"), recording.ErrNoCredential, selectToken, hash[:])
	return r.Token, r.tenant, explain(ctx, err)
}

// Credential finds an access key, and its tenant in any state.
// ErrNoCredential: there is none.
func (c *Catalog) Credential(ctx context.Context, accessKey string) (Credential, Tenant, error) {
	r, err := get[credentialRow](ctx, c.read("Credential"), recording.ErrNoCredential, selectCredential, accessKey)
	return r.Credential, r.tenant, explain(ctx, err)
}
