package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// newToken draws a bearer token and gives what is kept of it. A token of 256
// random bits needs no slow hash.
func newToken(prefix string) (Secret, [32]byte) {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	token := prefix + base64.RawURLEncoding.EncodeToString(b)
	return NewSecret(token), sha256.Sum256([]byte(token))
}

// Token looks up a bearer token of the REST API and gives who holds it.
// recording.ErrNoCredential when there is none; ErrUnavailable when nothing is
// known.
func (g *Gateway) Token(ctx context.Context, token Secret) (Caller, error) {
	if sameSecret(token, g.owner) {
		return Caller{Principal: policy.Principal{Kind: policy.Operator}, Who: "owner"}, nil
	}
	row, t, err := g.catalog.Token(ctx, sha256.Sum256([]byte(token.Reveal())))
	if err != nil {
		return Caller{}, unavailable(err)
	}
	kind := policy.Admin
	if t.State.Err() != recording.ErrTenantErased { // there is no key any more, and nothing to administer
		if kind, err = g.openToken(ctx, t, row); err != nil {
			return Caller{}, err
		}
	}
	return Caller{
		Principal: policy.Principal{Kind: kind, Tenant: t.ID},
		Who:       string(kind),
		tenant:    t,
	}, nil
}

// openToken unseals the role of a token. One that does not open was put into
// the catalog by someone without the tenant's keys.
func (g *Gateway) openToken(ctx context.Context, t catalog.Tenant, row catalog.Token) (policy.Kind, error) {
	s, err := g.unlock(ctx, t)
	if err != nil {
		return "", err
	}
	defer s.end()
	key, err := s.keys.System(ctx, keytree.CredentialsSlot())
	if err != nil {
		return "", err
	}
	kind, err := keytree.Open(key, keytree.LabelToken, tokenRowBind(t.ID, row.Hash), row.Sealed)
	if err != nil {
		return "", fmt.Errorf("%w: token of %v: %w", recording.ErrIntegrity, t.ID, err)
	}
	return policy.Kind(kind), nil
}

// tokenRow seals a new tenant's admin token for the catalog.
func (s scope) tokenRow(ctx context.Context, e entry) (*catalog.Token, error) {
	key, err := s.keys.System(ctx, keytree.CredentialsSlot())
	if err != nil {
		return nil, err
	}
	sealed, err := keytree.Seal(key, keytree.LabelToken, tokenRowBind(s.tenant.ID, e.Tenant.Admin), []byte(policy.Admin))
	return &catalog.Token{Hash: e.Tenant.Admin, Sealed: sealed, CreatedAt: e.At}, err
}

func tokenRowBind(t recording.Tenant, hash [32]byte) []byte {
	return append(append([]byte{}, t[:]...), hash[:]...)
}
