package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

func (p *program) rebuildCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "rebuild", Short: "Write the catalog again from the store and the keys, the server being stopped",
		Long: `Rebuild reads what lethe serve would read, given the same file, environment and
flags, and brings the catalog up to what the store and the keys say: all of it if
the database is lost, and what has come since if it was put back from a backup.
What was erased stays erased. What the catalog has already stays as it is.

Stop every server on this store before, and start none until it is done. It may
be interrupted and run again; it then goes on. It deletes nothing: blobs that no
recording needs are left to lethe sweep.

The exit status is 1 if a recording is damaged or a tenant could not be opened,
which the report names. If Vault or the store does not answer, it stops, and what
it has done stays done.`,
		Example: `  lethe rebuild --data ./lethe-data
  lethe rebuild --config lethe.yaml --json`,
		Args: cobra.NoArgs,
		RunE: work(func(c *cobra.Command, _ []string) error {
			s, err := loadSettings(file, c.Flags())
			if err != nil {
				return err
			}
			r, err := p.rebuild(c.Context(), s.Config)
			if err != nil {
				return err
			}
			return p.answerRebuild(r)
		}),
	}
	configFlag(c.Flags(), &file)
	config.AddFlags(c.Flags())
	return c
}

// rebuild works on the parts of a server, as serve opens them.
func (p *program) rebuild(ctx context.Context, s config.Config) (r gateway.RebuildReport, err error) {
	if err := forbidCoreDumps(); err != nil {
		return r, fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := wasThere(s); err != nil {
		return r, err
	}
	log := slog.New(slog.NewJSONHandler(p.errs, &slog.HandlerOptions{Level: s.Log.Level}))
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return r, err
	}
	watch, err := watchProcess(s, log)
	if err != nil {
		return r, err
	}
	defer closeTelemetry(watch, log)
	base, err := openParts(ctx, s, watch)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, base.close()) }()
	return gateway.Rebuild(ctx, gateway.Config{
		Blobs: base.blobs, Catalog: base.catalog, Keys: base.keys, Signer: base.certificates, Logger: log, Observer: watch,
	})
}

// rebuilt is what rebuild prints.
type rebuilt struct {
	Complete   bool             `json:"complete"`
	Tenants    rebuiltTenants   `json:"tenants"`
	Heads      int64            `json:"heads"`
	Lost       int64            `json:"lost"`
	Entries    int64            `json:"entries"`
	Erasures   int64            `json:"erasures"`
	Settled    int64            `json:"settled"`
	Recordings int64            `json:"recordings"`
	Replaced   int64            `json:"replaced"`
	Erased     int64            `json:"erased"`
	Aborted    int64            `json:"aborted"`
	Damaged    named[lostBlob]  `json:"damaged"`
	Unknown    named[lostBlob]  `json:"unknown"`
	Contested  named[lostBlob]  `json:"contested"`
	Unopened   []unopenedTenant `json:"unopened"`
}

type rebuiltTenants struct {
	Opened    int64 `json:"opened"`
	Added     int64 `json:"added"`
	Erased    int64 `json:"erased"`
	Abandoned int64 `json:"abandoned"`
}

// named are things, of which the first are named.
type named[T any] struct {
	Count int64 `json:"count"`
	First []T   `json:"first"`
}

// lostBlob is a blob or a version of which something is to be said.
type lostBlob struct {
	Tenant    string `json:"tenant,omitempty"`
	Recording string `json:"recording,omitempty"`
	Version   string `json:"version,omitempty"`
	Blob      string `json:"blob,omitempty"`
	Why       string `json:"why,omitempty"`
}

type unopenedTenant struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name,omitempty"`
	Why    string `json:"why"`
}

func ofIdentity(id recording.Identity) lostBlob {
	return lostBlob{Tenant: id.Tenant.String(), Recording: id.Recording.String(), Version: id.Version.String()}
}

func namedOf[T any](n gateway.Named[T], as func(T) lostBlob) named[lostBlob] {
	out := named[lostBlob]{Count: n.Count, First: []lostBlob{}}
	for _, v := range n.First {
		out.First = append(out.First, as(v))
	}
	return out
}

func rebuiltOf(r gateway.RebuildReport) rebuilt {
	out := rebuilt{
		Complete: r.Complete, Heads: r.Heads, Lost: r.Lost, Entries: r.Entries, Erasures: r.Erasures, Settled: r.Settled,
		Tenants:    rebuiltTenants{r.Tenants, r.TenantsAdded, r.TenantsErased, r.Abandoned},
		Recordings: r.Recordings, Replaced: r.Replaced, Erased: r.Erased, Aborted: r.Aborted,
		Damaged: namedOf(r.Damaged, func(d gateway.DamagedBlob) lostBlob {
			of := ofIdentity(d.Identity)
			of.Blob, of.Why = d.Blob, d.Why
			return of
		}),
		Unknown:   namedOf(r.Unknown, func(u gateway.UnknownBlob) lostBlob { return lostBlob{Blob: u.Blob, Why: u.Why} }),
		Contested: namedOf(r.Contested, ofIdentity),
		Unopened:  []unopenedTenant{},
	}
	for _, t := range r.Unopened {
		out.Unopened = append(out.Unopened, unopenedTenant{t.Tenant.String(), t.Name, t.Why})
	}
	return out
}

// answerRebuild prints what a rebuild did; what it could not do is a failure.
func (p *program) answerRebuild(r gateway.RebuildReport) error {
	out := rebuiltOf(r)
	if err := p.answer(out, out.table()); err != nil {
		return err
	}
	if !r.Complete {
		return fmt.Errorf("not all was rebuilt: %s, %s that could not be opened", some(int(r.Damaged.Count), "damaged blob"), some(len(r.Unopened), "tenant"))
	}
	return nil
}

func (r rebuilt) table() table {
	rows := table{{"WHAT", "HOW MANY"}}
	for _, line := range []struct {
		what string
		n    int64
	}{
		{"tenants opened", r.Tenants.Opened}, {"tenants added", r.Tenants.Added}, {"tenants erased", r.Tenants.Erased},
		{"tenants never finished", r.Tenants.Abandoned}, {"epochs followed", r.Heads}, {"earlier epochs lost", r.Lost},
		{"settings applied", r.Entries},
		{"erasures restored", r.Erasures}, {"rows of what was erased", r.Settled}, {"recordings restored", r.Recordings},
		{"of these replaced", r.Replaced}, {"blobs of what was erased", r.Erased}, {"blobs of uploads that never ended", r.Aborted},
		{"damaged", r.Damaged.Count}, {"unknown blobs", r.Unknown.Count}, {"contested", r.Contested.Count}, {"tenants not opened", int64(len(r.Unopened))},
	} {
		rows = append(rows, []string{line.what, strconv.FormatInt(line.n, 10)})
	}
	for _, of := range []struct {
		what string
		all  []lostBlob
	}{{"damaged", r.Damaged.First}, {"unknown", r.Unknown.First}, {"contested", r.Contested.First}} {
		for _, b := range of.all {
			rows = append(rows, []string{of.what, b.Version + " " + b.Blob + " " + b.Why})
		}
	}
	for _, t := range r.Unopened {
		rows = append(rows, []string{"not opened", t.Tenant + " " + t.Name + ": " + t.Why})
	}
	return rows
}
