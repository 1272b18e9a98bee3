package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func (p *program) tenantCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "tenant", Short: "Create, list, revoke, restore and erase tenants",
		Long: `A tenant has a key of its own, under which all its recordings lie. Revoking it
refuses every read and write until it is restored; erasing it destroys the key.`,
		Example: `  lethe --data ./lethe-data tenant create acme
  lethe --data ./lethe-data tenant list`,
	}
	group.AddCommand(
		&cobra.Command{
			Use: "create NAME", Short: "Create a tenant and show its admin token, once",
			Long: `Create makes a tenant with a key of its own, and shows the token of its admin,
here and never again. It takes the owner token. The name is an operator's label
that is stored in clear: it must not name a person.`,
			Example: "  lethe --data ./lethe-data tenant create acme",
			Args:    cobra.ExactArgs(1), RunE: work(p.createTenant),
		},
		&cobra.Command{
			Use: "list", Short: "List all tenants",
			Long: `List shows all tenants, erased ones too, with the id under which logs and the store
know them. A tenant's admin token is shown that tenant alone.`,
			Example: "  lethe --data ./lethe-data tenant list --json",
			Args:    cobra.NoArgs, RunE: work(p.listTenants),
		},
		&cobra.Command{
			Use: "revoke NAME", Short: "Refuse a tenant's reads and writes until it is restored",
			Long: `Revoke refuses all reads and writes of a tenant, running ones too, on every replica
within 5 s. Nothing is lost: lethe tenant restore permits them again.`,
			Example: "  lethe --data ./lethe-data tenant revoke acme",
			Args:    cobra.ExactArgs(1), ValidArgsFunction: p.completeTenant, RunE: work(p.tenantAct((*client.Client).RevokeTenant)),
		},
		&cobra.Command{
			Use: "restore NAME", Short: "Undo a revocation",
			Long:    "Restore permits a revoked tenant's reads and writes again. An erased tenant is past it.",
			Example: "  lethe --data ./lethe-data tenant restore acme",
			Args:    cobra.ExactArgs(1), ValidArgsFunction: p.completeTenant, RunE: work(p.tenantAct((*client.Client).RestoreTenant)),
		},
		p.eraseTenantCommand(),
	)
	return needSubcommand(group)
}

func (p *program) createTenant(c *cobra.Command, args []string) error {
	api, err := p.api()
	if err != nil {
		return err
	}
	t, err := reply[client.TenantCreated](api.CreateTenant(c.Context(), client.NewTenant{Name: args[0]}))
	if err != nil {
		return err
	}
	return p.answer(t, table{{"tenant", t.Tenant}, {"admin token", t.AdminToken}})
}

func (p *program) listTenants(c *cobra.Command, _ []string) error {
	api, err := p.api()
	if err != nil {
		return err
	}
	list, err := reply[client.TenantList](api.ListTenants(c.Context()))
	if err != nil {
		return err
	}
	rows := table{{"TENANT", "STATE", "CREATED", "ID"}}
	for _, t := range list.Tenants {
		rows = append(rows, []string{t.Tenant, string(t.State), t.CreatedAt.Format(time.DateTime), t.Id})
	}
	return p.answer(list, rows)
}

// tenantCall is an operation of the REST API on one tenant.
type tenantCall func(*client.Client, context.Context, client.TenantName, ...client.RequestEditorFn) (*http.Response, error)

func (p *program) tenantAct(call tenantCall) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		api, err := p.api()
		if err != nil {
			return err
		}
		t, err := reply[client.Tenant](call(api, c.Context(), args[0]))
		if err != nil {
			return err
		}
		return p.answerTenant(t)
	}
}

func (p *program) answerTenant(t client.Tenant) error {
	rows := table{{"tenant", t.Tenant}, {"state", string(t.State)}}
	if t.Erasure != nil {
		rows = append(rows, []string{"erasure", t.Erasure.Erasure})
		if t.Erasure.Salt != "" {
			rows = append(rows, []string{"salt", t.Erasure.Salt})
		}
	}
	return p.answer(t, rows)
}

func (p *program) eraseTenantCommand() *cobra.Command {
	var reason string
	var wait waiting
	c := &cobra.Command{
		Use: "erase NAME", Short: "Destroy a tenant's key for good, and with it every recording",
		Long: `Erase destroys a tenant's key, and with it every recording under it, on every disk
and in every backup. Nothing undoes it. Reads are refused when the command
returns; the key is gone at once after that, and the certificate that says so follows
some 40 seconds later, for which --wait waits. Should it not have come by --wait-for,
the erasure goes on by itself. Whoever erases what is erased is told of its erasure.

Erasures of the tenant that are not certified yet end with it, and get certificates too.
The salt is shown once and kept nowhere, as with lethe erase. The owner token and the
tenant's admin token get the certificates; other keys of the tenant are refused.`,
		Example: "  lethe --data ./lethe-data tenant erase acme --reason \"contract ended\" --wait",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: p.completeTenant,
		RunE: work(func(c *cobra.Command, args []string) error {
			if err := wait.check(c); err != nil {
				return err
			}
			return p.eraseTenant(c.Context(), args[0], reason, wait)
		}),
	}
	wait.add(c)
	reasonFlag(c, &reason)
	return c
}

// eraseTenant shows the salt as soon as it has it: it is nowhere else.
func (p *program) eraseTenant(ctx context.Context, name, reason string, wait waiting) error {
	api, err := p.api()
	if err != nil {
		return err
	}
	t, err := reply[client.Tenant](api.EraseTenant(ctx, name, client.TenantErasure{Reason: reason}))
	if err != nil {
		return err
	}
	if t.Erasure == nil { // it is erased, and nothing else is known of that
		return p.answerTenant(t)
	}
	if !p.json {
		if err := p.answerTenant(t); err != nil {
			return err
		}
		p.explainErasure(*t.Erasure, "--scope-tenant "+t.Id)
	}
	if wait.wait {
		e, err := p.untilCertified(ctx, api, *t.Erasure, wait.patience)
		if err != nil {
			return err
		}
		t.State, t.Erasure = client.TenantStateErased, &e
		if !p.json {
			fmt.Fprintf(p.errs, "It is erased, and certified.\n")
		}
	}
	if p.json {
		return printJSON(p.out, t)
	}
	return nil
}
