package hashivault_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/keytree/providertest"
	"github.com/lethe-vault/lethe/test/servers"
)

// Every line of the table is what the real server answers to a request that
// Provider, or a mistake in front of it, would send.
func TestAnswers(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	root, wrapped := wrap(t, open(t, s.config))
	k, missing := string(root), string(providertest.NewRoot())
	v := visitor{client: s.Client(t)} // root's, for these are not questions of policy
	write := func(path string, body map[string]any) error {
		_, err := v.client.Logical().Write(path, body)
		return err
	}
	decrypt := func(key string, wrapped []byte, bind string) error {
		return write("transit/decrypt/"+key, map[string]any{
			"ciphertext": string(wrapped), "associated_data": base64.StdEncoding.EncodeToString([]byte(bind)),
		})
	}
	encrypt := func(version int) error {
		return write("transit/encrypt/"+k, map[string]any{"plaintext": "AAAA", "key_version": version})
	}
	read := func(path string) error {
		_, err := v.client.Logical().ReadRaw(path)
		return err
	}
	remove := func(path string) error {
		_, err := v.client.Logical().Delete(path)
		return err
	}
	expect := func(doing string, err, want error) {
		t.Helper()
		if _, class := hashivault.Classify(err); err == nil || class != want {
			t.Errorf("%s: class %v, want %v", doing, class, want)
		}
	}
	expect("decrypt, too new", decrypt(k, relabel(wrapped, 2), "bind"), keytree.ErrRolledBack)
	expect("decrypt, other bind", decrypt(k, wrapped, "other"), keytree.ErrBind)
	expect("decrypt, damaged", decrypt(k, []byte("vault:v1:AAAA"), "bind"), keytree.ErrBind)
	expect("decrypt, no prefix", decrypt(k, []byte("AAAA"), "bind"), keytree.ErrBind)
	expect("decrypt, missing key", decrypt(missing, wrapped, "bind"), keytree.ErrForgotten)
	expect("encrypt, too new", encrypt(2), keytree.ErrRolledBack)
	expect("read, missing key", read("transit/keys/"+missing), keytree.ErrForgotten)
	expect("rotate, missing key", write("transit/keys/"+missing+"/rotate", nil), keytree.ErrForgotten)
	expect("config, missing key", write("transit/keys/"+missing+"/config", map[string]any{"min_decryption_version": 1}), keytree.ErrForgotten)
	expect("trim, missing key", write("transit/keys/"+missing+"/trim", map[string]any{"min_available_version": 1}), keytree.ErrForgotten)
	expect("delete, missing key", remove("transit/keys/"+missing), keytree.ErrForgotten)
	expect("delete, not allowed", remove("transit/keys/"+k), keytree.ErrUnavailable)
	expect("trim, beyond the minimum", write("transit/keys/"+k+"/trim", map[string]any{"min_available_version": 2}), keytree.ErrUnavailable)
	expect("decrypt, missing mount", write("nowhere/decrypt/"+k, nil), keytree.ErrUnavailable)
	expect("read, missing mount", read("nowhere/keys/"+k), keytree.ErrUnavailable)

	for _, step := range []error{
		write("transit/keys/"+k+"/rotate", nil),
		write("transit/keys/"+k+"/config", map[string]any{"min_encryption_version": 2, "min_decryption_version": 2}),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	expect("decrypt, raised above", decrypt(k, wrapped, "bind"), keytree.ErrForgotten)
	expect("encrypt, raised above", encrypt(1), keytree.ErrForgotten)
	v.client.SetToken("hvs.wrong")
	expect("wrong token", decrypt(k, wrapped, "bind"), keytree.ErrUnavailable)
	v.client.SetToken("")
	expect("no token", read("transit/keys/"+k), keytree.ErrUnavailable)
}

// Every state that a crash can leave a key in is one that the next call of the
// same kind completes from.
func TestInterrupted(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	p := open(t, s.config)
	vault := s.Client(t).Logical()
	type step struct {
		endpoint string
		body     map[string]any
	}
	made := step{"", map[string]any{"type": "aes256-gcm96"}}
	minimums := func(n int) step {
		return step{"/config", map[string]any{"min_encryption_version": n, "min_decryption_version": n}}
	}
	trimmed := func(n int) step { return step{"/trim", map[string]any{"min_available_version": n}} }
	rotated := step{"/rotate", nil}
	deletable := step{"/config", map[string]any{"deletion_allowed": true}}

	create := func(root keytree.Root) error { return p.Create(t.Context(), root) }
	retire := func(root keytree.Root) error { return p.Retire(t.Context(), root, 2) }
	destroy := func(root keytree.Root) error { return p.Destroy(t.Context(), root) }
	for _, c := range []struct {
		name   string
		before []step
		resume func(keytree.Root) error
		want   []int // min_available_version and latest_version; nil for gone
	}{
		{"create: made", []step{made}, create, []int{1, 1}},
		{"create: raised", []step{made, minimums(1)}, create, []int{1, 1}},
		{"retire: rotated", []step{made, minimums(1), trimmed(1), rotated}, retire, []int{2, 2}},
		{"retire: raised", []step{made, minimums(1), trimmed(1), rotated, minimums(2)}, retire, []int{2, 2}},
		{"retire: trimmed", []step{made, minimums(1), trimmed(1), rotated, minimums(2), trimmed(2)}, retire, []int{2, 2}},
		{"retire: raised further", []step{made, minimums(1), trimmed(1), rotated, rotated, minimums(3)}, retire, []int{2, 3}},
		{"retire: never trimmed", []step{made, rotated, rotated}, retire, []int{2, 3}},
		{"destroy: made", []step{made}, destroy, nil},
		{"destroy: rotated", []step{made, minimums(1), trimmed(1), rotated}, destroy, nil},
		{"destroy: raised", []step{made, minimums(1), trimmed(1), rotated, minimums(2)}, destroy, nil},
		{"destroy: deletable", []step{made, minimums(1), trimmed(1), rotated, minimums(2), trimmed(2), deletable}, destroy, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := providertest.NewRoot()
			path := "transit/keys/" + string(root)
			for _, st := range c.before {
				if _, err := vault.Write(path+st.endpoint, st.body); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.resume(root); err != nil {
				t.Fatal(err)
			}
			secret, err := vault.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			if secret != nil {
				got = []int{number(t, secret.Data["min_available_version"]), number(t, secret.Data["latest_version"])}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Fatalf("available from and latest are %v, want %v", got, c.want)
			}
		})
	}
}

func number(t *testing.T, v any) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(fmt.Sprint(v), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A key of the right name that can leave Vault is not taken for ours.
func TestExportableKeyIsRefused(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	p := open(t, s.config)
	for _, body := range []map[string]any{
		{"type": "aes256-gcm96", "exportable": true},
		{"type": "aes256-gcm96", "allow_plaintext_backup": true},
		{"type": "aes256-gcm96", "derived": true},
		{"type": "chacha20-poly1305"},
	} {
		root := providertest.NewRoot()
		if _, err := s.Client(t).Logical().Write("transit/keys/"+string(root), body); err != nil {
			t.Fatal(err)
		}
		if err := p.Create(t.Context(), root); !errors.Is(err, keytree.ErrUnavailable) {
			t.Errorf("Create over a key with %v: %v, want ErrUnavailable", body, err)
		}
	}
}

// A Vault restored from before a rotation is older than what was wrapped
// after it; and one restored from before a retirement opens the old again,
// which is why a certificate names the retention of Vault's snapshots.
func TestRestoredVault(t *testing.T) {
	t.Parallel()
	s := build(t, servers.Vault(t))
	p := open(t, s.config)
	root, old := wrap(t, p)
	snapshot := s.Snapshot(t)
	version, err := p.Rotate(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := p.Wrap(t.Context(), root, version, keytree.NewKey(), []byte("bind"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Retire(t.Context(), root, version); err != nil {
		t.Fatal(err)
	}
	s.Restore(t, snapshot)
	reader{p, root, old}.recovers(t, 40*time.Second)
	if _, err := p.Unwrap(t.Context(), root, fresh, []byte("bind")); !errors.Is(err, keytree.ErrRolledBack) {
		t.Fatalf("Unwrap of what came after the snapshot: %v, want ErrRolledBack", err)
	}
}

// The wrapped keys stand in Vault's audit file only under its HMAC.
func TestAuditHoldsNoKey(t *testing.T) {
	t.Parallel()
	s := build(t, servers.Vault(t))
	p := open(t, s.config)
	root := providertest.NewRoot()
	if err := p.Create(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		k := keytree.NewKey()
		wrapped, err := p.Wrap(t.Context(), root, 1, k, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Unwrap(t.Context(), root, wrapped, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Unwrap(t.Context(), root, wrapped, []byte("other")); err == nil {
			t.Fatal("Unwrap took another bind")
		}
		log, err := os.ReadFile(s.AuditLog)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(log, []byte("transit/encrypt/"+string(root))) {
			t.Fatal("the audit file does not show the requests")
		}
		for _, form := range [][]byte{k.Bytes(), []byte(base64.StdEncoding.EncodeToString(k.Bytes())), wrapped, fmt.Appendf(nil, "%x", k.Bytes())} {
			if bytes.Contains(log, form) {
				t.Fatal("the audit file holds a key")
			}
		}
	}
}

// What Vault says never stands in an error of ours.
func TestErrorsRepeatNothing(t *testing.T) {
	s := build(t, servers.SharedVault(t))
	p := open(t, s.config)
	root, wrapped := wrap(t, p)
	_, bind := p.Unwrap(t.Context(), root, wrapped, []byte("other bind"))
	_, future := p.Unwrap(t.Context(), root, relabel(wrapped, 7), []byte("bind"))
	_, missing := p.Versions(t.Context(), providertest.NewRoot())
	for _, err := range []error{bind, future, missing} {
		for _, leak := range []string{"authentication", "too new", "URL", "errors", "://", string(wrapped[9:])} {
			if strings.Contains(err.Error(), leak) {
				t.Errorf("error %q repeats %q", err, leak)
			}
		}
	}
}
