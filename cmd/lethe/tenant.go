package main

import (
	"context"
	"errors"
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
	return p.answer(t, table{{"tenant", t.Tenant}, {"state", string(t.State)}})
}

func (p *program) eraseTenantCommand() *cobra.Command {
	var wait bool
	var patience time.Duration
	c := &cobra.Command{
		Use: "erase NAME", Short: "Destroy a tenant's key for good, and with it every recording",
		Long: `Erase destroys a tenant's key, and with it every recording under it, on every disk
and in every backup. Nothing undoes it. Reads are refused when the command
returns; the key is gone some 35 seconds later, for which --wait waits. Should it
not be by --wait-for, the erasure goes on by itself.`,
		Example: "  lethe --data ./lethe-data tenant erase acme --wait",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: p.completeTenant,
		RunE: work(func(c *cobra.Command, args []string) error {
			if !wait {
				return p.tenantAct((*client.Client).EraseTenant)(c, args)
			}
			return p.eraseAndWait(c.Context(), args[0], patience)
		}),
	}
	c.Flags().BoolVar(&wait, "wait", false, "return when the tenant is erased")
	c.Flags().DurationVar(&patience, "wait-for", 2*time.Minute, "how long --wait waits")
	return c
}

// pollEvery is how often a state is asked for while waiting.
const pollEvery = 500 * time.Millisecond

func (p *program) eraseAndWait(ctx context.Context, name string, patience time.Duration) error {
	api, err := p.api()
	if err != nil {
		return err
	}
	t, err := reply[client.Tenant](api.EraseTenant(ctx, name))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for t.State != client.TenantStateErased {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the tenant is not erased yet; its reads are refused and the erasure goes on: ask again with lethe tenant erase %s --wait", name)
		case <-time.After(pollEvery):
		}
		if t, err = now(ctx, api, t); err != nil {
			return err
		}
	}
	return p.answerTenant(t)
}

// now asks how a tenant stands whose erasure was accepted. It goes by the id,
// since the name of an erased tenant may be another's by now. A server that is
// out of reach for a moment leaves the tenant as it was last seen.
func now(ctx context.Context, api *client.Client, last client.Tenant) (client.Tenant, error) {
	list, err := reply[client.TenantList](api.ListTenants(ctx))
	r, answered := errors.AsType[refused](err)
	switch {
	case answered && r.Code == "tenant-erased": // the tenant's own admin asks
		last.State = client.TenantStateErased
		return last, nil
	case answered && r.Status < http.StatusInternalServerError:
		return last, err
	}
	for _, t := range list.Tenants {
		if t.Id == last.Id {
			return t, nil
		}
	}
	return last, nil
}
