package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func (p *program) holdCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "hold", Short: "Keep recordings from being erased",
		Long: `A hold keeps a recording, or every recording that tells of a data subject, from
being erased, by whoever asks, and from expiring, until it is released.`,
		Example: `  lethe hold create --tenant acme --subject +49301234567 --reason "case 17/26"
  lethe hold list --tenant acme`,
	}
	group.AddCommand(p.createHoldCommand(), p.listHoldsCommand(), p.releaseHoldCommand())
	return needSubcommand(group)
}

func (p *program) createHoldCommand() *cobra.Command {
	var tenant, named string
	var h client.NewHold
	c := &cobra.Command{
		Use: "create --tenant T (--recording BUCKET/NAME | --subject S) --reason R", Short: "Put a hold on a recording or on a data subject",
		Long: `Create puts a hold on a recording with all its versions, or on a data subject: then
it covers every recording that tells of them, those to come too. From then on an
erasure of any of these is refused, and no put replaces one. When their retention
ends, or someone else is erased of whom they tell, they stay.

The reason is for whoever lists the holds. It is sealed, and forgotten once the hold
is released.`,
		Example: `  lethe hold create --tenant acme --recording calls/2026/a.wav --reason "complaint 4711"
  lethe hold create --tenant acme --subject +49301234567 --reason "case 17/26"`,
		Args: cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			if named != "" {
				bucket, name, ok := strings.Cut(named, "/")
				if !ok || name == "" {
					return misusef("%q is not a recording; give BUCKET/NAME", named)
				}
				h.Recording = &client.HeldRecording{Bucket: bucket, Name: name}
			}
			api, err := p.api()
			if err != nil {
				return err
			}
			made, err := reply[client.Hold](api.CreateHold(c.Context(), tenant, h))
			if err != nil {
				return err
			}
			return p.answerHold(made)
		}),
	}
	f := c.Flags()
	p.requireTenant(c, &tenant)
	once(f, &named, "recording", "bucket and name of the recording to hold")
	once(f, &h.Subject, "subject", "data subject to hold, such as a telephone number")
	f.StringVar(&h.Reason, "reason", "", "why (required)")
	must(c.MarkFlagRequired("reason"))
	c.MarkFlagsMutuallyExclusive("recording", "subject")
	c.MarkFlagsOneRequired("recording", "subject")
	return c
}

func (p *program) listHoldsCommand() *cobra.Command {
	var tenant string
	c := &cobra.Command{
		Use: "list --tenant T", Short: "List a tenant's holds",
		Long:    "List shows the holds that were not released, oldest first, with whom or what they are on.",
		Example: "  lethe hold list --tenant acme --json",
		Args:    cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			list, err := reply[client.HoldList](api.ListHolds(c.Context(), tenant))
			if err != nil {
				return err
			}
			rows := table{{"HOLD", "CREATED", "HOLDER", "ON", "REASON"}}
			for _, h := range list.Holds {
				rows = append(rows, []string{h.Hold, h.CreatedAt.Format(time.DateTime), h.Holder, heldThing(h), h.Reason})
			}
			return p.answer(list, rows)
		}),
	}
	p.requireTenant(c, &tenant)
	return c
}

func (p *program) releaseHoldCommand() *cobra.Command {
	var tenant string
	c := &cobra.Command{
		Use: "release --tenant T ID", Short: "Release a hold",
		Long: `Release ends a hold. Nothing is erased by that; what may be erased again is what no
other hold is on. A recording whose retention has ended meanwhile goes within 8 days.`,
		Example: "  lethe hold release --tenant acme 0123456789abcdef0123456789abcdef",
		Args:    cobra.ExactArgs(1),
		RunE: work(func(c *cobra.Command, args []string) error {
			api, err := p.api()
			if err != nil {
				return err
			}
			was, err := reply[client.Hold](api.ReleaseHold(c.Context(), tenant, args[0]))
			if err != nil {
				return err
			}
			return p.answerHold(was)
		}),
	}
	p.requireTenant(c, &tenant)
	return c
}

func (p *program) answerHold(h client.Hold) error {
	return p.answer(h, table{{"hold", h.Hold}, {"on", heldThing(h)}, {"reason", h.Reason}})
}

// heldThing is what a hold is on.
func heldThing(h client.Hold) string {
	if h.Recording != nil {
		return h.Recording.Bucket + "/" + h.Recording.Name
	}
	return h.Subject
}
