package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/eraser"
)

func (p *program) recoverCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "recover", Short: "Go on after the key provider was restored from a copy",
		Long: `A copy of the key provider brings back keys that were destroyed after it was made,
and lacks those that are newer. Lethe refuses the tenants concerned until they are
recovered.`,
		Example: "  lethe recover vault --config lethe.yaml --dry-run",
	}
	group.AddCommand(p.recoverVaultCommand())
	return needSubcommand(group)
}

func (p *program) recoverVaultCommand() *cobra.Command {
	var file, unproved string
	var r gateway.VaultRecovery
	c := &cobra.Command{
		Use: "vault", Short: "Erase again what a restored Vault opens, and let tenants be served again",
		Long: `Vault brings every tenant to where a Vault that was restored from a snapshot, or a
directory of local keys that was put back from a copy, opens nothing that was erased
since. It takes the settings of a server with the role eraser. Stop all servers with
that role before; those with the role front may run, and refuse these tenants until
they are recovered. Killed at any time, it can be run again.

Of each tenant it takes the newest state that still opens, forgets in it all that was
forgotten since, puts it in the place of what opens no more, and destroys the keys
that opened it. Nothing that was recorded since is lost. What was forgotten it finds
in the store's sealed requests of erasure, in the catalog, and in the store's lists of
forgotten keys, of which certificates prove that they are the right ones.

Keys that stand in such a list and nowhere else may be those of overwritten data, or
of recordings which someone wants lost who can write the store. If there are any, it
stops and says how many: --unproved puncture forgets them, --unproved leave does not.
If requests or lists are missing or damaged, it stops too: --lost goes on without.

The exit status is 1 if a tenant is not recovered.`,
		Example: `  lethe recover vault --config lethe.yaml --dry-run
  lethe recover vault --config lethe.yaml --tenant acme
  lethe recover vault --data ./lethe-data --json`,
		Args: cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			r.How.Unproved = eraser.Unproved(unproved)
			if r.How.Unproved != eraser.Ask && r.How.Unproved != eraser.Puncture && r.How.Unproved != eraser.Leave {
				return misusef("--unproved is puncture or leave")
			}
			s, err := loadSettings(file, c.Flags())
			if err != nil {
				return err
			}
			if !s.Has(string(gateway.Eraser)) {
				return misusef("these settings are not those of a server with the role eraser: it takes Vault's identities eraser and provisioner")
			}
			return p.recoverVault(c.Context(), s.Config, r)
		}),
	}
	f := c.Flags()
	f.StringVar(&r.Tenant, "tenant", "", "the tenant to recover; every one if it is not given")
	f.BoolVar(&r.How.DryRun, "dry-run", false, "change nothing: say what there is to do")
	f.StringVar(&unproved, "unproved", "", "keys that only the store's lists name: puncture or leave")
	f.BoolVar(&r.How.Lost, "lost", false, "go on although requests or lists are lost")
	configFlag(f, &file)
	config.AddFlags(f)
	return c
}

// recoverVault works on the parts of a server that is stopped.
func (p *program) recoverVault(ctx context.Context, s config.Config, r gateway.VaultRecovery) (err error) {
	if err := forbidCoreDumps(); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := wasThere(s); err != nil {
		return err
	}
	r.Logger = slog.New(slog.NewJSONHandler(p.errs, &slog.HandlerOptions{Level: slog.LevelError}))
	watch, err := watchProcess(s, r.Logger)
	if err != nil {
		return err
	}
	defer closeTelemetry(watch, r.Logger)
	base, err := openParts(ctx, s, watch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.close()) }()
	r.Blobs, r.Catalog, r.Keys, r.Signer = base.blobs, base.catalog, base.keys, base.certificates
	found, err := gateway.RecoverVault(ctx, r)
	if err != nil {
		return err
	}
	return p.answerRecovery(found, r.How.DryRun)
}

// recovery is what recover vault prints.
type recovery struct {
	OK      bool              `json:"ok"` // there is no tenant that is not recovered
	DryRun  bool              `json:"dry_run"`
	Tenants []recoveredTenant `json:"tenants"`
}

type recoveredTenant struct {
	Tenant   string `json:"tenant"`
	ID       string `json:"id"`
	State    string `json:"state"`
	Newest   uint64 `json:"newest"`
	Opens    uint64 `json:"opens"`
	Head     uint64 `json:"head"`
	Records  int    `json:"records"`
	Slots    int    `json:"slots"`
	Unproved int    `json:"unproved"`
	Lost     int    `json:"lost"`
	Error    string `json:"error,omitempty"`
}

// answerRecovery prints what was found and done; what was not is a failure, of which
// the first says what to do.
func (p *program) answerRecovery(found []gateway.RecoveredTenant, dry bool) error {
	out := recovery{DryRun: dry, Tenants: []recoveredTenant{}}
	rows := table{{"TENANT", "STATE", "NEWEST", "OPENS", "HEAD", "KEYS", "UNPROVED", "LOST"}}
	var first error
	failed := 0
	for _, t := range found {
		of := recoveredTenant{
			Tenant: t.Name, ID: t.ID.String(), State: string(t.State), Newest: t.Newest, Opens: t.Opens, Head: t.Head,
			Records: t.Records, Slots: t.Slots, Unproved: t.Unproved, Lost: t.Lost,
		}
		if t.Err != nil {
			of.Error = t.Err.Error()
			if failed++; first == nil {
				first = t.Err
			}
		}
		out.Tenants = append(out.Tenants, of)
		rows = append(rows, of.row())
		if of.Error != "" {
			rows = append(rows, []string{"", "→ " + of.Error})
		}
	}
	out.OK = failed == 0
	if err := p.answer(out, rows); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%s not recovered: %w", some(failed, "tenant"), first)
	}
	return nil
}

func (t recoveredTenant) row() []string {
	row := []string{t.Tenant, t.State}
	for _, n := range []uint64{t.Newest, t.Opens, t.Head, uint64(t.Slots), uint64(t.Unproved), uint64(t.Lost)} {
		row = append(row, strconv.FormatUint(n, 10))
	}
	return row
}
