package restapi

import (
	"context"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// CreateHold keeps something from being erased.
func (s session) CreateHold(ctx context.Context, r CreateHoldRequestObject) (CreateHoldResponseObject, error) {
	what, err := held(*r.Body)
	if err != nil {
		return nil, err
	}
	h, err := s.gateway.Hold(ctx, s.caller, r.Tenant, what)
	return CreateHold201JSONResponse(shownHold(h)), err
}

// held reads what is to be held.
func held(h NewHold) (gateway.HoldRequest, error) {
	out := gateway.HoldRequest{Reason: h.Reason}
	if (h.Recording != nil) == (h.Subject != "") {
		return out, malformed("give one of recording and subject")
	}
	var err error
	if h.Recording == nil {
		out.Subject, err = oneSubject(h.Subject)
		return out, err
	}
	if out.Bucket, err = recording.ParseBucket(h.Recording.Bucket); err != nil {
		return out, err
	}
	if out.Name, err = recording.ParseName(h.Recording.Name); err != nil {
		return out, malformed("the name must be 1 to 1024 bytes of UTF-8 without NUL")
	}
	return out, nil
}

// ListHolds lists a tenant's holds.
func (s session) ListHolds(ctx context.Context, r ListHoldsRequestObject) (ListHoldsResponseObject, error) {
	all, err := s.gateway.Holds(ctx, s.caller, r.Tenant)
	if err != nil {
		return nil, err
	}
	list := ListHolds200JSONResponse{Holds: make([]Hold, 0, len(all))}
	for _, h := range all {
		list.Holds = append(list.Holds, shownHold(h))
	}
	return list, nil
}

// ReleaseHold ends a hold.
func (s session) ReleaseHold(ctx context.Context, r ReleaseHoldRequestObject) (ReleaseHoldResponseObject, error) {
	id, err := recording.ParseHoldID(r.Hold)
	if err != nil {
		return nil, err
	}
	h, err := s.gateway.ReleaseHold(ctx, s.caller, r.Tenant, id)
	return ReleaseHold200JSONResponse(shownHold(h)), err
}

func shownHold(h gateway.HoldInfo) Hold {
	out := Hold{Hold: h.ID.String(), Subject: string(h.Subject), Reason: h.Reason, Holder: h.Who, CreatedAt: h.CreatedAt.UTC()}
	if h.Subject == "" {
		out.Recording = &HeldRecording{Bucket: string(h.Bucket), Name: string(h.Name)}
	}
	return out
}
