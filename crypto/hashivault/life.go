package hashivault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// lifeWithin bounds the life of a scratch key, whose end no caller's deadline
// prevents.
const lifeWithin = time.Minute

// life leads a scratch key through what a tenant's goes through, by the
// identities that will do it.
func (k *checkup) life(ctx context.Context) {
	c := k.config
	if c.Data == nil {
		c.Data = c.Eraser
	}
	if c.Data == nil || c.Eraser == nil || c.Provisioner == nil {
		k.Skip("vault.key", "not all identities are given here, so no scratch key was made", "run this once where all are")
		return
	}
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), lifeWithin)
	defer cancel()
	p, err := New(lasting, c)
	if err != nil {
		k.Fail("vault.key", err.Error(), "see lethe config check")
		return
	}
	defer p.Close()
	root := scratchRoot()
	err = live(ctx, p, root)
	end := p.Destroy(lasting, root) // a second time, if all went well
	switch {
	case err != nil:
		k.Fail("vault.key", "the life of a scratch key went wrong: "+err.Error(), "see the findings on policies above, and Vault's audit log")
	case end != nil:
		k.Warn("vault.key", fmt.Sprintf("the scratch key %s could not be destroyed: %v", root, end), "let an administrator delete it")
	default:
		k.OK("vault.key", "a scratch key was made, used, rotated and destroyed, and what was wrapped under its first version is forgotten")
	}
}

var errRemembered = errors.New("what was wrapped under a destroyed version still opens")

func live(ctx context.Context, p *Provider, root keytree.Root) error {
	bind := []byte("doctor")
	if err := p.Create(ctx, root); err != nil {
		return err
	}
	wrapped, err := p.Wrap(ctx, root, 1, keytree.NewKey(), bind)
	if err != nil {
		return err
	}
	if _, err := p.Unwrap(ctx, root, wrapped, bind); err != nil {
		return err
	}
	version, err := p.Rotate(ctx, root)
	if err != nil {
		return err
	}
	if err := p.Retire(ctx, root, version); err != nil {
		return err
	}
	if _, err := p.Unwrap(ctx, root, wrapped, bind); !errors.Is(err, keytree.ErrForgotten) {
		return errors.Join(errRemembered, err)
	}
	return p.Destroy(ctx, root)
}

// mostKeys is how many tenants' keys are looked at.
const mostKeys = 200

// keys looks at how the keys of tenants are set, and which versions they have.
func (k *checkup) keys(ctx context.Context, role Role, client *api.Client, tenants []Held) {
	p := &Provider{mount: k.mount, timeout: k.config.Timeout, sessions: map[Role]*session{role: loggedIn(client)}}
	looked := tenants[:min(len(tenants), mostKeys)]
	wrong := 0
	for _, held := range looked {
		found, err := p.read(ctx, request{"read", role, held.Root})
		what := unlike(found)
		if err != nil {
			what = "cannot be read: " + err.Error()
		}
		if what != "" {
			wrong++
			k.Fail("vault.keys", fmt.Sprintf("the key %s %s", held.Root, what), "find out in Vault's audit log who did that; a key that could leave Vault makes no erasure final")
			continue
		}
		k.versions(held, found)
	}
	if wrong == 0 && len(looked) > 0 {
		k.OK("vault.keys", fmt.Sprintf("the keys of %d of %d tenants are set as Lethe made them", len(looked), len(tenants)))
	}
}

// versions compares those that a key has with the one under which its tenant's newest
// head is wrapped.
func (k *checkup) versions(held Held, found key) {
	switch {
	case held.Version == 0:
	case found.Latest < held.Version:
		k.Fail("vault.restored", fmt.Sprintf("the key %s has no version %d, which its tenant's newest head needs: Vault was restored from an older snapshot, and the tenant is refused", held.Root, held.Version),
			"stop the erasers and run lethe recover vault")
	case found.MinAvailable < held.Version:
		k.Warn("vault.restored", fmt.Sprintf("the key %s has version %d, older than the one that its tenant's newest head needs: an erasure is under way, or Vault was restored from a snapshot", held.Root, found.MinAvailable),
			"look again in a minute; an eraser destroys it, at the latest an hour after the restore, and lethe recover vault at once")
	}
}

// loggedIn is a session of a client that has its token, and is kept by nobody.
func loggedIn(client *api.Client) *session {
	tried := make(chan struct{})
	close(tried)
	return &session{client: client, tried: tried, rejected: make(chan string, 1)}
}

// unlike says what is not as Create and an epoch leave a key.
func unlike(k key) string {
	switch {
	case k.Type != keyType:
		return "is of another type than " + keyType
	case k.Exportable:
		return "can be exported"
	case k.Backup:
		return "can be backed up in plaintext"
	case k.Derived:
		return "derives others"
	case k.Imported:
		return "was imported, so copies of it are elsewhere"
	case k.Deletable:
		return "may be deleted"
	case k.AutoRotate != "" && k.AutoRotate != "0":
		return "rotates by itself, which leads an erasure astray"
	case min(k.MinAvailable, k.MinDecryption, k.MinEncryption) < 1:
		return "has a minimum of 0"
	}
	return ""
}
