package redteam

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// heads are all that ever were.
func (th *thief) heads() (all []decryptor.Head) {
	th.t.Helper()
	for key, contents := range th.blobs {
		if !strings.HasPrefix(key, "head/") {
			continue
		}
		if len(contents) != 1 {
			th.t.Errorf("%s was changed", key)
		}
		h, err := decryptor.ParseHead([]byte(contents[0]))
		if err != nil {
			th.t.Fatalf("%s: %v", key, err)
		}
		all = append(all, h)
	}
	return all
}

// trees asks the key provider, with all rights to data, to open every head that ever
// was, as whichever version of the key there is, and gives the trees of those that it
// opens.
func (th *thief) trees() (all []tree) {
	th.t.Helper()
	unwrap := th.vaultUnwraps()
	if th.s.Vault == nil {
		unwrap = th.directoryUnwraps()
	}
	heads := th.heads()
	pages := map[string][]byte{}
	for key, contents := range th.blobs {
		if strings.HasPrefix(key, "pages/") {
			pages[key] = []byte(contents[0])
		}
	}
	for _, h := range heads {
		for version := range uint64(len(heads) + 2) {
			h.Version = version
			root, ok := unwrap(h)
			if !ok {
				continue
			}
			opened, err := decryptor.OpenTree(h, root, decryptor.StoredPacks(h.Tenant, pages))
			if err != nil {
				th.t.Fatalf("a root that opens opens no tree: %v", err)
			}
			all = append(all, tree{opened, h})
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
func (th *thief) vaultUnwraps() func(decryptor.Head) ([32]byte, bool) {
	if th.s.Vault == nil {
		return nil
	}
	logical, lowered := th.s.Vault.Client(th.t).Logical(), map[keytree.Root]bool{}
	return func(h decryptor.Head) (root [32]byte, ok bool) {
		name := keytree.RootOf(recording.Tenant(h.Tenant))
		for oldest := 1; !lowered[name] && oldest < 100; oldest++ {
			_, err := logical.Write("transit/keys/"+string(name)+"/config", map[string]any{"min_decryption_version": oldest})
			lowered[name] = err == nil
		}
		sealed := strings.Split(string(h.Wrapped), ":") // vault:v1:…
		answer, err := logical.Write("transit/decrypt/"+string(name), map[string]any{
			"ciphertext":      fmt.Sprintf("vault:v%d:%s", h.Version, sealed[2]),
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

// directoryUnwraps asks a copy of the embedded keys, as they are now.
func (th *thief) directoryUnwraps() func(decryptor.Head) ([32]byte, bool) {
	th.t.Helper()
	dir := th.t.TempDir()
	th.copyKeys(dir)
	keys, err := localkeys.New(dir)
	if err != nil {
		th.t.Fatal(err)
	}
	th.t.Cleanup(func() { keys.Close() })
	return func(h decryptor.Head) (root [32]byte, ok bool) {
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
