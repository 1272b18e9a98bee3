package redteam

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// heads are all that ever were, in the store or in a row.
func (th *thief) heads() (all []decryptor.Head) {
	th.t.Helper()
	found := map[string]string{}
	for key, contents := range th.blobs {
		if !strings.HasPrefix(key, "head/") {
			continue
		}
		if len(contents) != 1 {
			th.t.Errorf("%s was changed", key)
		}
		found[contents[0]] = key
	}
	for _, r := range th.rows {
		if r.table == "tenants" {
			found[r.text("head")] = "a row"
		}
	}
	for b, where := range found {
		h, err := decryptor.ParseHead([]byte(b))
		if err != nil {
			th.t.Fatalf("%s: %v", where, err)
		}
		all = append(all, h)
	}
	return all
}

// unwrap opens the root of a head with a version of the key.
type unwrap func(h decryptor.Head, version uint64) (root [32]byte, ok bool)

// provider asks the key provider, with all rights to data.
func (th *thief) provider() unwrap {
	th.t.Helper()
	if th.s.Vault == nil {
		return th.directoryUnwraps()
	}
	return th.vaultUnwraps()
}

// trees opens every head that ever was, with whichever version of the key there is and
// bound to that or to its own, and gives the trees of those that open.
func (th *thief) trees(open unwrap) (all []tree) {
	th.t.Helper()
	heads, opens := th.heads(), map[[32]byte]bool{}
	pages := map[string][]byte{}
	for key, contents := range th.blobs {
		if strings.HasPrefix(key, "pages/") {
			pages[key] = []byte(contents[0])
		}
	}
	for _, h := range heads {
		own := h.Version
		for version := range uint64(len(heads) + 2) {
			for _, h.Version = range slices.Compact([]uint64{own, version}) {
				root, ok := open(h, version)
				if !ok || opens[root] {
					continue
				}
				opens[root] = true
				opened, err := decryptor.OpenTree(h, root, decryptor.StoredPacks(h.Tenant, pages))
				if err != nil {
					th.t.Fatalf("a root that opens opens no tree: %v", err)
				}
				all = append(all, tree{opened, h})
			}
		}
	}
	return all
}

// tree is what a head opens.
type tree struct {
	decryptor.Tree
	head decryptor.Head
}

// vaultUnwraps asks Vault with the root token, when the oldest version that can be
// had may be used again.
func (th *thief) vaultUnwraps() unwrap {
	logical, lowered := th.s.Vault.Client(th.t).Logical(), map[keytree.Root]bool{}
	return func(h decryptor.Head, version uint64) (root [32]byte, ok bool) {
		name := keytree.RootOf(recording.Tenant(h.Tenant))
		for oldest := 1; !lowered[name] && oldest < 100; oldest++ {
			_, err := logical.Write("transit/keys/"+string(name)+"/config", map[string]any{"min_decryption_version": oldest})
			lowered[name] = err == nil
		}
		answer, err := logical.Write("transit/decrypt/"+string(name), map[string]any{
			"ciphertext":      fmt.Sprintf("vault:v%d:%s", version, sealedByVault(h)),
			"associated_data": base64.StdEncoding.EncodeToString(decryptor.Bind(h)),
		})
		if err != nil {
			return root, false
		}
		plain, err := base64.StdEncoding.DecodeString(answer.Data["plaintext"].(string))
		if err != nil || len(plain) != len(root) {
			th.t.Fatalf("Vault opens %d bytes, %v", len(plain), err)
		}
		return [32]byte(plain), true
	}
}

// sealedByVault is what stands behind vault:v1: in a wrapped root.
func sealedByVault(h decryptor.Head) string { return strings.SplitN(string(h.Wrapped), ":", 3)[2] }

// takenOut opens with the keys themselves, as Vault gives them out in a backup to who
// has first allowed it; whereupon they are of no more use to Lethe.
func (th *thief) takenOut() unwrap {
	th.t.Helper()
	logical, keys := th.s.Vault.Client(th.t).Logical(), map[keytree.Root][]cipher.AEAD{}
	for _, h := range th.heads() {
		name := keytree.RootOf(recording.Tenant(h.Tenant))
		if keys[name] == nil {
			keys[name] = th.backup(logical, string(name))
			th.t.Logf("Vault gives out %d keys of %s", len(keys[name]), name)
		}
	}
	return func(h decryptor.Head, _ uint64) (root [32]byte, ok bool) {
		sealed, err := base64.StdEncoding.DecodeString(sealedByVault(h))
		if err != nil {
			th.t.Fatal(err)
		}
		for _, key := range keys[keytree.RootOf(recording.Tenant(h.Tenant))] {
			plain, err := key.Open(nil, sealed[:key.NonceSize()], sealed[key.NonceSize():], decryptor.Bind(h))
			if err == nil {
				return [32]byte(plain), true
			}
		}
		return root, false
	}
}

// backup gives every version of a key that Vault has, be it in use or archived.
func (th *thief) backup(logical *api.Logical, name string) (all []cipher.AEAD) {
	th.t.Helper()
	_, err := logical.Write("transit/keys/"+name+"/config", map[string]any{"exportable": true, "allow_plaintext_backup": true})
	if err != nil {
		th.t.Fatal(err)
	}
	answer, err := logical.Read("transit/backup/" + name)
	if err != nil {
		th.t.Fatal(err)
	}
	type version struct{ Key []byte }
	var has struct {
		Policy   struct{ Keys map[string]version }
		Archived struct{ Keys []version } `json:"archived_keys"`
	}
	plain, err := base64.StdEncoding.DecodeString(answer.Data["backup"].(string))
	if err == nil {
		err = json.Unmarshal(plain, &has)
	}
	if err != nil {
		th.t.Fatal(err)
	}
	for _, v := range slices.AppendSeq(has.Archived.Keys, maps.Values(has.Policy.Keys)) {
		if len(v.Key) == 0 {
			continue // a place in the archive that was emptied
		}
		block, err := aes.NewCipher(v.Key)
		if err != nil {
			th.t.Fatal(err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			th.t.Fatal(err)
		}
		all = append(all, aead)
	}
	return all
}

// directoryUnwraps asks a copy of the embedded keys, as they are now.
func (th *thief) directoryUnwraps() unwrap {
	th.t.Helper()
	dir := th.t.TempDir()
	th.copyKeys(dir)
	keys, err := localkeys.New(dir)
	if err != nil {
		th.t.Fatal(err)
	}
	th.t.Cleanup(func() { keys.Close() })
	return func(h decryptor.Head, _ uint64) (root [32]byte, ok bool) {
		k, err := keys.Unwrap(th.t.Context(), keytree.RootOf(recording.Tenant(h.Tenant)), h.Wrapped, decryptor.Bind(h))
		if err != nil {
			return root, false
		}
		return [32]byte(k.Bytes()), true
	}
}

// copyKeys copies the roots of the embedded keys.
func (th *thief) copyKeys(to string) {
	th.t.Helper()
	files, err := filepath.Glob(filepath.Join(th.s.Dir, "keys", "t-*"))
	if err != nil || len(files) == 0 {
		th.t.Fatalf("no keys in %s", th.s.Dir)
	}
	for _, path := range files {
		copyFile(th.t, filepath.Join(to, filepath.Base(path)), path)
	}
}

// snapshot takes the one backup that this vault promises nothing against: that of
// the key provider itself. restore puts it back, with no server running.
func (th *thief) snapshot() (restore func()) {
	th.t.Helper()
	if th.s.Vault != nil {
		snapshot := th.s.Vault.Snapshot(th.t)
		return func() { th.s.Vault.Restore(th.t, snapshot) }
	}
	dir := th.t.TempDir()
	th.copyKeys(dir)
	return func() {
		th.walk(dir, func(name string, _ []byte) {
			copyFile(th.t, filepath.Join(th.s.Dir, "keys", name), filepath.Join(dir, name))
		})
	}
}
