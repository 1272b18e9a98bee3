package restapi

import (
	"context"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// CreateRefiling extends a recording's retention, or corrects of whom it tells.
func (s session) CreateRefiling(ctx context.Context, r CreateRefilingRequestObject) (CreateRefilingResponseObject, error) {
	what, err := refiled(*r.Body)
	if err != nil {
		return nil, err
	}
	info, err := s.gateway.RefileFor(ctx, s.caller, r.Tenant, what)
	return CreateRefiling200JSONResponse{Recording: info.Recording.String(), Refiled: info.Refiled}, err
}

// refiled reads what is to change.
func refiled(b NewRefiling) (what gateway.RefileRequest, err error) {
	if (b.RetainUntil != "") == (len(b.Subjects) > 0) {
		return what, malformed("give one of retain_until and subjects")
	}
	of, err := erasableRecording(ErasedRecording(b.Recording))
	if err != nil {
		return what, err
	}
	what.Bucket, what.Name, what.Version = of.Bucket, of.Name, of.Version
	if b.RetainUntil != "" {
		what.Until, err = expiry(b.RetainUntil)
		return what, err
	}
	text := strings.Join(b.Subjects, ",")
	if what.Subjects = recording.ParseSubjects(text); len(what.Subjects) == 0 || len(text) > recording.MaxMetadata {
		return what, malformed("the field subjects must hold one data subject or more, in 2 KB")
	}
	return what, nil
}

// expiry reads the date of a retention day.
func expiry(date string) (time.Time, error) {
	day, err := recording.ParseRetentionDay("1d/" + date)
	if err != nil {
		return time.Time{}, malformed("the field retain_until must be a date, such as 2031-12-31")
	}
	return day.Expires, nil
}
