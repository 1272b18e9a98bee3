package keytree

import (
	"time"
)

// Slots of the system tree are kind<<32 | number.
const (
	systemSettings uint64 = iota + 1
	systemCredentials
	systemIndex
	systemAudit
)

// SettingsSlot is the key of a tenant's journal, buckets and list tokens.
func SettingsSlot() uint64 { return systemSettings << 32 }

// CredentialsSlot is the key of a tenant's S3 secrets.
func CredentialsSlot() uint64 { return systemCredentials << 32 }

// IndexSlot is the key of one generation of blind indexes, counted from 1.
func IndexSlot(generation uint32) uint64 { return systemIndex<<32 | uint64(generation) }

// AuditSlot is the key of the personal part of audit events of t's month (UTC).
func AuditSlot(t time.Time) uint64 {
	t = t.UTC()
	return systemAudit<<32 | uint64(t.Year()*12+int(t.Month())-1)
}

const secondsPerDay = 24 * 60 * 60

// MaxRetentionDays bounds a retention class: 2^16 days from 1970 end in 2149.
const MaxRetentionDays = 36_500

// DaySlot is the slot of the retention day on which a recording made at
// created expires under a class of so many days: class<<16 | expiry day, days
// counted from 1970-01-01 UTC. The expiry day is the first whole day on which
// the full retention has passed. Class 0 keeps until erased, in slot 0.
func DaySlot(days int, created time.Time) uint64 {
	if days == 0 {
		return 0
	}
	expiry := created.Unix()/secondsPerDay + int64(days) + 1
	return uint64(days)<<16 | uint64(expiry)
}

// LaterDay is the slot of the first day of the same class that expires after the day
// of a slot, and not before the date of at.
func LaterDay(slot uint64, at time.Time) uint64 {
	return max(slot+1, slot&^0xffff|uint64(at.Unix()/secondsPerDay))
}

// ExpiryOf is the class of a day's slot, in days, and the date on which it expires.
func ExpiryOf(slot uint64) (days int, expires time.Time) {
	return int(slot >> 16), time.Unix(int64(slot&0xffff)*secondsPerDay, 0).UTC()
}

// ExpirySlot is the slot of a retention day by the date on which it expires. A class
// is 1 to MaxRetentionDays, and a date is from 1970 to 2149.
func ExpirySlot(days int, expires time.Time) uint64 {
	return uint64(days)<<16 | uint64(expires.Unix()/secondsPerDay)
}
