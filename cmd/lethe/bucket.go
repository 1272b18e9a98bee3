package main

import (
	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func (p *program) bucketCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "bucket", Short: "Create buckets",
		Long:    "A bucket holds recordings of one tenant, under one set of settings.",
		Example: "  lethe bucket create --tenant acme calls",
	}
	group.AddCommand(p.createBucketCommand())
	return needSubcommand(group)
}

func (p *program) createBucketCommand() *cobra.Command {
	var tenant, overwrite, class, etag string
	var b client.NewBucket
	c := &cobra.Command{
		Use: "create --tenant T NAME", Short: "Create a bucket",
		Long: `Create makes a bucket of a tenant. Its settings hold from its first recording on,
so they are given here: how long recordings are kept, what becomes of a name that
is put again, how strongly an upload must be proved, and what ETags are.

Overwrite never keeps the first recording of a name and refuses another; version
keeps both and opens the newer; replace opens the newer alone.`,
		Example: `  lethe --data ./lethe-data bucket create --tenant acme calls
  lethe bucket create --tenant acme calls --retention 90d --min-class B`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(c *cobra.Command, args []string) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			b.Name = args[0]
			b.Overwrite = client.NewBucketOverwrite(overwrite)
			b.MinClass = client.NewBucketMinClass(class)
			b.Etag = client.NewBucketEtag(etag)
			made, err := reply[client.BucketCreated](api.CreateBucket(c.Context(), tenant, b))
			if err != nil {
				return err
			}
			return p.answer(made, table{{"tenant", made.Tenant}, {"bucket", made.Bucket}})
		}),
	}
	f := c.Flags()
	p.requireTenant(c, &tenant)
	f.StringVar(&b.Purpose, "purpose", "", "what its recordings are kept for")
	f.StringVar(&b.Retention, "retention", "", "how long they are kept, such as 90d; default until erased")
	f.StringVar(&overwrite, "overwrite", "", "never, version or replace; default never")
	f.StringVar(&class, "min-class", "", "weakest integrity class accepted, A to D; default D")
	f.StringVar(&etag, "etag", "", "opaque or md5; default opaque")
	completeWords(c, "overwrite", "never", "version", "replace")
	completeWords(c, "min-class", "A", "B", "C", "D")
	completeWords(c, "etag", "opaque", "md5")
	return c
}

// requireTenant adds the flag that says whose a new thing is.
func (p *program) requireTenant(c *cobra.Command, tenant *string) {
	c.Flags().StringVar(tenant, "tenant", "", "name of the tenant (required)")
	must(c.MarkFlagRequired("tenant"))
	must(c.RegisterFlagCompletionFunc("tenant", p.completeTenants))
}
