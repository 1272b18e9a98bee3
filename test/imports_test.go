package test

import (
	"encoding/json"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lethe-vault/lethe/"

// may says, for every package, which packages of ours it may import: the
// architecture. Direction is downward only. "..." ends a pattern for a tree.
var may = map[string][]string{
	"recording":                   {},
	"finding":                     {},
	"observe":                     {},
	"fault":                       {},
	"policy":                      {"recording"},
	"crypto/keytree":              {"recording", "fault"},
	"crypto/keytree/providertest": {"recording", "crypto/keytree"},
	"crypto/envelope":             {"recording", "crypto/keytree"},
	"crypto/claim":                {"recording"},
	"crypto/hashivault":           {"recording", "finding", "observe", "crypto/keytree"},
	"crypto/localkeys":            {"recording", "crypto/keytree"},
	"gateway/blob":                {"recording"},
	"gateway/blob/storetest":      {"gateway/blob"},
	"gateway/blob/storecheck":     {"finding", "gateway/blob"},
	"gateway/blob/filestore":      {"finding", "gateway/blob"},
	"gateway/blob/patience":       {},
	"gateway/blob/miniostore":     {"gateway/blob", "gateway/blob/patience"},
	"gateway/blob/awsstore":       {"gateway/blob", "gateway/blob/patience"},
	"gateway/blob/s3test":         {"gateway/blob", "gateway/blob/storetest", "test/servers"},
	"gateway/audit":               {"recording", "crypto/keytree"},
	"gateway/catalog":             {"recording", "finding", "observe", "gateway/audit"},
	"gateway/catalog/catalogtest": {"recording", "gateway/audit", "gateway/catalog"},
	"gateway":                     {"recording", "observe", "policy", "crypto/claim", "crypto/keytree", "crypto/envelope", "gateway/audit", "gateway/blob", "gateway/catalog", "gateway/eraser", "gateway/pages", "fault"},
	"gateway/pages":               {"recording", "crypto/keytree", "gateway/catalog"},
	"gateway/eraser":              {"recording", "fault", "crypto/claim", "crypto/keytree", "gateway/audit", "gateway/blob", "gateway/catalog", "gateway/pages"},
	"gateway/gatewaytest":         {"recording", "policy", "crypto/...", "gateway", "gateway/accesslog", "gateway/audit", "gateway/blob/...", "gateway/catalog"},
	"gateway/accesslog":           {"recording", "gateway/audit", "fault"},
	"gateway/s3api":               {"recording", "gateway", "gateway/accesslog", "fault", "gateway/s3api/sigv4"},
	"gateway/s3api/sigv4":         {},
	"gateway/restapi":             {"recording", "policy", "gateway", "gateway/accesslog"},
	"gateway/restapi/client":      {},
	"telemetry":                   {"recording", "observe", "gateway", "gateway/accesslog", "gateway/blob"},
	"cmd/lethe":                   {"..."},
	"cmd/lethe/config":            {},
	"cmd/lethe/doctor":            {"finding", "cmd/lethe/config", "crypto/hashivault", "crypto/keytree", "gateway/blob/...", "gateway/catalog"},
	"cmd/lethe/health":            {},
	"test":                        {"..."},
	"test/servers":                {},
	"test/servers/build":          {"test/servers"},
	"test/system":                 {"recording", "crypto/...", "gateway/blob", "gateway/blob/...", "test/servers"},
	"test/blind":                  {},
	"test/telephony":              {},
	"test/faults":                 {},
	"test/clients":                {},
	"test/bench":                  {},
	"test/decryptor":              {},
	"test/redteam":                {},
	"test/disclosure":             {"test/decryptor"},
}

// only says which packages alone may import a module of others.
var only = map[string][]string{
	"github.com/gin-gonic/gin":       {"gateway/s3api", "gateway/restapi", "gateway/console"},
	"github.com/hashicorp/vault/api": {"crypto/hashivault", "test/servers"},
	"github.com/minio/minio-go/v7":   {"gateway/blob/miniostore", "gateway/blob/s3test", "cmd/lethe", "test/servers", "test/system"},
	"github.com/aws/aws-sdk-go-v2":   {"gateway/blob/awsstore"},
	"github.com/aws/smithy-go":       {"gateway/blob/awsstore"},
	"github.com/jackc/pgx/v5":        {"gateway/catalog", "test/servers", "test/system"},
	"github.com/ncruces/go-sqlite3":  {"gateway/catalog", "gateway/gatewaytest"},
	"github.com/prometheus":          {"telemetry"},
	"go.opentelemetry.io":            {"telemetry"},
	"net/http":                       {"telemetry", "gateway/accesslog", "fault", "gateway/s3api", "gateway/s3api/sigv4", "gateway/restapi", "gateway/restapi/client", "gateway/console", "crypto/hashivault", "gateway/blob/patience", "gateway/blob/miniostore", "gateway/blob/awsstore", "gateway/blob/s3test", "cmd/lethe", "cmd/lethe/doctor", "cmd/lethe/health", "test/servers", "test/system"},
	"github.com/vbauerster/mpb/v8":   {"cmd/lethe"},
	"github.com/creack/pty":          {},
	"github.com/secure-systems-lab":  {"crypto/claim"},
	"github.com/knadh/koanf":         {"cmd/lethe/config"},
	"github.com/hashicorp/vault":     {},
	"github.com/minio/minio":         {},
	"github.com/minio/mc":            {},
	"github.com/versity/versitygw":   {},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, placed := may[name]
		if !placed {
			t.Errorf("%s is not in the map: give it a place", name)
			continue
		}
		for _, in := range p.Imports {
			if own, ok := strings.CutPrefix(in, module); ok && !matches(allowed, own) {
				t.Errorf("%s imports %s: that way is not downward", name, own)
			}
			if who, guarded := guardedBy(in); guarded && !slices.Contains(who, name) {
				t.Errorf("%s imports %s, which belongs to %v", name, in, who)
			}
		}
	}
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		tree, all := strings.CutSuffix(p, "...")
		return p == name || all && strings.HasPrefix(name+"/", tree)
	})
}

func guardedBy(in string) ([]string, bool) {
	for p := in; p != "."; p = path.Dir(p) {
		if who, ok := only[p]; ok {
			return who, true
		}
	}
	return nil, false
}
