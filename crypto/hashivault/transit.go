package hashivault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// A body is the JSON of a request to transit.
type body map[string]any

// Create makes the key, then sets its minimums to 1 and trims to 1, so that
// trim, which refuses while a minimum is 0, can always go on by one version.
// A key that could leave Vault is refused.
func (p *Provider) Create(ctx context.Context, root keytree.Root) error {
	r := request{"create", Provisioner, root}
	if _, err := p.post(ctx, r, "keys/"+string(root), body{"type": keyType}); err != nil {
		return err
	}
	k, err := p.read(ctx, r)
	if err != nil {
		return err
	}
	if !k.safe() {
		return fmt.Errorf("hashivault: create %s: the key there is not ours: %w", root, keytree.ErrUnavailable)
	}
	return p.retire(ctx, r, k, 1)
}

// Wrap encrypts under exactly version, whatever the newest is.
func (p *Provider) Wrap(ctx context.Context, root keytree.Root, version int, k keytree.Key, bind []byte) ([]byte, error) {
	if version < 1 {
		return nil, errVersion // 0 would mean the newest
	}
	if k.IsZero() {
		return nil, errNoKey
	}
	r := request{"wrap", Eraser, root}
	if version == 1 {
		r.role = Provisioner
	}
	data, err := p.post(ctx, r, "encrypt/"+string(root), body{
		"plaintext":       base64.StdEncoding.EncodeToString(k.Bytes()),
		"associated_data": base64.StdEncoding.EncodeToString(bind),
		"key_version":     version,
	})
	if err != nil {
		return nil, err
	}
	wrapped, _ := data["ciphertext"].(string)
	if got, ok := parse(wrapped); !ok || got != version {
		return nil, fmt.Errorf("hashivault: wrap %s: not wrapped under version %d: %w", root, version, keytree.ErrUnavailable)
	}
	return []byte(wrapped), nil
}

// Unwrap is one request.
func (p *Provider) Unwrap(ctx context.Context, root keytree.Root, wrapped, bind []byte) (keytree.Key, error) {
	r := request{"unwrap", Data, root}
	if _, ok := parse(string(wrapped)); !ok {
		return keytree.Key{}, fmt.Errorf("hashivault: unwrap: %w", keytree.ErrBind)
	}
	data, err := p.post(ctx, r, "decrypt/"+string(root), body{
		"ciphertext":      string(wrapped),
		"associated_data": base64.StdEncoding.EncodeToString(bind),
	})
	if err != nil {
		return keytree.Key{}, err
	}
	plaintext, _ := data["plaintext"].(string)
	secret, err := base64.StdEncoding.DecodeString(plaintext)
	defer clear(secret)
	if err != nil || len(secret) != keytree.KeySize {
		return keytree.Key{}, fmt.Errorf("hashivault: unwrap %s: not a key: %w", root, keytree.ErrBind)
	}
	return keytree.KeyFrom(secret)
}

// Rotate adds a version.
func (p *Provider) Rotate(ctx context.Context, root keytree.Root) (int, error) {
	k, err := p.rotate(ctx, request{"rotate", Eraser, root})
	return k.Latest, err
}

// Versions reads the key.
func (p *Provider) Versions(ctx context.Context, root keytree.Root) (keytree.Versions, error) {
	k, err := p.read(ctx, request{"read", Eraser, root})
	return keytree.Versions{Oldest: max(k.MinAvailable, 1), Latest: k.Latest}, err
}

// Retire raises both minimums and trims, one version at a time, then reads
// the key back. Every step may be repeated after a crash.
func (p *Provider) Retire(ctx context.Context, root keytree.Root, below int) error {
	r := request{"retire", Eraser, root}
	k, err := p.read(ctx, r)
	if err != nil {
		return err
	}
	return p.retire(ctx, r, k, below)
}

// Destroy leaves one version that nothing was ever wrapped under, and deletes
// the key: should only the deletion be undone, there is nothing to find.
func (p *Provider) Destroy(ctx context.Context, root keytree.Root) error {
	r := request{"destroy", Provisioner, root}
	k, err := p.rotate(ctx, r)
	if errors.Is(err, keytree.ErrForgotten) {
		return p.gone(ctx, r)
	}
	if err != nil {
		return err
	}
	if err := p.retire(ctx, r, k, k.Latest); err != nil {
		return err
	}
	if err := p.step(ctx, r, "config", body{"deletion_allowed": true}); err != nil {
		return err
	}
	if err := p.remove(ctx, r); err != nil {
		return err
	}
	return p.gone(ctx, r)
}

// retire brings key k to where nothing below the given version is available.
// It lowers no minimum.
func (p *Provider) retire(ctx context.Context, r request, k key, below int) error {
	if below > k.Latest {
		return fmt.Errorf("hashivault: %s %s: newest version is %d: %w", r.op, r.root, k.Latest, keytree.ErrRolledBack)
	}
	if k.MinEncryption < below || k.MinDecryption < below {
		err := p.step(ctx, r, "config", body{
			"min_encryption_version": max(below, k.MinEncryption),
			"min_decryption_version": max(below, k.MinDecryption),
		})
		if err != nil {
			return err
		}
	}
	for version := k.MinAvailable + 1; version <= below; version++ {
		if err := p.step(ctx, r, "trim", body{"min_available_version": version}); err != nil {
			return err
		}
	}
	k, err := p.read(ctx, r)
	if err != nil {
		return err
	}
	if !k.forgot(below) {
		return fmt.Errorf("hashivault: %s %s: older versions are still there: %w", r.op, r.root, keytree.ErrUnavailable)
	}
	return nil
}

// rotate adds a version and reads what the key is then: older servers answer
// a rotation with nothing.
func (p *Provider) rotate(ctx context.Context, r request) (key, error) {
	if err := p.step(ctx, r, "rotate", body{}); err != nil {
		return key{}, err
	}
	return p.read(ctx, r)
}

// gone verifies that the key does not exist.
func (p *Provider) gone(ctx context.Context, r request) error {
	_, err := p.read(ctx, r)
	if err == nil {
		return fmt.Errorf("hashivault: %s %s: the key is still there: %w", r.op, r.root, keytree.ErrUnavailable)
	}
	if errors.Is(err, keytree.ErrForgotten) {
		return nil
	}
	return err
}

// step posts to one of the endpoints below a key.
func (p *Provider) step(ctx context.Context, r request, endpoint string, b body) error {
	_, err := p.post(ctx, r, "keys/"+string(r.root)+"/"+endpoint, b)
	return err
}

// post writes to a path of the engine and gives the answer's data.
func (p *Provider) post(ctx context.Context, r request, path string, b body) (data map[string]any, err error) {
	err = p.do(ctx, r, func(ctx context.Context, vault *api.Logical) error {
		secret, err := vault.WriteWithContext(ctx, p.mount+"/"+path, b)
		if secret != nil {
			data = secret.Data
		}
		return err
	})
	return data, err
}

// read gives what Vault says of a key.
func (p *Provider) read(ctx context.Context, r request) (k key, err error) {
	err = p.do(ctx, r, func(ctx context.Context, vault *api.Logical) error {
		answer, err := vault.ReadRawWithContext(ctx, p.mount+"/keys/"+string(r.root))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		return k.decode(answer)
	})
	return k, err
}

// remove deletes a key that allows it.
func (p *Provider) remove(ctx context.Context, r request) error {
	return p.do(ctx, r, func(ctx context.Context, vault *api.Logical) error {
		_, err := vault.DeleteWithContext(ctx, p.mount+"/keys/"+string(r.root))
		return err
	})
}

// parse reads the version of a ciphertext of transit that can hold a key:
// "vault:v" version ":" base64 of iv(12) ‖ key(32) ‖ tag(16). It is strict, for
// Vault reads "v0" as version 1 and calls "v-1" too old.
func parse(wrapped string) (version int, ok bool) {
	rest, ok := strings.CutPrefix(wrapped, "vault:v")
	if !ok {
		return 0, false
	}
	number, blob, _ := strings.Cut(rest, ":")
	version, err := strconv.Atoi(number)
	if err != nil || version < 1 || strconv.Itoa(version) != number {
		return 0, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(blob)
	return version, err == nil && len(b) == 12+keytree.KeySize+16
}
