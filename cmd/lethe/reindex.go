package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func (p *program) reindexCommand() *cobra.Command {
	var wait waiting
	c := &cobra.Command{
		Use: "reindex TENANT", Short: "Forget the key by which a backup confirms what was erased",
		Long: `Rows of the catalog are found by keyed indexes of names and numbers. Whoever has an
old backup of it and that key can try whether a number stood there. Reindex moves
the rows of all that is left to indexes under another key, and forgets the old one:
then nothing confirms what was erased before. Everything can be put, read, listed
and erased meanwhile.

Servers do so by themselves, a week after an erasure unless they are set otherwise.
It takes some two minutes, and as long as the rows take, and goes on by itself; one
that is under way is joined.`,
		Example: `  lethe reindex acme
  lethe reindex acme --wait --wait-for 1h`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(c *cobra.Command, args []string) error { return p.reindex(c.Context(), args[0], wait) }),
	}
	c.Flags().BoolVar(&wait.wait, "wait", false, "return when the key is forgotten")
	c.Flags().DurationVar(&wait.patience, "wait-for", time.Hour, "how long --wait waits")
	c.ValidArgsFunction = p.completeTenant
	return c
}

func (p *program) reindex(ctx context.Context, tenant string, wait waiting) error {
	api, err := p.api()
	if err != nil {
		return err
	}
	r, err := reply[client.Reindexing](api.Reindex(ctx, tenant))
	if err == nil && wait.wait {
		r, err = p.untilForgotten(ctx, api, tenant, r, wait.patience)
	}
	if err != nil {
		return err
	}
	if err := p.answer(r, reindexTable(r)); err != nil {
		return err
	}
	p.explainReindexing(r)
	return nil
}

func reindexTable(r client.Reindexing) table {
	rows := table{{"state", string(r.State)}, {"moved", strconv.FormatInt(r.Moved, 10)}}
	if r.Damaged > 0 {
		rows = append(rows, []string{"damaged", strconv.FormatInt(r.Damaged, 10)})
	}
	for _, at := range []struct {
		what string
		time *time.Time
	}{{"erased before", r.MovingAt}, {"forgotten", r.ForgottenAt}} {
		if at.time != nil {
			rows = append(rows, []string{at.what, at.time.Format(time.DateTime)})
		}
	}
	return rows
}

// explainReindexing tells a person what was done, and what is left.
func (p *program) explainReindexing(r client.Reindexing) {
	if p.json {
		return
	}
	switch {
	case r.State == client.ReindexStateNone:
		fmt.Fprintln(p.errs, "Nothing was erased: there is nothing to forget.")
	case r.State != client.ReindexStateForgotten:
		fmt.Fprintln(p.errs, "It goes on by itself; see how far it is by running this again.")
	case r.Linkable:
		fmt.Fprintln(p.errs, "Nothing confirms any more what was erased before. What was erased since takes another time: run this again.")
	default:
		fmt.Fprintln(p.errs, "Nothing confirms any more what was erased.")
	}
	if r.Damaged > 0 {
		fmt.Fprintf(p.errs, "%d versions do not open, and are not found any more; the server's log names them.\n", r.Damaged)
	}
}

// untilForgotten asks how far it is until the key is forgotten, and shows it meanwhile.
func (p *program) untilForgotten(ctx context.Context, api *client.Client, tenant string, r client.Reindexing, patience time.Duration) (client.Reindexing, error) {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m := p.clock(progressOf(r))
	defer func() { m.vanish() }()
	for r.State != client.ReindexStateForgotten && r.State != client.ReindexStateNone {
		select {
		case <-patient.Done():
			err := errStillLinked
			if ctx.Err() != nil {
				err = errInterrupted
			}
			return r, fmt.Errorf("%w: the indexes are %s, and it goes on by itself", err, r.State)
		case <-time.After(askEvery):
		}
		now, err := reply[client.Reindexing](api.GetReindexing(patient, tenant))
		if refusal, answered := errors.AsType[refused](err); answered && refusal.Status < http.StatusInternalServerError {
			return r, err
		}
		if err != nil {
			continue
		}
		if progressOf(now) != progressOf(r) {
			m.vanish()
			m = p.clock(progressOf(now))
		}
		r = now
	}
	return r, nil
}

func progressOf(r client.Reindexing) string {
	return fmt.Sprintf("%s, %d versions moved", r.State, r.Moved)
}

// errStillLinked is of a generation that is not forgotten yet.
var errStillLinked = errors.New("the key is not forgotten yet")
