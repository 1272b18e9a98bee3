package recording

import (
	"strconv"
	"strings"
	"time"
)

// RetentionDay is a retention class and the day on which what is kept under it
// expires: the first whole day on which its retention has passed. The zero one is
// none.
type RetentionDay struct {
	Days    int       // of retention, 1 to MaxRetention
	Expires time.Time // midnight, UTC
}

// MaxRetention is the longest retention class, in days.
const MaxRetention = 36_500

// ParseRetentionDay reads "90d/2026-12-31".
func ParseRetentionDay(s string) (RetentionDay, error) {
	class, date, ok := strings.Cut(s, "/")
	number, unit := strings.CutSuffix(class, "d")
	days, err := strconv.Atoi(number)
	if !ok || !unit || err != nil || strconv.Itoa(days) != number || days < 1 || days > MaxRetention {
		return RetentionDay{}, ErrDay
	}
	expires, err := time.Parse(time.DateOnly, date)
	if err != nil || expires.Year() < 1970 || expires.Year() > 2148 {
		return RetentionDay{}, ErrDay
	}
	return RetentionDay{days, expires}, nil
}

// Class is the retention class, such as 90d.
func (d RetentionDay) Class() string { return strconv.Itoa(d.Days) + "d" }

// Date is the day of expiry, such as 2026-12-31.
func (d RetentionDay) Date() string { return d.Expires.Format(time.DateOnly) }

// String gives what ParseRetentionDay reads.
func (d RetentionDay) String() string { return d.Class() + "/" + d.Date() }
