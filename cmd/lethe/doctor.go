package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/cmd/lethe/doctor"
	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/gateway/blob"
)

// diagnosis is what doctor found.
type diagnosis struct {
	OK       bool         `json:"ok"` // there is no failure
	Count    count        `json:"count"`
	Findings finding.List `json:"findings"`
}

// count is how many findings there are of each level.
type count struct {
	Failure int `json:"failure"`
	Warning int `json:"warning"`
	Advice  int `json:"advice"`
	Skipped int `json:"skipped"`
	OK      int `json:"ok"`
}

func (p *program) doctorCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "doctor", Short: "Examine all that lethe serve runs on, and say what to do",
		Long: `Doctor reads what lethe serve would read, given the same file, environment and
flags, and examines what it names: the machine, files and their modes, clocks,
TLS, the store, the catalog, Vault, and what was told of backups. It can do so
while the server runs, and before it ever ran. Run it as the user that the
server runs as.

It tries things out, and cleans up after itself: blobs below doctor/ in the
store, a table in the catalog, a scratch key in Vault. Vault's audit log will
hold requests that were refused, which is what they were made for.

The exit status is 1 if there is a failure. Advice and warnings leave it 0.`,
		Example: `  lethe doctor --config lethe.yaml
  lethe doctor --data lethe-data --json`,
		Args: cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			s, err := loadSettings(file, c.Flags())
			if err != nil {
				return err
			}
			return p.diagnose(doctor.Run(c.Context(), subject(s.Config)))
		}),
	}
	configFlag(c.Flags(), &file)
	config.AddFlags(c.Flags())
	return c
}

// subject is what serve would open.
func subject(s config.Config) doctor.Subject {
	return doctor.Subject{
		Config:  s,
		Catalog: func() (string, error) { return database(s) },
		Store:   func(ctx context.Context) (blob.Store, error) { return openStore(ctx, s.Store) },
		Vault:   everyIdentity(s),
	}
}

// everyIdentity has the identities of all roles, whichever this process has.
func everyIdentity(s config.Config) hashivault.Config {
	v := s.Vault
	return hashivault.Config{
		Address: v.Address, Namespace: v.Namespace, Mount: v.Mount,
		Data: login(v, v.Data), Eraser: login(v, v.Eraser), Provisioner: login(v, v.Provisioner),
	}
}

// diagnose prints what was found.
func (p *program) diagnose(l finding.List) error {
	n := count{l.Count(finding.Failure), l.Count(finding.Warning), l.Count(finding.Advice), l.Count(finding.Skipped), l.Count(finding.OK)}
	rows := table{}
	for _, f := range l {
		rows = append(rows, []string{strings.ToUpper(string(f.Level)), f.Check, f.What})
		if f.Do != "" {
			rows = append(rows, []string{"", "", "→ " + f.Do})
		}
	}
	if err := p.answer(diagnosis{n.Failure == 0, n, l}, rows); err != nil {
		return err
	}
	if !p.json {
		fmt.Fprintf(p.out, "\n%s, %s, %d pieces of advice, %d skipped, %d ok\n", some(n.Failure, "failure"),
			some(n.Warning, "warning"), n.Advice, n.Skipped, n.OK)
	}
	if n.Failure > 0 {
		return fmt.Errorf("%s; the findings say what to do", some(n.Failure, "failure"))
	}
	return nil
}

// some counts things.
func some(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
