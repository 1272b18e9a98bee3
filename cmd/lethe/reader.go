package main

import (
	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func (p *program) readerCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "reader", Short: "Create credentials that list and open",
		Long: `A reader lists and opens recordings. Every access stands in the tenant's log, with
the purpose that the reader was made for.`,
		Example: "  lethe reader create --tenant acme quality --bucket calls --purpose training",
	}
	group.AddCommand(p.createReaderCommand())
	return needSubcommand(group)
}

func (p *program) createReaderCommand() *cobra.Command {
	var tenant string
	var r client.NewReader
	c := &cobra.Command{
		Use: "create --tenant T NAME --bucket B|'*'", Short: "Create an S3 key pair that lists and opens, shown once",
		Long: `Create makes the S3 key pair of a reader, for lethe get, ls and stat and for any
other S3 client. The secret key is shown here and never again.

With --write it may put and erase as well, and on --bucket '*' create and delete
buckets, as general S3 tools expect.`,
		Example: `  lethe --data ./lethe-data reader create --tenant acme quality --bucket calls
  lethe reader create --tenant acme backup --bucket '*' --purpose migration --write`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(c *cobra.Command, args []string) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			r.Name = args[0]
			pair, err := reply[client.KeyPair](api.CreateReader(c.Context(), tenant, r))
			if err != nil {
				return err
			}
			return p.answerPair(pair)
		}),
	}
	p.requireTenant(c, &tenant)
	f := c.Flags()
	f.StringVar(&r.Bucket, "bucket", "", "the bucket it reads, or '*' for all of the tenant's (required)")
	f.StringVar(&r.Prefix, "prefix", "", "what every name it sees must begin with")
	f.StringVar(&r.Purpose, "purpose", "", "why it reads; stands in the log of every access")
	f.BoolVar(&r.Write, "write", false, "it may put and erase as well, and with --bucket '*' create and delete buckets")
	must(c.MarkFlagRequired("bucket"))
	return c
}
