package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/gateway"
)

func (p *program) vaultCommand() *cobra.Command {
	group := &cobra.Command{Use: "vault", Short: "Set up Vault or OpenBao",
		Long: `A server has up to three identities at Vault: data, which decrypts; eraser, which
also rotates and trims; provisioner, which makes and deletes keys.`,
		Example: "  lethe vault policy data | vault policy write lethe-data -",
	}
	group.AddCommand(p.vaultPolicyCommand())
	return needSubcommand(group)
}

// vaultRoles are the identities that there are at Vault.
var vaultRoles = []string{string(hashivault.Data), string(hashivault.Eraser), string(hashivault.Provisioner)}

// policyShown is a policy of Vault's.
type policyShown struct {
	Identity string `json:"identity"`
	Mount    string `json:"mount"`
	Policy   string `json:"policy"` // HCL
}

func (p *program) vaultPolicyCommand() *cobra.Command {
	var mount string
	c := &cobra.Command{
		Use: "policy data|eraser|provisioner", Short: "Print the Vault policy of one of the server's identities",
		Long:    "Policy prints, in HCL, what an identity of the server needs at Vault, and nothing more.",
		Example: "  lethe vault policy eraser --mount lethe | vault policy write lethe-eraser -",
		Args:    cobra.ExactArgs(1), ValidArgs: vaultRoles,
		RunE: work(func(_ *cobra.Command, args []string) error {
			if !slices.Contains(vaultRoles, args[0]) {
				return misusef("there is no identity %q: give one of %s", args[0], strings.Join(vaultRoles, ", "))
			}
			text := hashivault.Policy(hashivault.Role(args[0]), mount)
			if p.json {
				return printJSON(p.out, policyShown{args[0], mount, text})
			}
			_, err := fmt.Fprint(p.out, text)
			return err
		}),
	}
	c.Flags().StringVar(&mount, "mount", "transit", "where the transit engine is mounted")
	return c
}

// vaultConfig says where Vault is, and gives the process those identities that
// its roles need and no other, whatever else is configured.
func vaultConfig(s config.Config) hashivault.Config {
	v := s.Vault
	c := hashivault.Config{Address: v.Address, Namespace: v.Namespace, Mount: v.Mount, Data: login(v, v.Data)}
	if s.Has(string(gateway.Eraser)) {
		c.Eraser, c.Provisioner = login(v, v.Eraser), login(v, v.Provisioner)
		if c.Data == nil {
			c.Data = c.Eraser // which may decrypt, too
		}
	}
	return c
}

// login is how an identity logs in, or else with the token that serves for all
// of them. nil: there is none.
func login(v config.Vault, id config.Identity) hashivault.Login {
	switch {
	case id.RoleID != "":
		return hashivault.AppRole{Mount: v.AppRoleMount, RoleID: id.RoleID, SecretIDFile: id.SecretIDFile}
	case id.JWTRole != "":
		return hashivault.JWT{Mount: v.JWTMount, Role: id.JWTRole, File: cmp.Or(id.JWTFile, v.Data.JWTFile)}
	case v.TokenFile != "":
		return hashivault.TokenFile(v.TokenFile)
	case v.Token != "":
		return hashivault.Token(v.Token)
	}
	return nil
}
