package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/vault/api"
)

// A VaultServer is HashiCorp Vault in production mode: raft storage on disk,
// one unseal key, the transit engine at transit/, a file audit device.
type VaultServer struct {
	Addr      string // "http://127.0.0.1:port", the same after a restart
	RootToken string
	AuditLog  string // path of the file audit device, one JSON object a line

	dir       string
	unsealKey string
	process   *process
}

// Vault starts a Vault for t alone, initialised and unsealed.
func Vault(t testing.TB) *VaultServer {
	t.Helper()
	v, err := newVault(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Kill)
	return v
}

// SharedVault gives the one Vault of this test binary. Tests that seal, stop
// or restore it take a Vault of their own instead.
func SharedVault(t testing.TB) *VaultServer {
	t.Helper()
	return must(t, sharedVault)
}

var sharedVault = sync.OnceValues(func() (*VaultServer, error) {
	dir, err := sharedDir("lethe-vault-")
	if err != nil {
		return nil, err
	}
	return newVault(dir)
})

func newVault(dir string) (*VaultServer, error) {
	v := &VaultServer{dir: dir, AuditLog: filepath.Join(dir, "audit.log")}
	if err := os.Mkdir(filepath.Join(dir, "raft"), 0o700); err != nil {
		return nil, err
	}
	err := retryPort(func() error {
		if err := v.configure(); err != nil {
			return err
		}
		return v.run()
	})
	if err != nil {
		return nil, err
	}
	if err := v.initialise(); err != nil {
		v.process.kill()
		return nil, v.process.failure(err)
	}
	return v, nil
}

// configure writes the server's configuration with two fresh ports.
func (v *VaultServer) configure() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	clusterPort, err := freePort()
	if err != nil {
		return err
	}
	v.Addr = fmt.Sprintf("http://127.0.0.1:%d", port)
	config := fmt.Sprintf(`
storage "raft" {
  path                   = %q
  node_id                = "test"
  performance_multiplier = 1
}
listener "tcp" {
  address         = "127.0.0.1:%d"
  cluster_address = "127.0.0.1:%d"
  tls_disable     = true
}
api_addr      = %q
cluster_addr  = "http://127.0.0.1:%d"
disable_mlock = true
`, filepath.Join(v.dir, "raft"), port, clusterPort, v.Addr, clusterPort)
	return os.WriteFile(filepath.Join(v.dir, "vault.hcl"), []byte(config), 0o600)
}

// run starts the process and waits until it answers, sealed or not yet initialised.
func (v *VaultServer) run() error {
	binary, err := vaultTool.binary(context.Background())
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, "server", "-config="+filepath.Join(v.dir, "vault.hcl"))
	cmd.Env = environment(v.dir, "VAULT_DISABLE_FILE_PERMISSIONS_CHECK=true")
	p, err := start(cmd, filepath.Join(v.dir, "vault.log"))
	if err != nil {
		return err
	}
	v.process = p
	return p.waitReady(probeHTTP(v.Addr+"/v1/sys/health", http.StatusNotImplemented, http.StatusServiceUnavailable))
}

// initialise makes the keys, unseals, and mounts transit and the audit device.
func (v *VaultServer) initialise() error {
	client, err := v.client("")
	if err != nil {
		return err
	}
	init, err := client.Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return err
	}
	v.RootToken, v.unsealKey = init.RootToken, init.Keys[0]
	if err := v.unseal(); err != nil {
		return err
	}
	client.SetToken(v.RootToken)
	if err := client.Sys().Mount("transit", &api.MountInput{Type: "transit"}); err != nil {
		return err
	}
	return client.Sys().EnableAuditWithOptions("file", &api.EnableAuditOptions{
		Type:    "file",
		Options: map[string]string{"file_path": v.AuditLog},
	})
}

// unseal gives the unseal key and waits until the server leads its raft of one.
func (v *VaultServer) unseal() error {
	client, err := v.client("")
	if err != nil {
		return err
	}
	if _, err := client.Sys().Unseal(v.unsealKey); err != nil {
		return err
	}
	return v.process.waitReady(probeHTTP(v.Addr + "/v1/sys/health"))
}

func (v *VaultServer) client(token string) (*api.Client, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, config.Error
	}
	config.Address = v.Addr
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.SetToken(token)
	return client, nil
}

// Client gives a client with the root token.
func (v *VaultServer) Client(t testing.TB) *api.Client {
	t.Helper()
	client, err := v.client(v.RootToken)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Seal seals the server; it goes on answering, 503 to everything.
func (v *VaultServer) Seal(t testing.TB) {
	t.Helper()
	if err := v.Client(t).Sys().Seal(); err != nil {
		t.Fatal(err)
	}
}

// Unseal undoes Seal.
func (v *VaultServer) Unseal(t testing.TB) {
	t.Helper()
	if err := v.unseal(); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the server in order. Its address refuses connections until Start.
func (v *VaultServer) Stop() { v.process.stop(syscall.SIGTERM) }

// Kill ends the server as a power cut would.
func (v *VaultServer) Kill() { v.process.kill() }

// Start starts a stopped or killed server again, at the same address, and unseals it.
func (v *VaultServer) Start(t testing.TB) {
	t.Helper()
	err := v.run()
	if err == nil {
		err = v.unseal()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Restart ends the server in order and starts it again.
func (v *VaultServer) Restart(t testing.TB) {
	t.Helper()
	v.Stop()
	v.Start(t)
}

// Snapshot takes a raft snapshot: the backup that an operator would keep.
func (v *VaultServer) Snapshot(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := v.Client(t).Sys().RaftSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Restore brings the server back to a snapshot of its own and waits for it.
func (v *VaultServer) Restore(t testing.TB, snapshot []byte) {
	t.Helper()
	if err := v.Client(t).Sys().RaftSnapshotRestore(bytes.NewReader(snapshot), true); err != nil {
		t.Fatal(err)
	}
	v.Restart(t) // the answer comes before the state is installed; stopping waits for that
}

// Policy writes an ACL policy.
func (v *VaultServer) Policy(t testing.TB, name, rules string) {
	t.Helper()
	if err := v.Client(t).Sys().PutPolicy(name, rules); err != nil {
		t.Fatal(err)
	}
}

// AppRole makes a role at auth/approle/ whose tokens carry policies.
func (v *VaultServer) AppRole(t testing.TB, name string, policies ...string) (roleID, secretID string) {
	t.Helper()
	v.enableAuth(t, "approle")
	role := "auth/approle/role/" + name
	v.write(t, role, map[string]any{"token_policies": policies})
	id, err := v.Client(t).Logical().Read(role + "/role-id")
	if err != nil {
		t.Fatal(err)
	}
	secret := v.write(t, role+"/secret-id", nil)
	return id.Data["role_id"].(string), secret.Data["secret_id"].(string)
}

// JWTRole makes a role at auth/jwt/ for tokens that the key signs (PEM of the
// public key; for one server the last key given counts), of the audience
// given. The claim "sub" names the user.
func (v *VaultServer) JWTRole(t testing.TB, name, publicKey, audience string, policies ...string) {
	t.Helper()
	v.enableAuth(t, "jwt")
	v.write(t, "auth/jwt/config", map[string]any{"jwt_validation_pubkeys": []string{publicKey}})
	v.write(t, "auth/jwt/role/"+name, map[string]any{
		"role_type":       "jwt",
		"user_claim":      "sub",
		"bound_audiences": []string{audience},
		"token_policies":  policies,
	})
}

// enableAuth mounts an auth method at its own name, unless it is there.
func (v *VaultServer) enableAuth(t testing.TB, method string) {
	t.Helper()
	sys := v.Client(t).Sys()
	mounts, err := sys.ListAuth()
	if err != nil {
		t.Fatal(err)
	}
	if mounts[method+"/"] != nil {
		return
	}
	err = sys.EnableAuthWithOptions(method, &api.EnableAuthOptions{Type: method})
	if err != nil && !alreadyMounted(err) {
		t.Fatal(err)
	}
}

// alreadyMounted: a parallel test was first.
func alreadyMounted(err error) bool {
	var response *api.ResponseError
	return errors.As(err, &response) && response.StatusCode == http.StatusBadRequest
}

func (v *VaultServer) write(t testing.TB, path string, data map[string]any) *api.Secret {
	t.Helper()
	secret, err := v.Client(t).Logical().Write(path, data)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}
