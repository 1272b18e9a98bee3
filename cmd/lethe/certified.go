package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

// certified is what certificate prints.
type certified struct {
	Erasure     string          `json:"erasure"`
	File        string          `json:"file,omitempty"` // as it was given
	Certificate json.RawMessage `json:"certificate"`
}

func (p *program) certificateCommand() *cobra.Command {
	var wait waiting
	c := &cobra.Command{
		Use: "certificate ERASURE [FILE]", Short: "Get the certificate of an erasure, into a file or onto standard output",
		Long: `Certificate gives the signed statement that an erasure is done: what was destroyed,
how that was verified, when nothing could be read any more, and what remains. It
holds no name and no number. Without FILE, or with -, it goes to standard output.

Anyone can check it without this server: see lethe verify certificate.`,
		Example: `  lethe certificate 3f1c…90ab erasure.json
  lethe certificate 3f1c…90ab erasure.json --wait`,
		Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: work(func(c *cobra.Command, args []string) error {
			if err := wait.check(c); err != nil {
				return err
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			e, err := reply[client.Erasure](api.GetErasure(c.Context(), args[0]))
			if err == nil && wait.wait {
				e, err = p.untilCertified(c.Context(), api, e, wait.patience)
			}
			if err == nil && e.State != client.ErasureStateCertified {
				err = unfinished{e, errNotYet}
			}
			if err != nil {
				return err
			}
			got := certified{Erasure: e.Erasure, Certificate: e.Certificate}
			if len(args) == 2 && args[1] != standardOutput {
				got.File = args[1]
			}
			return p.giveCertificate(got)
		}),
	}
	wait.add(c)
	return c
}

func (p *program) giveCertificate(got certified) error {
	signed := append(got.Certificate, '\n')
	if got.File == "" {
		if p.json {
			return printJSON(p.out, got)
		}
		_, err := p.out.Write(signed)
		return err
	}
	write := replaceFile
	switch i, err := os.Stat(got.File); {
	case err == nil && i.IsDir():
		return misusef("%s is a directory; name a file in it", got.File)
	case err == nil && !i.Mode().IsRegular():
		write = func(path string, b []byte) error { return os.WriteFile(path, b, 0o600) }
	}
	if err := write(got.File, signed); err != nil {
		return noFileThere(got.File, err)
	}
	if err := p.answer(got, table{{"erasure", got.Erasure}, {"file", got.File}}); err != nil || p.json {
		return err
	}
	fmt.Fprintf(p.errs, "Check it: lethe verify certificate %s --key %s\n", shellWord(got.File), shellWord(filepath.Join(p.data, publicFile)))
	return nil
}
