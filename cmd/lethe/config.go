package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
)

func (p *program) configCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "config", Short: "Describe and check the settings of lethe serve",
		Long: `A setting of lethe serve is a flag, an environment variable or a key of a YAML file;
the earlier of these counts.`,
		Example: `  lethe config docs
  lethe config check --config lethe.yaml`,
	}
	group.AddCommand(p.configDocsCommand(), p.configCheckCommand(), p.configShowCommand())
	return needSubcommand(group)
}

func (p *program) configDocsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "docs", Short: "Print the reference of all settings as Markdown",
		Long: `Docs prints what every setting means, its default, and the flag, variable and key
that give it, as docs/configuration.md has it.`,
		Example: "  lethe config docs | less",
		Args:    cobra.NoArgs,
		RunE: work(func(*cobra.Command, []string) error {
			if !p.json {
				return config.WriteReference(p.out)
			}
			var text strings.Builder
			if err := config.WriteReference(&text); err != nil {
				return err
			}
			return printJSON(p.out, reference{text.String()})
		}),
	}
}

// reference is what config docs prints.
type reference struct {
	Markdown string `json:"markdown"`
}

// checked is what a check of the settings found.
type checked struct {
	OK       bool             `json:"ok"`
	Problems []config.Problem `json:"problems"`
	Warnings []string         `json:"warnings,omitempty"` // what may be meant otherwise, and refuses nothing
}

func (p *program) configCheckCommand() *cobra.Command {
	var file string
	var files bool
	c := &cobra.Command{
		Use: "check", Short: "Say all that is wrong with the settings of lethe serve",
		Long: `Check reads what lethe serve would read, given the same file, environment and
flags, and says all that is wrong with it. It reaches no other server. With
--files it also tries to read the files that the settings name, as the user who
runs it.`,
		Example: "  lethe config check --config lethe.yaml",
		Args:    cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			s, err := load(file, c.Flags())
			if err == nil && files {
				err = s.CheckFiles()
			}
			return p.answerCheck(err, config.Stray(os.Environ()))
		}),
	}
	c.Flags().BoolVar(&files, "files", false, "also try to read the files that the settings name")
	configFlag(c.Flags(), &file)
	config.AddFlags(c.Flags())
	return c
}

// shown is what lethe serve would run on.
type shown struct {
	Settings []config.Setting `json:"settings"`
}

func (p *program) configShowCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "show", Short: "Print the settings that lethe serve would run on, and where each was given",
		Long: `Show prints every setting as lethe serve would take it from the same file,
environment and flags, and where each was given. Secrets are hidden.`,
		Example: "  lethe config show --config lethe.yaml --json",
		Args:    cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			s, err := loadSettings(file, c.Flags())
			if err != nil {
				return err
			}
			rows := table{{"KEY", "VALUE", "FROM"}}
			for _, set := range s.List() {
				rows = append(rows, []string{set.Key, set.Value, set.From})
			}
			return p.answer(shown{s.List()}, rows)
		}),
	}
	configFlag(c.Flags(), &file)
	config.AddFlags(c.Flags())
	return c
}

// answerCheck tells what a check has found: Problems, or an error that kept it
// from finding any.
func (p *program) answerCheck(err error, warned []config.Problem) error {
	found, wrong := errors.AsType[config.Problems](err)
	switch {
	case err != nil && !wrong:
		return err
	case p.json:
		answer := checked{OK: !wrong, Problems: append([]config.Problem{}, found...)}
		for _, w := range warned {
			answer.Warnings = append(answer.Warnings, w.Error())
		}
		return errors.Join(printJSON(p.out, answer), err)
	}
	for _, w := range warned {
		fmt.Fprintf(p.errs, "lethe: warning: %v\n", w)
	}
	if !wrong {
		fmt.Fprintln(p.out, "nothing is wrong")
	}
	return err
}

func configFlag(f *pflag.FlagSet, file *string) {
	f.StringVar(file, "config", "", "YAML file of settings (LETHE_CONFIG)")
}

// load finds the settings; file may be "".
func load(file string, flags *pflag.FlagSet) (*config.Settings, error) {
	return config.Load(config.Source{File: cmp.Or(file, os.Getenv("LETHE_CONFIG")), Environ: os.Environ, Flags: flags})
}

// loadSettings is load for a command that cannot do without.
func loadSettings(file string, flags *pflag.FlagSet) (*config.Settings, error) {
	s, err := load(file, flags)
	if found, wrong := errors.AsType[config.Problems](err); wrong {
		return nil, misused{found}
	}
	return s, err
}
