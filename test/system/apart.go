package system

import (
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/test/servers"
)

// Apart starts a scaled-out system whose roles are to be processes of their
// own, and gives its front. The front's environment holds one identity at
// Vault, which can only decrypt.
func Apart(t testing.TB) *System {
	t.Helper()
	s := prepare(t, servers.Vault(t), servers.MinIO(t), servers.PostgreSQL(t))
	s.whole = s.env
	s.take("front")
	s.begin()
	return s
}

// Process starts a process with other roles, as --roles has them, beside a
// front that Apart gave.
func (s *System) Process(roles string) *System {
	s.t.Helper()
	r := s.beside()
	r.env = s.whole
	r.take(roles)
	r.begin()
	return r
}

// take gives a process its roles, and leaves it the identities that they need.
func (s *System) take(roles string) {
	s.flags = append(s.flags, "--roles", roles)
	if strings.Contains(roles, "eraser") {
		return
	}
	var kept []string
	for _, v := range s.env {
		if !strings.HasPrefix(v, "LETHE_VAULT_ERASER_") && !strings.HasPrefix(v, "LETHE_VAULT_PROVISIONER_") {
			kept = append(kept, v)
		}
	}
	s.env = kept
}

// Identity is how the server logs in at Vault for a role.
func (s *System) Identity(role hashivault.Role) hashivault.Login {
	s.t.Helper()
	for prefix, r := range identities {
		if r == role {
			return hashivault.AppRole{RoleID: s.setting(prefix + "ROLE_ID"), SecretIDFile: s.setting(prefix + "SECRET_ID_FILE")}
		}
	}
	s.t.Fatalf("there is no role %s", role)
	return nil
}
