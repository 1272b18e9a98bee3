package faults_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/test/blind"
	"github.com/lethe-vault/lethe/test/servers"
	"github.com/lethe-vault/lethe/test/system"
)

// TestCanaries has clients ask all there is to ask, right and wrong, while the parts
// of a server fail, its own code panics, and it is made to dump its goroutines or is
// killed. Nothing that it tells of itself shows a name, a number, a word that was
// said, or a key.
func TestCanaries(t *testing.T) {
	t.Parallel()
	c := newCanaries(t)
	began := time.Now()
	stopScraping := c.scrape()
	c.m.everything()
	c.hatch()
	c.failToStart()
	c.m.run(c.satisfied)
	stopScraping()
	c.trouble.Wait()
	c.s.Stop()
	m := c.m
	t.Logf("%d requests in %v: %d served, %d refused, %d failed, %d without an answer; %d faults", m.sent.Load(), time.Since(began).Round(time.Second),
		m.served.Load(), m.refused.Load(), m.failed.Load(), m.cut.Load(), c.faults)
	if m.served.Load() < c.enough/5 || m.refused.Load() < c.enough/5 || m.failed.Load() < 10 || m.cut.Load() < 10 {
		t.Error("this is no mix of requests and faults")
	}
	c.hidden()
}

// canaries is a server on three parts, each reached through a proxy.
type canaries struct {
	t       *testing.T
	s       *failing
	m       *mix
	told    *told
	ways    map[string]*toxiproxy.Proxy
	catalog string            // the URL that the server has
	secrets map[string]string // what they are of → what nothing may show

	enough  int64          // requests
	done    atomic.Bool    // every trouble was there once
	trouble sync.WaitGroup // whoever makes it
	faults  int            // owned by the same
}

func newCanaries(t *testing.T) *canaries {
	c := &canaries{t: t, told: newTold(t), m: newMix(t), ways: map[string]*toxiproxy.Proxy{}, secrets: map[string]string{},
		enough: sized[int64](t, 2_000, 100_000, 1_000_000)}
	for _, of := range []string{"the database's password", "the receiver's password"} {
		c.secrets[of] = "pw-" + rand.Text()
	}
	c.start()
	c.introduce()
	c.rootKey()
	return c
}

// start starts the server, which tells as much as it ever does.
func (c *canaries) start() {
	t, vault, sql := c.t, *servers.Vault(c.t), *servers.PostgreSQL(c.t)
	store, tell := servers.MinIO(t), freeAddress(t)
	u, err := url.Parse(vault.Addr)
	if err != nil {
		t.Fatal(err)
	}
	direct := sql
	c.ways["store"] = newProxy(t, "store", store.Endpoint)
	c.ways["vault"] = newProxy(t, "vault", u.Host)
	c.ways["sql"] = newProxy(t, "sql", fmt.Sprintf("127.0.0.1:%d", sql.Port))
	vault.Addr = "http://" + c.ways["vault"].Listen
	if _, err := fmt.Sscanf(c.ways["sql"].Listen, "127.0.0.1:%d", &sql.Port); err != nil {
		t.Fatal(err)
	}
	c.catalog = strings.Replace(sql.Database(t), "lethe@", "lethe:"+c.secrets["the database's password"]+"@", 1)
	c.s = &failing{t: t, tell: "http://" + tell, System: system.OnOf(t, withFailpoints(t).binary, &vault, store, &direct,
		"GOFAIL_HTTP="+tell, "GOTRACEBACK=all", "LETHE_LOG_LEVEL=debug", "LETHE_SWEEP_PERIOD=1s", "LETHE_S3_DOMAINS=vault.example",
		"LETHE_STORE_ENDPOINT="+c.ways["store"].Listen, "LETHE_CATALOG="+c.catalog, "LETHE_TRACE_RATIO=1",
		"LETHE_TRACE_ENDPOINT=http://lethe:"+c.secrets["the receiver's password"]+"@"+c.told.receive()+"/v1/traces")}
	c.secrets["the store's secret key"] = store.SecretKey
	c.secrets["Vault's root token"] = vault.RootToken
	c.look()
}

// look tells the clients where the server is now.
func (c *canaries) look() { c.m.at.Store(&addresses{c.s.S3, c.s.API, c.s.Ops}) }

// introduce makes the tenant that everything is asked of, and learns what is secret.
func (c *canaries) introduce() {
	var made struct {
		AdminToken string `json:"admin_token"`
	}
	for _, step := range []struct {
		answer any
		args   []string
	}{
		{&made, []string{"tenant", "create", c.m.tenant}},
		{nil, []string{"bucket", "create", "--tenant", c.m.tenant, names}},
		{&c.m.recorder, []string{"recorder", "create", "--tenant", c.m.tenant, inNames, "--bucket", names}},
		{&c.m.all, []string{"reader", "create", "--tenant", c.m.tenant, inNames, "--bucket", "*", "--write", "--purpose", plain}},
	} {
		if err := c.s.Lethe(step.answer, step.args...); err != nil {
			c.t.Fatal(err)
		}
	}
	c.m.admin, c.m.owner = made.AdminToken, c.s.OwnerToken()
	c.secrets["the owner's token"], c.secrets["the admin's token"] = c.m.owner, c.m.admin
	c.secrets["a recorder's secret key"], c.secrets["a reader's secret key"] = c.m.recorder.SecretKey, c.m.all.SecretKey
	for _, role := range []hashivault.Role{hashivault.Data, hashivault.Eraser, hashivault.Provisioner} {
		c.secrets["the secret id of "+string(role)] = c.file("lethe-" + string(role) + ".secret-id")
	}
	for of, secret := range c.secrets {
		if len(secret) < 16 {
			c.t.Fatalf("%s is no secret: %q", of, secret)
		}
	}
}

// file reads a file of the server's directory.
func (c *canaries) file(name string) string {
	b, err := os.ReadFile(filepath.Join(c.s.Dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// opened keeps what Vault gives for a tenant's root.
type opened struct {
	keytree.Provider
	secret keytree.Key
}

func (o *opened) Unwrap(ctx context.Context, root keytree.Root, wrapped, bind []byte) (k keytree.Key, err error) {
	o.secret, err = o.Provider.Unwrap(ctx, root, wrapped, bind)
	return o.secret, err
}

// rootKey learns the tenant's root as the server does.
func (c *canaries) rootKey() {
	ctx := c.t.Context()
	vault, err := hashivault.New(ctx, hashivault.Config{Address: c.s.Vault.Addr, Data: c.s.Identity(hashivault.Data)})
	if err != nil {
		c.t.Fatal(err)
	}
	defer vault.Close()
	db, err := pgx.Connect(ctx, c.catalog)
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close(ctx)
	var b []byte
	if err := db.QueryRow(ctx, "SELECT head FROM tenants").Scan(&b); err != nil {
		c.t.Fatal(err)
	}
	head, err := keytree.ParseHead(b)
	if err != nil {
		c.t.Fatal(err)
	}
	o := &opened{Provider: vault}
	if _, err := keytree.Unwrap(ctx, o, nil, head); err != nil {
		c.t.Fatal(err)
	}
	c.secrets["the tenant's root key"] = string(o.secret.Bytes())
}

// scrape asks for metrics, probes and profiles until it is stopped.
func (c *canaries) scrape() (stop func()) {
	done := make(chan struct{})
	var scraping sync.WaitGroup
	scraping.Go(func() {
		for {
			c.told.scrape(c.m.at.Load().ops, c.m.owner)
			select {
			case <-done:
				return
			case <-time.After(sized(c.t, 300*time.Millisecond, 4*time.Second, 20*time.Second)):
			}
		}
	})
	return func() {
		close(done)
		scraping.Wait()
	}
}

// operations are all that both fronts can do. Each must have worked once.
var operations = []string{
	"PutObject", "GetObject", "HeadObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload",
	"ListParts", "ListMultipartUploads", "HeadBucket", "GetBucketLocation", "ListObjectsV2", "ListObjects", "ListObjectVersions",
	"DeleteObject", "DeleteObjects", "ListBuckets", "CreateBucket", "DeleteBucket", "GetBucketVersioning",
	"createTenant", "listTenants", "getTenant", "revokeTenant", "restoreTenant", "eraseTenant", "createBucket", "createRecorder", "createReader", "sweep",
	"createErasure", "getErasure", "listErasures",
	"getSpecification",
}

// vaultTokens is what the tokens begin with that Vault gives to those who log in.
const vaultTokens = "hvs.CAES"

// needles are what nothing may show, in every form.
func (c *canaries) needles() map[string][]byte {
	needles := map[string][]byte{}
	for _, text := range []string{inNames, oddName, plain, formatted, local, strings.TrimSpace(saidInCalls)} {
		blind.AddText(needles, text)
		blind.AddEscaped(needles, text, text)
	}
	for of, secret := range c.secrets {
		blind.AddBytes(needles, of, secret)
		blind.AddEscaped(needles, of, secret)
	}
	for _, part := range []string{"winifred", "Winifred", "WINIFRED", vaultTokens} {
		needles[part] = []byte(part)
	}
	for _, s := range c.m.signatures {
		needles["a signature, or a secret that was given out: "+s] = []byte(s)
	}
	return needles
}

// hidden looks through all that the server told, and through what its parts logged.
func (c *canaries) hidden() {
	c.told.divide(c.s.Places()[0])
	sent, needles := c.m.sent.Load(), c.needles()
	logged := []string{`"level":"DEBUG"`, "request served", "request refused", "request failed", "request abandoned", `"stack":`, "fault: panic"}
	for _, operation := range operations {
		logged = append(logged, `"operation":"`+operation+`","status":2`)
	}
	c.told.hides(needles, map[string]due{
		"log":      {100 * sent, logged},
		"crashes":  {50_000, []string{"SIGQUIT: quit", "SIGABRT: abort", "panic: failpoint panic", "goroutine "}},
		"metrics":  {200_000, []string{"lethe_requests_total{", "lethe_vault_requests_total{"}},
		"traces":   {500 * sent, []string{"lethe.request_id", "catalog "}},
		"probes":   {200, []string{`"ready"`}},
		"profiles": {200_000, []string{"goroutine ", "heap profile"}},
		"starts":   {1000, []string{"error", "LETHE_"}},
	})
	for _, source := range []string{"log", "traces"} {
		if n := c.told.holds(source, c.m.ids); n < len(c.m.ids)/2 || n < 50 {
			c.t.Errorf("%s: of %d requests, %d are there", source, len(c.m.ids), n)
		}
	}
	for _, place := range []string{filepath.Join(c.s.Postgres.Dir(), "postgres.log"), c.s.Vault.AuditLog, filepath.Join(c.s.Store.Dir(), "server.log")} {
		n, err := blind.Search(place, needles)
		if err != nil || n == 0 {
			c.t.Errorf("%d bytes searched: %v", n, err)
		}
		c.t.Logf("%d bytes in %s", n, filepath.Base(place))
	}
}
