package hashivault_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/test/servers"
)

// A visitor sends requests under the policy of one role, as a thief of its
// token would.
type visitor struct {
	role   hashivault.Role
	client *api.Client
}

func (s site) visitor(t *testing.T, role hashivault.Role) visitor {
	t.Helper()
	secret, err := s.Client(t).Auth().Token().Create(&api.TokenCreateRequest{
		Policies: []string{"lethe-" + string(role)}, NoDefaultPolicy: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	client := s.Client(t)
	client.SetToken(secret.Auth.ClientToken)
	return visitor{role, client}
}

// status sends a request and gives the HTTP status of the answer.
func (v visitor) status(t *testing.T, method, path string, body map[string]any) int {
	t.Helper()
	var err error
	switch method {
	case "read":
		_, err = v.client.Logical().ReadRaw(path)
	case "list":
		_, err = v.client.Logical().List(path)
	case "delete":
		_, err = v.client.Logical().Delete(path)
	default:
		_, err = v.client.Logical().Write(path, body)
	}
	var answer *api.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	if err != nil {
		t.Fatal(err)
	}
	return http.StatusOK
}

type request struct {
	method, path string
	body         map[string]any
}

// nobody is what none of Lethe's identities may do to key k.
func nobody(k string) []request {
	return []request{
		{"write", "transit/rewrap/" + k, map[string]any{"ciphertext": "vault:v1:AAAA"}},
		{"read", "transit/export/encryption-key/" + k, nil},
		{"read", "transit/export/encryption-key/" + k + "/1", nil},
		{"read", "transit/byok-export/" + k + "/" + k, nil},
		{"read", "transit/backup/" + k, nil},
		{"write", "transit/restore/" + k, map[string]any{"backup": "AAAA", "force": true}},
		{"write", "transit/restore", map[string]any{"backup": "AAAA"}},
		{"write", "transit/keys/" + k + "/import", map[string]any{"ciphertext": "AAAA"}},
		{"write", "transit/keys/" + k + "/import_version", map[string]any{"ciphertext": "AAAA"}},
		{"read", "transit/wrapping_key", nil},
		{"write", "transit/datakey/plaintext/" + k, nil},
		{"write", "transit/hmac/" + k, map[string]any{"input": "AAAA"}},
		{"list", "transit/keys", nil},
		{"write", "transit/config/keys", map[string]any{"disable_upsert": false}},
		{"write", "transit/cache-config", map[string]any{"size": 10}},
		{"write", "transit/keys/" + k + "/config", map[string]any{"exportable": true}},
		{"write", "transit/keys/" + k + "/config", map[string]any{"allow_plaintext_backup": true}},
		{"write", "transit/keys/" + k + "/config", map[string]any{"min_decryption_version": 1, "exportable": true}},
		{"write", "transit/keys/" + k + "/config", map[string]any{"auto_rotate_period": "1h"}},
		{"write", "transit/keys/" + k, map[string]any{"type": "aes256-gcm96", "exportable": true}},
		{"write", "transit/keys/" + k, map[string]any{"type": "aes256-gcm96", "derived": true}},
		{"write", "transit/keys/" + k, map[string]any{"type": "rsa-2048"}},
		{"write", "transit/encrypt/t-bbbbbbbbbbbbbbbbbbbbbbbbbb", map[string]any{"plaintext": "AAAA"}}, // would make the key
		{"write", "transit/encrypt/" + k, map[string]any{"batch_input": []any{}}},
		{"write", "transit/encrypt/" + k, map[string]any{"plaintext": "AAAA", "type": "chacha20-poly1305"}},
		{"write", "transit/decrypt/" + k, map[string]any{"batch_input": []any{}}},
		{"read", "sys/raw/core/keyring", nil},
		{"read", "sys/storage/raft/snapshot", nil},
		{"read", "sys/mounts", nil},
		{"write", "sys/policies/acl/lethe-data", map[string]any{"policy": ""}},
		{"read", "sys/policies/acl/lethe-data", nil},
		{"write", "sys/remount", map[string]any{"from": "transit", "to": "x"}},
		{"write", "sys/rotate", nil},
		{"read", "identity/entity/id", nil},
		{"read", "auth/approle/role/lethe-eraser/role-id", nil},
		{"write", "auth/token/create", nil},
		{"read", "secret/data/anything", nil},
	}
}

// notData and its like are what the role may not do beyond that.
func notData(k string) []request {
	return []request{
		{"write", "transit/encrypt/" + k, map[string]any{"plaintext": "AAAA"}},
		{"read", "transit/keys/" + k, nil},
		{"write", "transit/keys/" + k, map[string]any{"type": "aes256-gcm96"}},
		{"write", "transit/keys/" + k + "/rotate", nil},
		{"write", "transit/keys/" + k + "/config", map[string]any{"min_decryption_version": 1}},
		{"write", "transit/keys/" + k + "/trim", map[string]any{"min_available_version": 1}},
		{"delete", "transit/keys/" + k, nil},
	}
}

func notEraser(k string) []request {
	return []request{
		{"write", "transit/keys/" + k, map[string]any{"type": "aes256-gcm96"}},
		{"write", "transit/keys/" + k + "/config", map[string]any{"deletion_allowed": true}},
		{"delete", "transit/keys/" + k, nil},
	}
}

func notProvisioner(k string) []request {
	return []request{
		{"write", "transit/decrypt/" + k, map[string]any{"ciphertext": "vault:v1:AAAA"}},
		{"write", "transit/keys/" + k + "/config", map[string]any{"deletion_allowed": false}},
	}
}

func TestPoliciesForbid(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	root, _ := wrap(t, open(t, s.config))
	k := string(root)
	for role, more := range map[hashivault.Role][]request{
		hashivault.Data:        notData(k),
		hashivault.Eraser:      notEraser(k),
		hashivault.Provisioner: notProvisioner(k),
	} {
		v := s.visitor(t, role)
		for _, r := range append(nobody(k), more...) {
			if got := v.status(t, r.method, r.path, r.body); got != http.StatusForbidden {
				t.Errorf("%s: %s %s %v: status %d, want 403", role, r.method, r.path, r.body, got)
			}
		}
	}
}
