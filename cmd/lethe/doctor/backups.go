package doctor

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/finding"
)

// What is told of backups is judged by these.
const (
	seldom = 25 * time.Hour // a day, and an hour for the copying
	long   = 90 * 24 * time.Hour
)

// backups judges what was told of them; they cannot be seen from here.
func (s Subject) backups(context.Context) (l finding.List) {
	c := s.Config
	declared(&l, "backups.catalog", c.Backups.Catalog, "1d/30d", "without the database nothing is found")
	declared(&l, "backups.store", c.Backups.Store, "1d/30d", "without the bucket nothing is left")
	if c.Vault.Address == "" {
		l.Advise("backups.keys", "a copy of "+filepath.Join(c.Data, "keys")+" that was made before an erasure undoes it",
			"leave that directory out of every backup of the others; if you must have a copy, keep one, elsewhere, and replace it")
		return l
	}
	declared(&l, "backups.vault", c.Backups.Vault, "6h/30d", "without Vault's keys nothing opens again")
	retention(&l, c.Backups.Vault)
	return l
}

func declared(l *finding.List, key string, b config.Backup, example, why string) {
	switch {
	case !b.Told:
		l.Warn(key, "whether and how it is backed up is not told: "+why, "write how often, and how long a copy is kept, as "+key+": "+example+", or none")
	case b.Every == 0:
		l.Warn(key, "it is not backed up: "+why, "back it up, and write "+key+": "+example)
	case b.Every > seldom:
		l.Advise(key, "it is backed up every "+span(b.Every)+" only: "+why, "do so each day at least")
	case b.Kept < b.Every:
		l.Warn(key, fmt.Sprintf("a copy is gone after %s, before the next is made after %s", span(b.Kept), span(b.Every)), "keep each until the next was tried")
	default:
		l.OK(key, "it is backed up every "+span(b.Every)+", and each copy is kept "+span(b.Kept))
	}
}

// retention says what Vault's snapshots mean for erasure.
func retention(l *finding.List, b config.Backup) {
	switch {
	case !b.Told:
		l.Warn("backups.retention", "how long Vault's snapshots are kept is not told, so no certificate can say when an erasure is complete", "write backups.vault")
	case b.Kept > long:
		l.Advise("backups.retention", "an erasure is complete "+span(b.Kept)+" after it was made, when the last snapshot of Vault from before it is gone", "keep snapshots for a shorter time; the older ones help nobody")
	default:
		l.OK("backups.retention", "an erasure is complete "+span(b.Kept)+" after it was made, when the last snapshot of Vault from before it is gone")
	}
}

// span is a duration in days, if it is whole ones.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.Itoa(int(d/day)) + " d"
	}
	return d.String()
}
