package hashivault_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree/providertest"
	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/test/servers"
)

// wants holds the findings of some checks to their levels.
func wants(t *testing.T, l finding.List, want map[string]finding.Level) {
	t.Helper()
	for check, is := range want {
		got := finding.Level("")
		for _, f := range l {
			if f.Check == check && got != finding.Failure { // several of one check: the worst is the last or a failure
				got = f.Level
			}
		}
		if got != is {
			t.Errorf("%s is %q, want %q", check, got, is)
		}
	}
	if t.Failed() {
		b, _ := json.MarshalIndent(l, "", " ")
		t.Logf("%s", b)
	}
}

func TestCheckFindsNothing(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	root, _ := wrap(t, open(t, s.config))
	before := s.keys(t)
	l := hashivault.Check(t.Context(), s.config, []hashivault.Held{{Root: root}})
	wants(t, l, map[string]finding.Level{
		"vault.reach": finding.OK, "vault.audit": finding.Advice, "vault.key": finding.OK, "vault.keys": finding.OK,
		"vault.version":    finding.Warning, // the one the tests run on is 1.21.0
		"vault.data.login": finding.OK, "vault.data.token": finding.OK, "vault.data.policy": finding.OK, "vault.data.limits": finding.OK,
		"vault.eraser.login": finding.OK, "vault.eraser.token": finding.OK, "vault.eraser.policy": finding.OK, "vault.eraser.limits": finding.OK,
		"vault.provisioner.login": finding.OK, "vault.provisioner.token": finding.OK, "vault.provisioner.policy": finding.OK, "vault.provisioner.limits": finding.OK,
	})
	if n := l.Count(finding.Failure); n != 0 {
		t.Errorf("%d failures", n)
	}
	if n := s.keys(t); n != before {
		t.Errorf("%d keys after the check, %d before", n, before)
	}
}

// keys counts the keys of the transit engine.
func (s site) keys(t *testing.T) int {
	t.Helper()
	secret, err := s.Client(t).Logical().List("transit/keys")
	if err != nil {
		t.Fatal(err)
	}
	return len(secret.Data["keys"].([]any))
}

// as gives the site with other rules for one role.
func (s site) as(t *testing.T, role hashivault.Role, name, rules string) hashivault.Config {
	t.Helper()
	s.Policy(t, name, rules)
	id, secret := s.AppRole(t, name, name)
	c, login := s.config, hashivault.AppRole{RoleID: id, SecretIDFile: keep(t, secret)}
	switch role {
	case hashivault.Data:
		c.Data = login
	case hashivault.Eraser:
		c.Eraser = login
	case hashivault.Provisioner:
		c.Provisioner = login
	}
	return c
}

func TestCheckFindsRights(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	without := func(text, cut string) string { return strings.ReplaceAll(text, cut, "") }
	data, eraser := hashivault.Policy(hashivault.Data, "transit"), hashivault.Policy(hashivault.Eraser, "transit")
	for name, c := range map[string]struct {
		role  hashivault.Role
		rules string
		want  map[string]finding.Level
	}{
		"wide": {hashivault.Data, data + `path "transit/*" { capabilities = ["create", "read", "update", "list"] }`,
			map[string]finding.Level{"vault.data.policy": finding.Failure, "vault.data.limits": finding.Failure}},
		"elsewhere": {hashivault.Data, data + `path "sys/policies/acl/*" { capabilities = ["update"] }`,
			map[string]finding.Level{"vault.data.policy": finding.Failure, "vault.data.limits": finding.OK}},
		"another-role": {hashivault.Data, data + `path "transit/encrypt/+" { capabilities = ["update"] }`,
			map[string]finding.Level{"vault.data.policy": finding.Warning, "vault.data.limits": finding.OK}},
		"upsert": {hashivault.Eraser, eraser + `path "transit/encrypt/+" { capabilities = ["create", "update"] }`,
			map[string]finding.Level{"vault.eraser.policy": finding.Failure}},
		"any-parameter": {hashivault.Eraser, without(eraser, `allowed_parameters = { "min_encryption_version" = [], "min_decryption_version" = [] }`),
			map[string]finding.Level{"vault.eraser.policy": finding.OK, "vault.eraser.limits": finding.Failure}},
		"narrow": {hashivault.Data, `path "auth/token/lookup-self" { capabilities = ["read"] }`,
			map[string]finding.Level{"vault.data.policy": finding.Failure, "vault.key": finding.Failure}},
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, hashivault.Check(t.Context(), s.as(t, c.role, "check-"+name, c.rules), nil), c.want)
		})
	}
}

func TestCheckFindsTokens(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	c := s.config
	c.Data = hashivault.Token(s.RootToken)
	l := hashivault.Check(t.Context(), c, nil)
	wants(t, l, map[string]finding.Level{"vault.data.token": finding.Failure, "vault.data.policy": finding.Failure, "vault.data.limits": finding.Failure})
	hides(t, l, s.RootToken)
	if _, err := s.Client(t).Auth().Token().LookupSelf(); err != nil {
		t.Fatalf("the token that was given is gone: %v", err)
	}

	id, _ := s.AppRole(t, "check-wrong", "lethe-data")
	c.Data = hashivault.AppRole{RoleID: id, SecretIDFile: keep(t, "canary-of-a-secret")}
	l = hashivault.Check(t.Context(), c, nil)
	wants(t, l, map[string]finding.Level{"vault.data.login": finding.Failure, "vault.eraser.login": finding.OK, "vault.key": ""})
	hides(t, l, "canary-of-a-secret", id)
}

// The shipped policy is enough to find out about itself. Without the right to
// ask, only what changes nothing is tried.
func TestCheckWithoutDefaultPolicy(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	c := s.config
	mute := func(rules string) string { return strings.ReplaceAll(rules, "sys/capabilities-self", "sys/nothing") }
	for name, test := range map[string]struct {
		rules          string
		policy, limits finding.Level
	}{
		"shipped":   {hashivault.Policy(hashivault.Data, "transit"), finding.OK, finding.OK},
		"mute":      {mute(hashivault.Policy(hashivault.Data, "transit")), finding.Skipped, finding.OK},
		"mute-wide": {mute(hashivault.Policy(hashivault.Data, "transit")) + `path "transit/*" { capabilities = ["create", "read", "update"] }`, finding.Skipped, finding.Failure},
	} {
		c.Data = s.bare(t, "check-"+name, test.rules)
		wants(t, hashivault.Check(t.Context(), c, nil), map[string]finding.Level{
			"vault.data.policy": test.policy, "vault.data.limits": test.limits, "vault.key": finding.OK})
	}
}

// bare is an AppRole whose tokens have these rules and no other.
func (s site) bare(t *testing.T, name, rules string) hashivault.Login {
	t.Helper()
	s.Policy(t, name, rules)
	id, secret := s.AppRole(t, name, name)
	if _, err := s.Client(t).Logical().Write("auth/approle/role/"+name, map[string]any{"token_policies": name, "token_no_default_policy": true}); err != nil {
		t.Fatal(err)
	}
	return hashivault.AppRole{RoleID: id, SecretIDFile: keep(t, secret)}
}

// A head above all versions of its key, or below it versions that should be gone, tell
// of a snapshot that was restored.
func TestCheckFindsRestored(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	p := open(t, s.config)
	root, _ := wrap(t, p)
	if _, err := p.Rotate(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[int]finding.Level{0: "", 1: "", 2: finding.Warning, 3: finding.Failure} {
		l := hashivault.Check(t.Context(), s.config, []hashivault.Held{{Root: root, Version: version}})
		wants(t, l, map[string]finding.Level{"vault.keys": finding.OK, "vault.restored": want})
	}
}

func TestCheckFindsKeys(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	root, _ := wrap(t, open(t, s.config))
	if _, err := s.Client(t).Logical().Write("transit/keys/"+string(root)+"/config", map[string]any{"exportable": true}); err != nil {
		t.Fatal(err)
	}
	wants(t, hashivault.Check(t.Context(), s.config, []hashivault.Held{{Root: root}}), map[string]finding.Level{"vault.keys": finding.Failure})
	wants(t, hashivault.Check(t.Context(), s.config, []hashivault.Held{{Root: providertest.NewRoot()}}), map[string]finding.Level{"vault.keys": finding.Failure})
}

// A Vault that is sealed, gone or silent is found within bounded time.
func TestCheckOfVaultAway(t *testing.T) {
	s := build(t, servers.Vault(t))
	s.Seal(t)
	wants(t, hashivault.Check(t.Context(), s.config, nil), map[string]finding.Level{"vault.reach": finding.Failure, "vault.data.login": ""})
	s.Stop()
	wants(t, hashivault.Check(t.Context(), s.config, nil), map[string]finding.Level{"vault.reach": finding.Failure, "vault.data.login": ""})
	silent := new(silence)
	silent.on.Store(true)
	s.config.Transport = silent
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	wants(t, hashivault.Check(ctx, s.config, nil), map[string]finding.Level{"vault.reach": finding.Failure})
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("found after %v", took)
	}
}

func hides(t *testing.T, l finding.List, secrets ...string) {
	t.Helper()
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if strings.Contains(string(b), s) {
			t.Errorf("what was found holds a secret: %s", b)
		}
	}
}
