package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/recording"
)

// ErrServed: other processes have the catalog open, perhaps to serve it.
var ErrServed = errors.New("gateway: the catalog is in use by other processes")

// RebuildReport says what a rebuild found and did. What is damaged, unknown or
// contested is named, the first MostNamed of each; the log names all.
type RebuildReport struct {
	Tenants       int64 // that were opened
	TenantsErased int64 // or are being erased
	TenantsAdded  int64 // that the catalog did not have
	Abandoned     int64 // tenants whose making was interrupted; nobody was told of them

	Heads      int64 // followed
	Lost       int64 // earlier heads, or packs of them, that are missing or not ours; what needs them is damaged
	Entries    int64 // of journals, applied
	Erasures   int64 // that the catalog had lost
	Settled    int64 // rows of recordings that were erased since
	Recordings int64 // versions that the catalog did not have, or not as committed
	Replaced   int64 // of these
	Erased     int64 // blobs of what is erased; a sweep deletes them
	Aborted    int64 // blobs of uploads that never ended; a sweep deletes them

	Damaged   Named[DamagedBlob]
	Unknown   Named[UnknownBlob]
	Contested Named[recording.Identity] // kept beside what its name stands for, since either may be what was acknowledged
	Unopened  []UnopenedTenant

	Complete bool // nothing is damaged and no tenant unopened: the catalog lacks nothing that the store has
}

// MostNamed bounds what a RebuildReport names of each kind.
const MostNamed = 1000

// Named counts things and names the first of them.
type Named[T any] struct {
	Count int64
	First []T
}

func (n *Named[T]) add(v T) {
	if n.Count++; n.Count <= MostNamed {
		n.First = append(n.First, v)
	}
}

// DamagedBlob is a blob of a recording that does not open, as its prefix says.
type DamagedBlob struct {
	recording.Identity
	Blob string
	Why  string
}

// UnknownBlob is a blob that is none of ours, or that no recording needs.
type UnknownBlob struct {
	Blob string
	Why  string
}

// UnopenedTenant is a tenant of which nothing could be read: one that is there, or an
// erased one of which nothing could be told from a forgery.
type UnopenedTenant struct {
	Tenant recording.Tenant
	Name   string // "" if the catalog does not have it
	Why    string
}

// Rebuild writes the catalog from what the store and the provider hold: all of it
// if there is none, or what an older copy of it lacks. What it lacks not stays as it
// is. No server may run on the catalog meanwhile: ErrServed if one does that can be
// seen.
//
// It may be killed and begun again at any time. It deletes nothing: blobs that no
// recording needs become residues. A provider or store that does not answer ends it
// with recording.ErrUnavailable, and what it has done by then stays done. See
// docs/design.md, "A catalog, rebuilt".
func Rebuild(ctx context.Context, c Config) (RebuildReport, error) {
	if n, err := c.Catalog.Others(ctx); err != nil || n > 0 {
		return RebuildReport{}, errors.Join(unavailable(err), ifTrue(n > 0, ErrServed))
	}
	g := build(c)
	defer g.Close()
	r := &rebuild{Gateway: g, incomplete: map[recording.Version]bool{}, buckets: map[recording.Tenant]map[recording.Bucket]bucket{},
		filed: map[recording.Tenant]map[recording.Version][]string{}, filings: map[recording.Version][]keytree.Filing{}}
	err := r.run(ctx)
	return r.report, unavailable(err)
}

func ifTrue(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

// rebuild is one run of Rebuild.
type rebuild struct {
	*Gateway
	report  RebuildReport
	buckets map[recording.Tenant]map[recording.Bucket]bucket
	filed   map[recording.Tenant]map[recording.Version][]string // keys of the filings that the store has
	filings map[recording.Version][]keytree.Filing              // those that were read

	// incomplete are recordings in parts whose lists are there and do not suffice:
	// what is there of their parts is kept.
	incomplete map[recording.Version]bool
}

func (r *rebuild) run(ctx context.Context) error {
	all, err := r.lineages(ctx)
	if err != nil {
		return err
	}
	var open []recording.Tenant
	for _, l := range all {
		ready, err := r.tenant(ctx, l)
		why, own := ofTenant(err)
		switch {
		case own:
			r.unopened(ctx, l.tenant, why)
		case err != nil:
			return fmt.Errorf("tenant %v: %w", l.tenant, err)
		case ready:
			open = append(open, l.tenant)
		}
	}
	for _, t := range open {
		if r.filed[t], err = r.following().Filed(ctx, t); err != nil {
			return err
		}
	}
	for _, stage := range []func(context.Context, recording.Tenant, []blob.Info) error{r.restoreSome, r.leaveSome} {
		if err := r.everyBlob(ctx, open, stage); err != nil {
			return err
		}
	}
	for _, t := range open {
		if err := r.refileAll(ctx, t); err != nil {
			return fmt.Errorf("what %v has filed anew: %w", t, err)
		}
	}
	return r.end(ctx)
}

// ofTenant tells what is wrong with one tenant from what ends a rebuild.
func ofTenant(err error) (why string, own bool) {
	for _, known := range []struct {
		error
		why string
	}{
		{keytree.ErrForgotten, "its key is gone from the provider, and no head says that it is erased"},
		{keytree.ErrRolledBack, "the provider is older than its newest head"},
		{keytree.ErrBind, "its newest head does not open"},
		{keytree.ErrHead, "a head of it is malformed"},
		{recording.ErrTenantExists, "another tenant has its name"},
		{eraser.ErrOtherSigner, ""},
		{recording.ErrIncident, ""},
	} {
		if errors.Is(err, known.error) && !errors.Is(err, keytree.ErrUnavailable) {
			if known.why == "" {
				known.why = err.Error()
			}
			return known.why, true
		}
	}
	return "", false
}

func (r *rebuild) unopened(ctx context.Context, id recording.Tenant, why string) {
	t, err := r.catalog.Tenant(ctx, id)
	if err != nil {
		t.Name = ""
	}
	r.log.Error("tenant cannot be opened", "tenant", id.String(), "why", why)
	r.report.Unopened = append(r.report.Unopened, UnopenedTenant{id, t.Name, why})
}

// lineage is what a tenant's heads are in the store.
type lineage struct {
	tenant      recording.Tenant
	first, last uint64 // epochs
	erased      bool   // the last says so
}

// lineages finds every tenant of the store, those that are erased first: their names
// may be others' by now.
func (r *rebuild) lineages(ctx context.Context) (all []lineage, err error) {
	for info, err := range r.blobs.List(ctx, "head/") {
		if err != nil {
			return nil, err
		}
		t, epoch, ok := parseHeadKey(info.Key)
		switch {
		case !ok:
			r.unknown(info.Key, "not a head")
		case len(all) > 0 && all[len(all)-1].tenant == t:
			all[len(all)-1].last = epoch
		default:
			all = append(all, lineage{tenant: t, first: epoch, last: epoch})
		}
	}
	for i := range all {
		head, err := keytree.ReadHead(ctx, r.blobs, all[i].tenant, all[i].last)
		if err != nil && !errors.Is(err, keytree.ErrHead) {
			return nil, err
		}
		all[i].erased = head.Kind == keytree.HeadErased
	}
	slices.SortStableFunc(all, func(a, b lineage) int {
		switch {
		case a.erased == b.erased:
			return 0
		case a.erased:
			return -1
		}
		return 1
	})
	return all, r.headless(ctx, all)
}

func parseHeadKey(key string) (t recording.Tenant, epoch uint64, ok bool) {
	tenant, number, _ := strings.Cut(strings.TrimPrefix(key, "head/"), "/")
	t, err := recording.ParseTenant(tenant)
	if err == nil {
		_, err = fmt.Sscanf(number, "%016x", &epoch)
	}
	return t, epoch, err == nil && keytree.HeadKey(t, epoch) == key
}

// headless reports the tenants that have a journal or a row, and no head.
func (r *rebuild) headless(ctx context.Context, all []lineage) error {
	known := map[recording.Tenant]bool{}
	for _, l := range all {
		known[l.tenant] = true
	}
	missing := func(t recording.Tenant) {
		if !known[t] {
			known[t] = true
			r.unopened(ctx, t, "the store has no head of it")
		}
	}
	for info, err := range r.blobs.List(ctx, "journal/") {
		if err != nil {
			return err
		}
		tenant, _, _ := strings.Cut(strings.TrimPrefix(info.Key, "journal/"), "/")
		if t, err := recording.ParseTenant(tenant); err == nil {
			missing(t)
		}
	}
	rows, err := r.catalog.Tenants(ctx)
	for _, row := range rows {
		missing(row.ID)
	}
	return err
}

func (r *rebuild) unknown(key, why string) {
	r.log.Warn("unknown blob", "blob", key, "why", why)
	r.report.Unknown.add(UnknownBlob{key, why})
}

func (r *rebuild) damaged(id recording.Identity, key string, why error) {
	r.log.Error("damaged recording", "tenant", id.Tenant.String(), "recording", id.Recording.String(), "version", id.Version.String(), "error", why)
	r.report.Damaged.add(DamagedBlob{id, key, why.Error()})
}

// end lets a sweep judge what the catalog has open, unless something may be missing
// that would say more of it.
func (r *rebuild) end(ctx context.Context) error {
	r.report.Complete = len(r.report.Unopened) == 0 && r.report.Damaged.Count == 0
	if !r.report.Complete {
		return nil
	}
	stored, err := r.storedAnchors(ctx)
	if err != nil {
		return err
	}
	newest := catalog.Anchor{}
	if len(stored) > 0 {
		newest = stored[0]
	}
	own, err := r.catalog.Rebuilt(ctx, newest, place())
	if err != nil || own.Number == newest.Number && own.Nonce == newest.Nonce || own.Number == 0 {
		return err
	}
	return r.writeAnchor(ctx, own)
}
