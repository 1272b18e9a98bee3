package restapi

import (
	"cmp"
	"context"
	"errors"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// noReason is what a certificate says when nobody gave a reason.
const noReason = "none given"

// erasuresPage is how many erasures a page has, unless it is asked for others.
const erasuresPage = 100

// CreateErasure erases something for good, and shows the erasure's salt, once.
func (s session) CreateErasure(ctx context.Context, r CreateErasureRequestObject) (CreateErasureResponseObject, error) {
	what, err := erasable(*r.Body)
	if err != nil {
		return nil, err
	}
	made, err := s.gateway.EraseFor(ctx, s.caller, r.Tenant, what)
	if errors.Is(err, recording.ErrNoErasure) {
		return nil, errNothing
	}
	if err != nil {
		return nil, err
	}
	return CreateErasure202JSONResponse(shownErasure(made)), nil
}

// erasable reads what is to be erased, which has to be one thing.
func erasable(b NewErasure) (what gateway.ErasureRequest, err error) {
	what.Reason = cmp.Or(b.Reason, noReason)
	given := 0
	for _, is := range []bool{b.Recording != nil, b.Subject != "", b.Day != ""} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return what, malformed("one of the fields recording, subject and day must be given")
	case b.Recording != nil:
		what.Recording, err = erasableRecording(*b.Recording)
	case b.Day != "":
		what.Day, err = recording.ParseRetentionDay(b.Day)
	default:
		what.Subject, err = oneSubject(b.Subject)
	}
	return what, err
}

func erasableRecording(r ErasedRecording) (what gateway.Erasure, err error) {
	bucket, badBucket := recording.ParseBucket(r.Bucket)
	name, badName := recording.ParseName(r.Name)
	what = gateway.Erasure{Bucket: bucket, Name: name, All: r.Version == ""}
	if !what.All {
		what.Version, err = recording.ParseVersion(r.Version)
	}
	return what, cmp.Or(badBucket, badName, err)
}

func oneSubject(s string) (recording.Subject, error) {
	all := recording.ParseSubjects(s)
	if len(all) != 1 {
		return "", malformed("the field subject must hold one data subject")
	}
	return all[0], nil
}

// GetErasure tells how far an erasure is, with its certificate.
func (s session) GetErasure(ctx context.Context, r GetErasureRequestObject) (GetErasureResponseObject, error) {
	id, err := recording.ParseErasureID(r.Erasure)
	if err != nil {
		return nil, err
	}
	info, err := s.gateway.Erasure(ctx, s.caller, id)
	if err != nil {
		return nil, err
	}
	return GetErasure200JSONResponse(shownErasure(info)), nil
}

// ListErasures lists a tenant's erasures, without their certificates.
func (s session) ListErasures(ctx context.Context, r ListErasuresRequestObject) (ListErasuresResponseObject, error) {
	limit := cmp.Or(r.Params.Limit, erasuresPage)
	if limit < 1 || limit > gateway.MostErasures {
		return nil, malformed("limit goes from 1 to 1000")
	}
	var before recording.ErasureID
	if r.Params.Before != "" {
		var err error
		if before, err = recording.ParseErasureID(r.Params.Before); err != nil {
			return nil, err
		}
	}
	infos, last, err := s.gateway.Erasures(ctx, s.caller, r.Tenant, before, limit)
	if err != nil {
		return nil, err
	}
	list := ListErasures200JSONResponse{Erasures: make([]Erasure, 0, len(infos))}
	for _, info := range infos {
		info.Certificate = nil
		list.Erasures = append(list.Erasures, shownErasure(info))
	}
	if last != (recording.ErasureID{}) {
		list.Before = last.String()
	}
	return list, nil
}

func shownErasure(e gateway.ErasureInfo) Erasure {
	out := Erasure{
		Erasure: e.ID.String(), TenantId: e.Tenant.String(), Scope: ErasureScope(e.Scope), State: ErasureState(e.State),
		Requester: e.Who, Reason: e.Reason, AskedAt: e.AskedAt.UTC(),
		Unreadable: e.Versions, Refiled: e.Refiled, Certificate: e.Certificate,
	}
	if e.Salt != (gateway.ErasureInfo{}).Salt {
		out.Salt = e.Salt.String()
	}
	if !e.CertifiedAt.IsZero() {
		at := e.CertifiedAt.UTC()
		out.CertifiedAt = &at
	}
	return out
}
