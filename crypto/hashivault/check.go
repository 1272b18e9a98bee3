package hashivault

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/finding"
)

// checkup is one run of Check.
type checkup struct {
	finding.List
	config Config
	mount  string
	nobody string // name of a root that does not exist
}

// Held is the root of a tenant, and the version under which its newest head is
// wrapped, 0 if that is not known.
type Held struct {
	keytree.Root
	Version int
}

// Check finds out whether Vault, the identities of c and the keys of the tenants
// are as Lethe needs them. It logs in as each identity once, asks what its token
// may do, and tries, on a key that does not exist, what it may not; so Vault's
// audit log holds some refused requests afterwards. If the identities allow it,
// one scratch key is made, used and destroyed.
func Check(ctx context.Context, c Config, tenants []Held) finding.List {
	c, mount, err := c.complete()
	k := &checkup{config: c, mount: mount, nobody: string(scratchRoot())}
	if err != nil {
		k.Fail("vault", err.Error(), "see lethe config check")
		return k.List
	}
	if !k.health(ctx) {
		return k.List
	}
	well := true
	for _, id := range c.identities() {
		client, ok := k.login(ctx, id.role, id.login)
		if !ok {
			well = false
			continue
		}
		k.token(ctx, id.role, client)
		k.rights(ctx, id.role, client)
		k.parameters(ctx, id.role, client)
		if id.role == keeper(c) {
			k.keys(ctx, id.role, client, tenants)
		}
		leave(ctx, id.login, client)
	}
	if well {
		k.life(ctx)
	}
	k.Advise("vault.audit", "whether Vault keeps an audit log cannot be seen with these identities",
		"let an administrator run vault audit list: it should name at least one device")
	return k.List
}

// identity is a role and how it logs in.
type identity struct {
	role  Role
	login Login
}

// identities are those that c has. One that serves as two is checked as the
// mightier.
func (c Config) identities() (all []identity) {
	if c.Data != nil && c.Data != c.Eraser {
		all = append(all, identity{Data, c.Data})
	}
	if c.Eraser != nil {
		all = append(all, identity{Eraser, c.Eraser})
	}
	if c.Provisioner != nil {
		all = append(all, identity{Provisioner, c.Provisioner})
	}
	return all
}

// keeper is the role that may read keys.
func keeper(c Config) Role {
	if c.Eraser != nil {
		return Eraser
	}
	return Provisioner
}

// scratchRoot draws the name of a root that no tenant has.
func scratchRoot() keytree.Root {
	return keytree.Root("t-" + strings.ToLower(rand.Text()))
}

// login logs in as role, and gives a client with its token.
func (k *checkup) login(ctx context.Context, role Role, login Login) (*api.Client, bool) {
	check := "vault." + string(role) + ".login"
	client, err := newClient(k.config)
	if err == nil {
		var auth *api.SecretAuth
		if auth, err = login.login(ctx, client); err == nil {
			client.SetToken(auth.ClientToken)
			k.OK(check, "the "+string(role)+" identity logs in")
			return client, true
		}
	}
	k.Fail(check, "the "+string(role)+" identity cannot log in: "+reason(err),
		fmt.Sprintf("see that the method is mounted, and that role, secret and bound addresses are right (vault.%s.*)", role))
	return nil, false
}

// leave gives up a token that login got. One that was given to us stays.
func leave(ctx context.Context, login Login, client *api.Client) {
	switch login.(type) {
	case Token, TokenFile:
		return
	}
	// Without the default policy it may not, and then ends by itself.
	_ = client.Auth().Token().RevokeSelfWithContext(ctx, "")
}

// longToken is longer than a token needs to live that is renewed or replaced.
const longToken = 32 * 24 * time.Hour

// token looks at what the identity's token is.
func (k *checkup) token(ctx context.Context, role Role, client *api.Client) {
	check := "vault." + string(role) + ".token"
	self, err := client.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil {
		k.Fail(check, "the token may not look itself up: "+reason(err), ship(role))
		return
	}
	policies, _ := self.TokenPolicies()
	ttl, _ := self.TokenTTL()
	renewable, _ := self.TokenIsRenewable()
	uses, _ := self.TokenRemainingUses()
	renews := "give tokens a TTL of an hour or so, and let them be renewed"
	switch {
	case slices.Contains(policies, "root"):
		k.Fail(check, "the "+string(role)+" identity has a root token", "revoke it, and give the identity a login of its own with the policy that Lethe ships")
	case uses > 0:
		k.Warn(check, fmt.Sprintf("the token ends after %d more uses", uses), "set token_num_uses to 0 on the role")
	case ttl == 0:
		k.Warn(check, "the token never ends", renews)
	case ttl > longToken:
		k.Advise(check, fmt.Sprintf("the token lives %v", ttl), renews)
	case !renewable:
		k.Advise(check, fmt.Sprintf("the token ends in %v and cannot be renewed", ttl.Round(time.Second)), "let it be renewed, or see that its login can be repeated")
	default:
		k.OK(check, fmt.Sprintf("the token lives %v, is renewed, and is not root", ttl.Round(time.Second)))
	}
}
