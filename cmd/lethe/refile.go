package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func (p *program) refileCommand() *cobra.Command {
	var tenant, named string
	var r client.NewRefiling
	c := &cobra.Command{
		Use:   "refile --tenant T --recording BUCKET/NAME (--retain-until DATE | --subject S...)",
		Short: "Keep a recording for longer, or correct of whom it tells",
		Long: `Refile files a recording anew, with all its versions: so that it expires on a later
date, or with the data subjects of whom it tells in truth. Its bytes stay as they are.

Retention is extended and never shortened. The date is the first day on which it may
go; an erasure of the day on which it would have expired passes over it.

A recording that was put under the wrong number is given the right one: an erasure of
the wrong one does not find it any more. What the recorder said stays sealed within
the recording, shown to nobody, and goes with it. This is refused where a hold is on
someone of whom the recording tells; release it first.

It may be repeated: versions that are so already are left as they are.`,
		Example: `  lethe refile --tenant acme --recording calls/2026/a.wav --retain-until 2031-12-31
  lethe refile --tenant acme --recording calls/2026/a.wav --subject +49301234567`,
		Args: cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			bucket, name, ok := strings.Cut(named, "/")
			if !ok || name == "" {
				return misusef("%q is not a recording; give BUCKET/NAME", named)
			}
			r.Recording.Bucket, r.Recording.Name = bucket, name
			api, err := p.api()
			if err != nil {
				return err
			}
			made, err := reply[client.Refiling](api.CreateRefiling(c.Context(), tenant, r))
			if err != nil {
				return err
			}
			return p.answer(made, table{{"recording", made.Recording}, {"refiled", strconv.Itoa(made.Refiled)}})
		}),
	}
	f := c.Flags()
	p.requireTenant(c, &tenant)
	once(f, &named, "recording", "bucket and name of the recording (required)")
	must(c.MarkFlagRequired("recording"))
	once(f, &r.Recording.Version, "version", "only this version, 32 hex digits")
	once(f, &r.RetainUntil, "retain-until", "date on which it is to expire, such as 2031-12-31")
	f.StringArrayVar(&r.Subjects, "subject", nil, "data subject of whom it tells, such as a telephone number; may repeat, the first counts most")
	c.MarkFlagsMutuallyExclusive("retain-until", "subject")
	c.MarkFlagsOneRequired("retain-until", "subject")
	return c
}
