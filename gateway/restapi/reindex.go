package restapi

import (
	"context"
	"time"

	"github.com/lethe-vault/lethe/gateway"
)

// Reindex has the key be forgotten by which indexes confirm what was erased.
func (s session) Reindex(ctx context.Context, r ReindexRequestObject) (ReindexResponseObject, error) {
	info, err := s.gateway.Reindex(ctx, s.caller, r.Tenant)
	return Reindex202JSONResponse(shownReindexing(info)), err
}

// GetReindexing tells how far that is.
func (s session) GetReindexing(ctx context.Context, r GetReindexingRequestObject) (GetReindexingResponseObject, error) {
	info, err := s.gateway.Reindexed(ctx, s.caller, r.Tenant)
	return GetReindexing200JSONResponse(shownReindexing(info)), err
}

func shownReindexing(i gateway.ReindexInfo) Reindexing {
	return Reindexing{
		State: ReindexState(i.State), Moved: i.Moved, Damaged: i.Damaged, Linkable: i.Linkable,
		AnnouncedAt: shownTime(i.AnnouncedAt), MovingAt: shownTime(i.MovingAt), MovedAt: shownTime(i.MovedAt), ForgottenAt: shownTime(i.ForgottenAt),
	}
}

// shownTime is absent for a time that has not come.
func shownTime(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}
