package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// List gives one page of a bucket's names, in byte order.
//
// Names are sealed, so the order is found by walking directories depth-first:
// each is unsealed and sorted alone, with "/" kept on the names of its
// sub-directories, and that order is the byte order of the whole names. Of the
// recordings it tells what a listing shows: no facts and no digests.
func (g *Gateway) List(ctx context.Context, c Caller, b recording.Bucket, p Page) (Listing, error) {
	target := policy.Target{Tenant: c.Tenant, Bucket: b, Name: recording.Name(p.Prefix)}
	grant, err := g.permit(ctx, c, policy.List, target)
	if err != nil {
		return Listing{}, err
	}
	shelf := g.shelves.shelf(c.Tenant) // before the keys are leased
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return Listing{}, err
	}
	l := lister{gateway: g, scope: s, shelf: shelf, page: p}
	defer func() { l.scope.end() }() // it may be another by then
	opened, err := g.bucket(ctx, s, b)
	if err != nil {
		return Listing{}, g.noBucket(ctx, s, grant.event, err)
	}
	grant.event.Bucket = opened.id
	if err := g.explain(ctx, s, grant.event); err != nil {
		return Listing{}, err
	}
	l.bucket = opened
	if l.from, err = s.start(ctx, b, p); err != nil {
		return Listing{}, err
	}
	if err := l.walk(ctx, directory(p.Prefix)); err != nil && !errors.Is(err, errFull) {
		return Listing{}, err
	}
	return l.listing(ctx)
}

// position is a place in the order of names: after a name, or after every
// name that begins with it.
type position struct {
	After string `json:"after"`
	Whole bool   `json:"whole,omitempty"` // After is a common prefix: skip all of it
}

// passed reports whether name lies at or before the position.
func (p position) passed(name string) bool {
	return name <= p.After || p.Whole && strings.HasPrefix(name, p.After)
}

// over reports whether every name in a directory lies at or before the position.
func (p position) over(dir string) bool {
	if strings.HasPrefix(p.After, dir) {
		return p.Whole && p.After == dir
	}
	return dir < p.After || p.Whole && strings.HasPrefix(dir, p.After)
}

var errFull = errors.New("page is full")

// lister fills one page. It looks for one name more than the page holds, to
// know whether another page follows.
type lister struct {
	gateway *Gateway
	scope   scope
	shelf   *shelf // where directories are remembered
	bucket  bucket
	page    Page
	from    position
	out     Listing
	last    position // of what was taken last
	more    bool
}

// renew has a listing that lasts go by the generations of indexes that there are now,
// and by keys that are leased.
func (l *lister) renew(ctx context.Context) error {
	if time.Since(l.scope.tenant.ReadAt) > l.gateway.reindexes.view/2 {
		fresh, err := l.gateway.reenter(ctx, l.scope.tenant.ID)
		if err != nil {
			return err
		}
		l.scope.end()
		l.scope = fresh
	}
	return nil
}

func (l *lister) walk(ctx context.Context, dir string) error {
	seen, err := l.look(ctx, dir)
	if err != nil {
		return err
	}
	for c := range seen.children() {
		if err := l.visit(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) visit(ctx context.Context, c child) error {
	switch {
	case !strings.HasPrefix(c.name, l.page.Prefix) && !(c.in == nil && strings.HasPrefix(l.page.Prefix, c.name)):
		return nil
	case c.in != nil:
		return l.take(c.name, c.in)
	case l.from.over(c.name):
		return nil
	case l.rollsUp(c.name) && !strings.HasPrefix(l.from.After, c.name):
		return l.take(c.name, nil) // every name in it has one common prefix: no need to look
	}
	return l.walk(ctx, c.name)
}

// rollsUp reports whether all of a directory's names have one common prefix.
func (l *lister) rollsUp(dir string) bool {
	return l.page.Delimiter == "/" && len(dir) > len(l.page.Prefix)
}

// take puts a name, or the common prefix it rolls up into, on the page.
func (l *lister) take(name string, in *listed) error {
	if in != nil && l.from.passed(name) {
		return nil
	}
	place := position{After: name}
	if prefix, ok := l.commonPrefix(name); ok {
		if place = (position{prefix, true}); place == l.last || l.from.passed(prefix) && l.from.Whole {
			return nil
		}
		in = nil
	}
	if len(l.out.Recordings)+len(l.out.Prefixes) >= l.page.Max {
		l.more = true
		return errFull
	}
	if l.last = place; place.Whole {
		l.out.Prefixes = append(l.out.Prefixes, place.After)
		return nil
	}
	l.out.Recordings = append(l.out.Recordings, in.info())
	return nil
}

func (l *lister) commonPrefix(name string) (string, bool) {
	if l.page.Delimiter == "" {
		return "", false
	}
	rest := name[len(l.page.Prefix):]
	i := strings.Index(rest, l.page.Delimiter)
	if i < 0 {
		return "", false
	}
	return name[:len(l.page.Prefix)+i+len(l.page.Delimiter)], true
}

func (l *lister) listing(ctx context.Context) (Listing, error) {
	if !l.more {
		return l.out, nil
	}
	var err error
	l.out.Next, err = l.scope.sealToken(ctx, l.bucket.Name, l.last)
	return l.out, err
}

// start reads where a page begins.
func (s scope) start(ctx context.Context, b recording.Bucket, p Page) (position, error) {
	if p.Token == "" {
		return position{After: p.After, Whole: p.RolledUp}, nil
	}
	key, err := s.keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return position{}, err
	}
	var at position
	sealed, err := base64.RawURLEncoding.DecodeString(p.Token)
	if err != nil {
		return at, recording.ErrToken
	}
	plain, err := keytree.Open(key, keytree.LabelPage, s.tokenBind(b), sealed)
	if err != nil || json.Unmarshal(plain, &at) != nil {
		return at, recording.ErrToken
	}
	return at, nil
}

// sealToken makes a continuation token that reveals no name.
func (s scope) sealToken(ctx context.Context, b recording.Bucket, at position) (string, error) {
	plain, err := json.Marshal(at)
	if err != nil {
		return "", errors.New("encode list token") // the cause could quote the name
	}
	key, err := s.keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return "", err
	}
	sealed, err := keytree.Seal(key, keytree.LabelPage, s.tokenBind(b), plain)
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

func (s scope) tokenBind(b recording.Bucket) []byte {
	return append(append([]byte{}, s.tenant.ID[:]...), b...)
}
