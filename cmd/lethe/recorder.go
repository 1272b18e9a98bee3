package main

import (
	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func (p *program) recorderCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "recorder", Short: "Create credentials that only write",
		Long: `A recorder is whatever uploads calls: a telephone system, a media server, a script.
Its keys put recordings into one bucket and do nothing else; whoever steals them
can neither open nor list nor erase.`,
		Example: "  lethe recorder create --tenant acme pbx-1 --bucket calls",
	}
	group.AddCommand(p.createRecorderCommand())
	return needSubcommand(group)
}

func (p *program) createRecorderCommand() *cobra.Command {
	var tenant string
	var r client.NewRecorder
	c := &cobra.Command{
		Use: "create --tenant T NAME --bucket B", Short: "Create an S3 key pair that writes to one bucket, shown once",
		Long: `Create makes the S3 key pair of a recorder, for lethe put and for any other S3
client. The secret key is shown here and never again: keep it where the recorder
will read it.

NAME is what it is called in lists and logs.`,
		Example: `  lethe --data ./lethe-data recorder create --tenant acme pbx-1 --bucket calls
  lethe recorder create --tenant acme pbx-2 --bucket calls --prefix vienna/ --json`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(c *cobra.Command, args []string) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			r.Name = args[0]
			pair, err := reply[client.KeyPair](api.CreateRecorder(c.Context(), tenant, r))
			if err != nil {
				return err
			}
			return p.answerPair(pair)
		}),
	}
	p.requireTenant(c, &tenant)
	f := c.Flags()
	f.StringVar(&r.Bucket, "bucket", "", "the bucket it writes to (required)")
	f.StringVar(&r.Prefix, "prefix", "", "what every name it writes must begin with")
	f.BoolVar(&r.Signing, "signing", false, "also create a key to sign claims with (a later version)")
	must(c.MarkFlagRequired("bucket"))
	return c
}

func (p *program) answerPair(pair client.KeyPair) error {
	return p.answer(pair, table{{"access key", pair.AccessKey}, {"secret key", pair.SecretKey}})
}
