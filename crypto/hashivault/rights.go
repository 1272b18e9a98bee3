package hashivault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

// granted is what the shipped policies grant, by path: a "*" stands for the name
// of a key. What a role is not named with, it must not have.
var granted = []struct {
	path  string
	roles map[Role]string // capabilities, sorted
}{
	{"decrypt/*", map[Role]string{Data: "update", Eraser: "update"}},
	{"encrypt/*", map[Role]string{Eraser: "update", Provisioner: "update"}},
	{"keys/*", map[Role]string{Eraser: "read", Provisioner: "delete,read,update"}},
	{"keys/*/rotate", map[Role]string{Eraser: "update", Provisioner: "update"}},
	{"keys/*/config", map[Role]string{Eraser: "update", Provisioner: "update"}},
	{"keys/*/trim", map[Role]string{Eraser: "update", Provisioner: "update"}},
}

// denied are paths of the mount that nobody of Lethe may touch.
var denied = []string{
	"keys", "keys/*/import", "keys/*/import_version", "keys/*/soft-delete", "keys/*/soft-delete-restore", "rewrap/*",
	"export/encryption-key/*", "export/encryption-key/*/1", "byok-export/*/*", "backup/*", "restore", "restore/*",
	"datakey/plaintext/*", "datakey/wrapped/*", "hmac/*", "sign/*", "wrapping_key", "config/keys", "cache-config",
}

// deniedElsewhere are telling paths outside of the mount.
var deniedElsewhere = []string{
	"sys/mounts", "sys/mounts/transit", "sys/auth", "sys/policies/acl", "sys/policies/acl/lethe-data", "sys/policy/lethe-data",
	"sys/audit", "sys/audit-hash/file", "sys/raw/core/keyring", "sys/storage/raft/snapshot", "sys/storage/raft/snapshot-force",
	"sys/remount", "sys/rotate", "sys/rekey/init", "sys/seal", "sys/step-down", "sys/plugins/catalog", "sys/config/auditing/request-headers/x",
	"sys/namespaces/x", "identity/entity", "identity/entity/name/lethe", "identity/group", "auth/token/create", "auth/token/create-orphan",
	"auth/token/lookup", "auth/token/accessors", "auth/approle/role/lethe-eraser", "auth/approle/role/lethe-eraser/secret-id",
	"secret/data/lethe",
}

// rights compares what the token may do with the policy that Lethe ships.
func (k *checkup) rights(ctx context.Context, role Role, client *api.Client) {
	check := "vault." + string(role) + ".policy"
	has, err := k.capabilities(ctx, client)
	switch status, _ := classify(err); {
	case err == nil:
		k.compare(role, has)
	case status == http.StatusForbidden:
		k.Skip(check, "the token may not ask what it may do, so only requests that change nothing were tried",
			ship(role))
	default:
		k.Fail(check, "Vault does not say what the token may do: "+said(ctx, err), "see Vault's own log")
	}
}

// ship says how to put a role's policy right.
func ship(role Role) string {
	return "replace its policy by what lethe vault policy " + string(role) + " prints, with --mount unless that is transit, and give the identity no other"
}

// compare judges what the token has: rights that the role lacks, that another
// role should have alone, and that none should have.
func (k *checkup) compare(role Role, has map[string][]string) {
	check := "vault." + string(role) + ".policy"
	var d difference
	for _, g := range granted {
		d.add(g.path, strings.Split(g.roles[role], ","), grantedToAny(g.roles), has[k.path(g.path)])
	}
	for _, p := range denied {
		d.add(p, nil, nil, has[k.path(p)])
	}
	for _, p := range deniedElsewhere {
		d.add(p, nil, nil, has[p])
	}
	if len(d.lacks) > 0 {
		k.Fail(check, "the "+string(role)+" identity lacks "+list(d.lacks), ship(role))
	}
	if len(d.others) > 0 {
		k.Warn(check, "the "+string(role)+" identity has rights of another role: "+list(d.others), ship(role))
	}
	if len(d.beyond) > 0 {
		k.Fail(check, "the "+string(role)+" identity may do what none of Lethe's should: "+list(d.beyond), ship(role))
	}
	if len(d.lacks)+len(d.others)+len(d.beyond) == 0 {
		k.OK(check, fmt.Sprintf("the token may do what the shipped policy says, and nothing else on %d telling paths", len(has)))
	}
}

// difference is how rights differ from the shipped policy.
type difference struct{ lacks, others, beyond []string }

// add compares the rights on one path: those the role should have, those some
// role should, and those the token has.
func (d *difference) add(path string, should, some, has []string) {
	for _, c := range should {
		if c != "" && !slices.Contains(has, c) && !slices.Contains(has, "root") {
			d.lacks = append(d.lacks, c+" on "+path)
		}
	}
	for _, c := range has {
		switch {
		case c == "deny" || slices.Contains(should, c):
		case slices.Contains(some, c):
			d.others = append(d.others, c+" on "+path)
		default:
			d.beyond = append(d.beyond, c+" on "+path)
		}
	}
}

// path puts a key that does not exist into a path of the mount.
func (k *checkup) path(of string) string {
	return k.mount + "/" + strings.ReplaceAll(of, "*", k.nobody)
}

// capabilities asks what the token may do on every path of the tables.
func (k *checkup) capabilities(ctx context.Context, client *api.Client) (map[string][]string, error) {
	paths := slices.Clone(deniedElsewhere)
	for _, g := range granted {
		paths = append(paths, k.path(g.path))
	}
	for _, d := range denied {
		paths = append(paths, k.path(d))
	}
	secret, err := client.Logical().WriteWithContext(ctx, "sys/capabilities-self", map[string]any{"paths": paths})
	if err != nil {
		return nil, err
	}
	if secret == nil {
		return nil, errAnswer
	}
	has := map[string][]string{}
	for _, p := range paths {
		if err := decodeInto(secret.Data[p], p, has); err != nil {
			return nil, err
		}
	}
	return has, nil
}

func decodeInto(answer any, path string, has map[string][]string) error {
	b, err := json.Marshal(answer)
	if err != nil {
		return errAnswer
	}
	var capabilities []string
	if err := json.Unmarshal(b, &capabilities); err != nil || len(capabilities) == 0 {
		return errAnswer
	}
	slices.Sort(capabilities)
	has[path] = capabilities
	return nil
}

func grantedToAny(roles map[Role]string) (all []string) {
	for _, capabilities := range roles {
		all = append(all, strings.Split(capabilities, ",")...)
	}
	return all
}

// list names a few, and counts the rest.
func list(all []string) string {
	const most = 4
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s, and %d more", strings.Join(all[:most], ", "), len(all)-most)
}
