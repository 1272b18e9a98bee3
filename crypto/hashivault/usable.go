package hashivault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// Usable reports whether every identity that this process has could be used
// now: it is logged in, and Vault, asked once for each, knows its token. No key
// is asked for. keytree.ErrUnavailable names the roles of which that is not so.
func (p *Provider) Usable(ctx context.Context) error {
	roles := make([]Role, 0, len(p.sessions))
	for role := range p.sessions {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	var errs []error
	for _, role := range roles {
		if err := p.sessions[role].usable(ctx); err != nil {
			errs = append(errs, fmt.Errorf("hashivault: role %s: %w", role, err))
		}
	}
	return errors.Join(errs...)
}

func (s *session) usable(ctx context.Context) error {
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	if !s.alive.Load() {
		return fmt.Errorf("%v: %w", s.trouble.Load(), keytree.ErrUnavailable)
	}
	_, err = s.client.Auth().Token().LookupSelfWithContext(ctx)
	if err == nil {
		return nil
	}
	status, _ := classify(err)
	switch {
	case status == http.StatusForbidden:
		s.refused(token)
		return fmt.Errorf("its token is refused: %w", keytree.ErrUnavailable)
	case status != 0:
		return fmt.Errorf("status %d: %w", status, keytree.ErrUnavailable)
	case ctx.Err() != nil:
		return fmt.Errorf("no answer: %w: %w", keytree.ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("no answer: %w", keytree.ErrUnavailable)
}
