package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// CreateKey makes an S3 credential of the named tenant; the secret is shown once.
func (g *Gateway) CreateKey(ctx context.Context, c Caller, tenant string, k NewKey) (accessKey string, secret Secret, err error) {
	p, err := g.administer(ctx, c, policy.MakeKey, tenant)
	if err != nil {
		return "", Secret{}, err
	}
	if err := k.check(); err != nil {
		return "", Secret{}, err
	}
	s, err := g.enter(ctx, p.tenant)
	if err != nil {
		return "", Secret{}, err
	}
	defer s.end()
	accessKey, secret = newKeyPair()
	e := entry{At: now(), Key: &keyEntry{
		AccessKey: accessKey, Secret: secret.Reveal(), Kind: k.Kind, Name: k.Name,
		Bucket: k.Bucket, Prefix: k.Prefix, Purpose: k.Purpose, Write: k.Write,
	}}
	if err := g.change(ctx, s, e, p.event); err != nil {
		return "", Secret{}, err
	}
	return accessKey, secret, nil
}

func (k NewKey) check() error {
	if k.Kind != policy.Recorder && k.Kind != policy.Reader {
		return fmt.Errorf("kind: %w", recording.ErrSettings)
	}
	if k.Kind == policy.Recorder && k.Write {
		return fmt.Errorf("write: %w", recording.ErrSettings)
	}
	if len(k.Name) > maxLabel || len(k.Prefix) > recording.MaxName || len(k.Purpose) > maxLabel {
		return fmt.Errorf("too long: %w", recording.ErrSettings)
	}
	if k.Kind == policy.Reader && k.Bucket == policy.AnyBucket {
		return nil
	}
	_, err := recording.ParseBucket(k.Bucket)
	return err
}

// newKeyPair draws an access key of 20 characters, the first five fixed so that
// a leaked one is recognised, and a secret of 240 random bits.
func newKeyPair() (string, Secret) {
	b := make([]byte, 10+30)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return accessKeyBase + base32.StdEncoding.EncodeToString(b[:10])[:15], NewSecret(base64.RawURLEncoding.EncodeToString(b[10:]))
}

const (
	accessKeyBase = "LETHE"
	accessKeySize = 20
)

// isAccessKey reports whether s may be an access key: what a client sends is
// not otherwise fit for a database.
func isAccessKey(s string) bool {
	return len(s) == accessKeySize && strings.HasPrefix(s, accessKeyBase) &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// Credential looks up an access key for a front's verifier.
// recording.ErrNoCredential when there is none; ErrTenantRevoked and
// ErrTenantErased when its tenant is; ErrUnavailable when nothing is known.
func (g *Gateway) Credential(ctx context.Context, accessKey string) (Credential, error) {
	if !isAccessKey(accessKey) {
		return Credential{}, recording.ErrNoCredential
	}
	row, t, err := g.catalog.Credential(ctx, accessKey)
	if err != nil {
		return Credential{}, unavailable(err)
	}
	s, err := g.enter(ctx, t)
	if err != nil {
		return Credential{}, g.turnAway(ctx, t.ID, accessKey, err)
	}
	defer s.end()
	k, err := s.openKey(ctx, row)
	if err != nil {
		return Credential{}, err
	}
	return Credential{
		Principal: policy.Principal{Kind: k.Kind, Tenant: t.ID, Bucket: k.Bucket, Prefix: k.Prefix, Write: k.Write},
		AccessKey: accessKey,
		Secret:    NewSecret(k.Secret),
		Purpose:   k.Purpose,
		tenant:    s.tenant,
	}, nil
}

// turnAway logs that a credential of a revoked or erased tenant was presented.
// Its keys are away, so the event is all in clear.
func (g *Gateway) turnAway(ctx context.Context, t recording.Tenant, accessKey string, why error) error {
	c := Caller{Principal: policy.Principal{Tenant: t}, Who: accessKey}
	switch {
	case errors.Is(why, recording.ErrTenantRevoked):
		return g.refuse(ctx, scope{}, c.event(authenticate), "tenant-revoked", why)
	case errors.Is(why, recording.ErrTenantErased):
		return g.refuse(ctx, scope{}, c.event(authenticate), "tenant-erased", why)
	}
	return why
}

func (s scope) openKey(ctx context.Context, row catalog.Credential) (k keyEntry, err error) {
	key, err := s.keys.System(ctx, keytree.CredentialsSlot())
	if err != nil {
		return k, err
	}
	b, err := keytree.Open(key, keytree.LabelCredential, credentialBind(s.tenant.ID, row.AccessKey), row.Sealed)
	if err != nil {
		return k, fmt.Errorf("%w: credential %s: %w", recording.ErrIntegrity, row.AccessKey, err)
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return k, fmt.Errorf("%w: credential %s is malformed", recording.ErrIntegrity, row.AccessKey)
	}
	return k, nil
}

// keyRow seals a credential for the catalog.
func (s scope) keyRow(ctx context.Context, e entry) (catalog.Change, error) {
	b, err := json.Marshal(e.Key)
	if err != nil {
		return catalog.Change{}, errors.New("encode credential") // the cause could quote the secret
	}
	key, err := s.keys.System(ctx, keytree.CredentialsSlot())
	if err != nil {
		return catalog.Change{}, err
	}
	sealed, err := keytree.Seal(key, keytree.LabelCredential, credentialBind(s.tenant.ID, e.Key.AccessKey), b)
	if err != nil {
		return catalog.Change{}, err
	}
	return catalog.Change{Credential: &catalog.Credential{
		AccessKey: e.Key.AccessKey,
		Kind:      string(e.Key.Kind),
		Sealed:    sealed,
		CreatedAt: e.At,
	}}, nil
}

func credentialBind(t recording.Tenant, accessKey string) []byte {
	return append(append([]byte{}, t[:]...), accessKey...)
}

func sameSecret(a, b Secret) bool {
	x, y := sha256.Sum256([]byte(a.s)), sha256.Sum256([]byte(b.s))
	return b.s != "" && subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
