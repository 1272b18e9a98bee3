package restapi

import (
	"context"

	"github.com/lethe-vault/lethe/gateway"
)

// Sweep deletes what was left behind, or counts it.
func (s session) Sweep(ctx context.Context, r SweepRequestObject) (SweepResponseObject, error) {
	done, err := s.gateway.Sweep(ctx, s.caller, r.Body.DryRun)
	if err != nil {
		return nil, err
	}
	out := Sweep200JSONResponse{
		DryRun: r.Body.DryRun, Uploads: swept(done.Uploads), Puts: swept(done.Puts), Parts: swept(done.Parts),
		Blobs: swept(done.Blobs), Buckets: swept(done.Buckets),
		Waiting: done.Waiting, Held: done.Held, Restored: done.Restored,
	}
	if o := done.Orphans; o != nil {
		out.Orphans = &Orphans{Seen: o.Seen, Recordings: o.Recordings, Bytes: o.Bytes, Tenants: o.Tenants}
	}
	return out, nil
}

func swept(s gateway.Swept) Swept {
	return Swept{Found: s.Found, Done: s.Done, Failed: s.Failed, Locked: s.Locked}
}
