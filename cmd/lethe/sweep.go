package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func (p *program) sweepCommand() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "sweep", Short: "Delete now what failed uploads and deletions have left in the store",
		Long: `Sweep gives up uploads whose writers are gone, deletes their blobs and those of
erased recordings, and ends deletions of buckets that were interrupted. Servers
do so by themselves; this does it at once. It needs the owner token.

A dry run changes nothing. It also lists the whole store, which may take long,
and counts orphans: blobs that no row of the catalog knows of. Those are never
deleted. A catalog that was put back from a copy has them until it is rebuilt.`,
		Example: `  lethe sweep --dry-run --data ./lethe-data`,
		Args:    cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			api, err := p.patientAPI()
			if err != nil {
				return err
			}
			s, err := reply[client.Sweep](api.Sweep(c.Context(), client.NewSweep{DryRun: dry}))
			if err != nil {
				return err
			}
			if err := p.answer(s, sweptTable(s)); err != nil {
				return err
			}
			p.explainSweep(s)
			return nil
		}),
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "change nothing: count what there is to do, and blobs that no row knows of")
	return c
}

// sweptTable is a row for each kind of thing that was left behind.
func sweptTable(s client.Sweep) table {
	rows := table{{"KIND", "FOUND", "DONE", "FAILED", "LOCKED"}}
	for _, kind := range []struct {
		name string
		client.Swept
	}{
		{"uploads in parts", s.Uploads}, {"puts", s.Puts}, {"parts", s.Parts}, {"blobs", s.Blobs}, {"buckets", s.Buckets},
	} {
		row := []string{kind.name}
		for _, n := range []int64{kind.Found, kind.Done, kind.Failed, kind.Locked} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, row)
	}
	rows = append(rows, []string{"blobs for later", strconv.FormatInt(s.Waiting, 10)})
	if o := s.Orphans; o != nil {
		rows = append(rows, []string{"orphans", strconv.FormatInt(o.Recordings+o.Tenants, 10)})
	}
	return rows
}

// explainSweep tells a person what to do about what a sweep does not do.
func (p *program) explainSweep(s client.Sweep) {
	if p.json {
		return
	}
	if s.Held > 0 || s.Restored {
		fmt.Fprintf(p.errs, "The catalog was put back from an older copy. %d uploads that it has open are not given up: they were perhaps completed since.\n", s.Held)
	}
	if o := s.Orphans; o != nil && o.Recordings+o.Tenants > 0 {
		fmt.Fprintf(p.errs, "Orphans are %d blobs of recordings (%d bytes) and %d of tenants that the catalog does not know. They are kept: "+
			"a catalog that lost rows has them too.\n", o.Recordings, o.Bytes, o.Tenants)
	}
	if s.Blobs.Failed+s.Buckets.Failed+s.Puts.Failed+s.Uploads.Failed+s.Parts.Failed > 0 {
		fmt.Fprintln(p.errs, "What failed is tried again by itself; the server's log says why.")
	}
}
