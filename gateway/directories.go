package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// look gives what lies directly in a directory now, whoever put or erased it.
// The catalog is asked which versions there are, and only those that were not
// seen at the last look are read and unsealed; what is there no more is
// forgotten.
func (l *lister) look(ctx context.Context, dir string) (*view, error) {
	if err := l.renew(ctx); err != nil {
		return nil, err
	}
	index := l.scope.dirIndex(l.bucket.Name, dir)
	was := l.shelf.view(index)
	recordings, fresh, err := l.recordings(ctx, dir, was)
	if err != nil {
		return nil, err
	}
	names, read, err := l.names(ctx, dir, was)
	if err == nil {
		err = l.gateway.upToDate(ctx, l.scope)
	}
	if err != nil {
		return nil, err
	}
	if fresh+read == 0 && len(recordings) == len(was.recordings) && len(names) == len(was.names) {
		return was, nil
	}
	is := newView(recordings, names)
	l.shelf.keep(index, was, is)
	return is, nil
}

// recordings gives those directly in a directory, and how many of them were
// not in was.
func (l *lister) recordings(ctx context.Context, dir string, was *view) ([]listed, int, error) {
	var indexes []catalog.Index
	for _, by := range l.scope.generations() {
		indexes = append(indexes, by.dirIndex(l.bucket.Name, dir))
	}
	ids, err := l.gateway.catalog.VersionsIn(ctx, l.scope.tenant.ID, indexes...)
	if err != nil {
		return nil, 0, unavailable(err)
	}
	stay, missing := was.compare(ids)
	if len(missing) == 0 {
		return stay, 0, nil
	}
	fresh, err := l.unsealAll(ctx, dir, missing)
	return slices.Concat(stay, fresh), len(fresh), err
}

// Rows are read and unsealed in the hands of as many as there are processors,
// but no more than unsealers, who would take all connections to the catalog;
// each holds no more than unsealRows at a time.
const (
	unsealers  = 4
	unsealRows = 500
)

// contained is for a goroutine that serves a request.
func contained(do func() error) func() error {
	return func() error { return fault.Contain(do) }
}

// unsealAll reads and opens versions. One that was erased meanwhile is left out.
func (l *lister) unsealAll(ctx context.Context, dir string, ids []recording.Version) ([]listed, error) {
	hands := min(runtime.GOMAXPROCS(0), unsealers)
	share := (len(ids) + hands - 1) / hands
	out := make([][]listed, hands)
	group, ctx := errgroup.WithContext(ctx)
	for i, run := range slices.Collect(slices.Chunk(ids, share)) {
		group.Go(contained(func() (err error) { // waited for below
			out[i], err = l.unsealRun(ctx, dir, run)
			return err
		}))
	}
	err := group.Wait()
	return slices.Concat(out...), err
}

func (l *lister) unsealRun(ctx context.Context, dir string, ids []recording.Version) ([]listed, error) {
	s := l.scope
	s.keys = s.keys.Follow()
	defer s.keys.Clear()
	out := make([]listed, 0, len(ids))
	for some := range slices.Chunk(ids, unsealRows) {
		rows, err := l.gateway.catalog.Versions(ctx, s.tenant.ID, some)
		if err != nil {
			return nil, unavailable(err)
		}
		slices.SortFunc(rows, func(a, b catalog.Version) int { return cmp.Compare(a.Slots.Recording, b.Slots.Recording) })
		for _, v := range rows {
			in, err := l.gateway.unsealMoved(ctx, s, l.bucket, v)
			if errors.Is(err, recording.ErrErased) { // and its row does not say so yet
				continue
			}
			if err != nil {
				return nil, err
			}
			in.dek.Clear()
			if directory(string(in.Name)) != dir {
				return nil, errMisplaced
			}
			out = append(out, listedOf(in.Info))
		}
	}
	return out, nil
}

// errMisplaced: a row was moved to a directory that is not its own.
var errMisplaced = fmt.Errorf("%w: a row lies in another directory", recording.ErrIntegrity)

// names gives those of the sub-directories in use, by index, and how many of
// them are not in was. A name is read once: it is what its index says. While rows move
// a directory is in use by either of its indexes, or both.
func (l *lister) names(ctx context.Context, dir string, was *view) (names map[catalog.Index]string, read int, err error) {
	names = map[catalog.Index]string{}
	for _, by := range l.scope.generations() {
		inside, err := l.gateway.catalog.Inside(ctx, l.scope.tenant.ID, by.dirIndex(l.bucket.Name, dir))
		if err != nil {
			return nil, 0, unavailable(err)
		}
		var unread []catalog.Index
		for _, sub := range inside {
			name, known := was.names[sub.Index]
			if !known {
				unread = append(unread, sub.Index)
				continue
			}
			used, err := l.used(ctx, sub)
			if err != nil {
				return nil, 0, err
			}
			if !used {
				l.shelf.forget(l.scope.dirIndex(l.bucket.Name, name)) // as it is remembered, if this index is the older
				continue
			}
			names[sub.Index] = name
		}
		known := len(names)
		if err := l.readNames(ctx, by, dir, unread, names); err != nil {
			return nil, 0, err
		}
		read += len(names) - known
	}
	return names, read, nil
}

// used reports whether there is a recording anywhere in a directory. What is
// remembered of one where there is none goes.
func (l *lister) used(ctx context.Context, sub catalog.Subdirectory) (bool, error) {
	if sub.Filled {
		return true, nil
	}
	l.shelf.emptied(sub.Index)
	inside, err := l.gateway.catalog.Inside(ctx, l.scope.tenant.ID, sub.Index)
	if err != nil {
		return false, unavailable(err)
	}
	if slices.ContainsFunc(inside, func(s catalog.Subdirectory) bool { return s.Filled }) {
		return true, nil
	}
	for _, deeper := range inside {
		if used, err := l.used(ctx, deeper); used || err != nil {
			return used, err
		}
	}
	l.shelf.forget(sub.Index)
	return false, nil
}

// readNames adds the names of sub-directories that are in use, each read from
// a recording below it.
func (l *lister) readNames(ctx context.Context, by scope, dir string, unread []catalog.Index, names map[catalog.Index]string) error {
	below := make([]string, len(unread))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(unsealers)
	for i, sub := range unread {
		group.Go(contained(func() (err error) { // waited for below
			below[i], err = l.anyBelow(gctx, sub)
			return err
		}))
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, name := range below {
		if name == "" { // in use no more
			continue
		}
		rest, ok := strings.CutPrefix(name, dir)
		end := len(name) - len(rest) + strings.IndexByte(rest, '/') + 1
		if !ok || by.dirIndex(l.bucket.Name, name[:end]) != unread[i] {
			return errMisplaced
		}
		names[unread[i]] = strings.Clone(name[:end])
	}
	return nil
}

// anyBelow gives the name of some recording in a directory or below it, which
// tells the directory's own; "" if there is none.
func (l *lister) anyBelow(ctx context.Context, dir catalog.Index) (string, error) {
	if name, err := l.anyIn(ctx, dir); name != "" || err != nil {
		return name, err
	}
	subs, err := l.gateway.catalog.Subdirectories(ctx, l.scope.tenant.ID, dir)
	if err != nil {
		return "", unavailable(err)
	}
	for _, sub := range subs {
		if name, err := l.anyBelow(ctx, sub); name != "" || err != nil {
			return name, err
		}
	}
	return "", nil
}

// anyIn is anyBelow for what lies directly in the directory. Mostly the first will do.
func (l *lister) anyIn(ctx context.Context, dir catalog.Index) (string, error) {
	v, err := l.gateway.catalog.AnyIn(ctx, l.scope.tenant.ID, dir)
	if err != nil || v == nil {
		return "", unavailable(err)
	}
	if name, err := l.nameOf(ctx, *v); name != "" || err != nil {
		return name, err
	}
	ids, err := l.gateway.catalog.VersionsIn(ctx, l.scope.tenant.ID, dir)
	if err != nil {
		return "", unavailable(err)
	}
	for some := range slices.Chunk(ids, unsealRows) {
		rows, err := l.gateway.catalog.Versions(ctx, l.scope.tenant.ID, some)
		if err != nil {
			return "", unavailable(err)
		}
		for _, v := range rows {
			if name, err := l.nameOf(ctx, v); name != "" || err != nil {
				return name, err
			}
		}
	}
	return "", nil
}

// nameOf gives the name of a version, "" if it is erased and its row does not say so yet.
func (l *lister) nameOf(ctx context.Context, v catalog.Version) (string, error) {
	in, err := l.gateway.unsealMoved(ctx, l.scope, l.bucket, v)
	in.dek.Clear()
	if errors.Is(err, recording.ErrErased) {
		return "", nil
	}
	return string(in.Name), err
}
