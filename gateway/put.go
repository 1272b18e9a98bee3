package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// Put stores a recording. When it returns nil, the recording is durable; when
// it returns an error, nothing is visible under the name that was not before,
// unless the error is recording.ErrUnavailable: then the same put may be
// repeated, and finds its own content.
func (g *Gateway) Put(ctx context.Context, c Caller, u Upload) (recording.Info, error) {
	grant, err := g.permit(ctx, c, policy.Put, policy.Target{Tenant: c.Tenant, Bucket: u.Bucket, Name: u.Name})
	if err != nil {
		return recording.Info{}, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return recording.Info{}, err
	}
	defer s.end()
	b, taken, err := g.find(ctx, s, u.Bucket, u.Name)
	if err != nil {
		return recording.Info{}, g.noBucket(ctx, s, grant.event, err)
	}
	grant.event.Bucket = b.id
	if err := g.admit(ctx, s, b, u.Sent, grant.event); err != nil {
		return recording.Info{}, err
	}
	if u.OnlyNew {
		b.Overwrite = OverwriteNever
	}
	if taken != nil && b.Overwrite == OverwriteNever {
		return g.putAgain(ctx, s, b, *taken, u, grant.event)
	}
	var p *put
	err = g.inStage(ctx, s, func(s scope) (err error) {
		p, err = g.intend(ctx, s, b, taken, c, u, grant.event)
		return err
	})
	if err != nil {
		return recording.Info{}, err
	}
	s.end() // a body may take hours, and a root is not kept for that long
	info, err := g.fulfil(ctx, p)
	if errors.Is(err, recording.ErrExists) { // another put of this name was first
		return g.lostRace(ctx, p.draft, func(in unsealed) bool {
			return u.Body.Digests()[sha256Digest] == in.Info.Digests[sha256Digest]
		})
	}
	return info, err
}

// admit refuses what the bucket would not take, before any byte is read.
func (g *Gateway) admit(ctx context.Context, s scope, b bucket, sent Sent, e audit.Event) error {
	if sent.Size > recording.MaxSize {
		return g.refuse(ctx, s, e, "too-large", recording.ErrTooLarge)
	}
	if !sent.Class.AtLeast(b.MinClass) {
		return g.refuse(ctx, s, e, "class-too-weak", recording.ErrClassTooWeak)
	}
	return nil
}

// put is a whole upload under way.
type put struct {
	*draft
	Sent
	blob string
}

// intend commits the intent with the event that permits it. Killed after this,
// the intent stays open and sweep aborts it.
func (g *Gateway) intend(ctx context.Context, s scope, b bucket, taken *catalog.Version, c Caller, u Upload, e audit.Event) (*put, error) {
	d, err := g.draft(ctx, s, b, taken, c, u.Description, e)
	if err != nil {
		return nil, err
	}
	d.onlyNew = u.OnlyNew
	p := &put{draft: d, Sent: u.Sent, blob: blobKey(d.id.Tenant, place())}
	// gofail: var putBegin string
	// p.dek.Clear()
	// return nil, failpoint(putBegin)
	record, err := s.seal(ctx, p.event)
	if err == nil {
		err = p.onOpenDay(ctx, s, func() error { return g.catalog.Begin(ctx, p.intent(p.blob), []audit.Record{record}) })
	}
	if err != nil {
		p.dek.Clear()
		return nil, unavailable(err)
	}
	return p, nil
}

// fulfil streams the body into its blob and makes the recording exist. What
// fails before that is given up.
func (g *Gateway) fulfil(ctx context.Context, p *put) (recording.Info, error) {
	defer p.dek.Clear()
	ctx, rest := g.stayAlive(ctx, func(ctx context.Context) error {
		return g.catalog.Alive(ctx, p.id.Tenant, p.id.Version)
	})
	defer rest()
	// gofail: var putBegun string
	// return recording.Info{}, failpoint(putBegun)
	b := sealing{draft: p.draft, sent: p.Sent, blob: p.blob}
	layout, err := g.store(ctx, &b)
	if err == nil {
		var sealed []byte
		if sealed, err = layout.Seal(p.dek); err == nil {
			err = g.create(ctx, p.draft, p.content(b.end, layout.StoredSize(), sealed), nil)
		}
	}
	if errors.Is(err, catalog.ErrUnknown) { // it may exist: sweep will know
		return recording.Info{}, unavailable(err)
	}
	if err != nil {
		err = swept(ctx, err)
		g.giveUp(ctx, p, err)
		return recording.Info{}, unavailable(err)
	}
	// gofail: var putCreated string
	// return recording.Info{}, failpoint(putCreated)
	return info(p.id, p.bucket, p.facts, b.end), nil
}

// sealing is a body on its way into one blob.
type sealing struct {
	*draft
	sent Sent
	part uint32 // 0 if the body is the whole recording
	blob string
	end  recording.EndFacts // complete once the blob is; its ETag is the caller's
}

// store seals a body straight into the blob store.
func (g *Gateway) store(ctx context.Context, b *sealing) (*envelope.Layout, error) {
	body, digests := b.reader()
	config := envelope.Config{
		DEK:    b.dek,
		Prefix: b.prefix,
		Source: body,
		End: func() ([]byte, error) {
			b.end.Size, b.end.Digests, b.end.Class = b.sent.Size, digests(), b.sent.Class
			b.end.EndedAt, b.end.OnlyNew = b.ended(), b.onlyNew
			return json.Marshal(b.end)
		},
	}
	config.Prefix.Part = b.part
	return g.seal(ctx, config, b.blob, b.sent.Size)
}

// errAllSent: the store was sent the whole of a blob and did not say that it is
// there. So it may come to be, after it was deleted too.
var errAllSent = errors.New("blob was sent to its end")

// seal streams an envelope of size source bytes into the blob store.
func (g *Gateway) seal(ctx context.Context, config envelope.Config, blob string, size int64) (_ *envelope.Layout, err error) {
	ctx, end := g.step(ctx, "seal stream")
	defer func() { end(err) }()
	sealer, err := envelope.Seal(config)
	if err != nil {
		return nil, err
	}
	defer sealer.Close()
	if err := g.blobs.Create(ctx, blob, sealer, config.StoredSize(size)); err != nil {
		if sealer.Layout() != nil {
			err = fmt.Errorf("%w: %w", errAllSent, err)
		}
		return nil, fmt.Errorf("create blob of %v: %w", config.Prefix.Identity.Version, err)
	}
	return sealer.Layout(), nil
}

// reader gives the body, and what was computed over it once it has ended.
func (b *sealing) reader() (io.Reader, func() recording.Digests) {
	if b.bucket.ETag != ETagMD5 {
		return b.sent.Body, b.sent.Body.Digests
	}
	return withMD5(b.sent.Body)
}

// How long the work after a failed upload may take, which its client waits for
// if it is still there. A store that has just failed may have stopped.
const (
	giveUpTimeout = 10 * time.Second
	giveUpSooner  = 2 * time.Second
)

// givingUp is the time to give up in what failed for a reason.
func givingUp(ctx context.Context, why error) (context.Context, context.CancelFunc) {
	limit := giveUpTimeout
	if errors.Is(why, blob.ErrUnavailable) {
		limit = giveUpSooner
	}
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// giveUp aborts the intent of what failed for a reason, and only then deletes the
// blob: an intent that is committed after all keeps its blob. What cannot be done
// now is left to sweep.
func (g *Gateway) giveUp(ctx context.Context, p *put, why error) {
	ctx, cancel := givingUp(ctx, why)
	defer cancel()
	if err := g.catalog.Abort(ctx, p.id.Tenant, p.id.Version); err != nil {
		g.log.Warn("intent left open", "version", p.id.Version.String(), "error", err)
		return
	}
	// gofail: var putAborted string
	// g.log.Warn("failpoint", "error", failpoint(putAborted))
	// return
	residue := catalog.Residue{Blob: p.blob, Tenant: p.id.Tenant, Version: p.id.Version, Certain: !errors.Is(why, errAllSent)}
	if err := g.remove(ctx, residue); err != nil {
		g.log.Warn("aborted blob left", "version", p.id.Version.String(), "error", err)
	}
}
