package servers_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/test/servers"
)

func TestVaultLives(t *testing.T) {
	v := servers.Vault(t)
	logical := v.Client(t).Logical()
	if _, err := logical.Write("transit/keys/k", nil); err != nil {
		t.Fatal(err)
	}
	before := v.Snapshot(t)
	if _, err := logical.Write("transit/keys/k/rotate", nil); err != nil {
		t.Fatal(err)
	}
	version := func(want string) {
		t.Helper()
		key, err := logical.Read("transit/keys/k")
		if err != nil {
			t.Fatal(err)
		}
		if got := key.Data["latest_version"].(interface{ String() string }).String(); got != want {
			t.Errorf("latest_version = %s, want %s", got, want)
		}
	}
	v.Restart(t)
	version("2")
	v.Kill()
	v.Start(t)
	version("2")
	v.Seal(t)
	if _, err := logical.Read("transit/keys/k"); err == nil {
		t.Error("a sealed Vault answers")
	}
	v.Unseal(t)
	version("2")
	v.Restore(t, before)
	version("1")

	trail, err := os.ReadFile(v.AuditLog)
	if err != nil || !strings.Contains(string(trail), "transit/keys/k/rotate") {
		t.Errorf("audit log (%v) does not show the rotation", err)
	}
}

func TestVaultRoles(t *testing.T) {
	v := servers.SharedVault(t)
	v.Policy(t, "reader", `path "transit/keys/*" { capabilities = ["read"] }`)
	roleID, secretID := v.AppRole(t, "reader", "reader")
	login, err := v.Client(t).Logical().Write("auth/approle/login",
		map[string]any{"role_id": roleID, "secret_id": secretID})
	if err != nil {
		t.Fatal(err)
	}
	client := v.Client(t)
	client.SetToken(login.Auth.ClientToken)
	if _, err := client.Logical().Write("transit/keys/forbidden", nil); err == nil {
		t.Error("a reader's token makes keys")
	}
}
