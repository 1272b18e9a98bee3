package main

import (
	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func (p *program) bucketCommand() *cobra.Command {
	group := &cobra.Command{Use: "bucket", Short: "Create buckets"}
	group.AddCommand(p.createBucketCommand())
	return needSubcommand(group)
}

func (p *program) createBucketCommand() *cobra.Command {
	var tenant, overwrite, class, etag string
	var b client.NewBucket
	c := &cobra.Command{
		Use: "create --tenant T NAME", Short: "Create a bucket",
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
	requireTenant(c, &tenant)
	f.StringVar(&b.Purpose, "purpose", "", "what its recordings are kept for")
	f.StringVar(&b.Retention, "retention", "", "how long they are kept, such as 90d; default until erased")
	f.StringVar(&overwrite, "overwrite", "", "never, version or replace; default never")
	f.StringVar(&class, "min-class", "", "weakest integrity class accepted, A to D; default D")
	f.StringVar(&etag, "etag", "", "opaque or md5; default opaque")
	return c
}

// requireTenant adds the flag that says whose a new thing is.
func requireTenant(c *cobra.Command, tenant *string) {
	c.Flags().StringVar(tenant, "tenant", "", "name of the tenant (required)")
	must(c.MarkFlagRequired("tenant"))
}
