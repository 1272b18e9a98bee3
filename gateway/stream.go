package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// piece is a blob that holds some of a recording's bytes: all of them, or a
// part.
type piece struct {
	blob   string
	layout *envelope.Layout
}

// locate finds the blobs of a recording: its own, or those on its list.
func (g *Gateway) locate(ctx context.Context, in *unsealed, v catalog.Version) error {
	if v.Parts == 0 {
		in.pieces = []piece{{v.Blob, in.layout}}
		return nil
	}
	sealed, err := g.catalog.PartList(ctx, in.id.Tenant, in.id.Version)
	if errors.Is(err, recording.ErrNotFound) {
		return g.gone(ctx, in.id.Tenant, in.id.Version, "its list of parts is gone")
	}
	if err != nil {
		return unavailable(err)
	}
	list, err := envelope.OpenParts(in.dek, in.id, sealed)
	if err != nil {
		return damaged(in.id, err)
	}
	if sum := sha256.Sum256(list); hex.EncodeToString(sum[:]) != in.end.PartList {
		return damaged(in.id, errors.New("another list of parts"))
	}
	parts, err := envelope.ParseParts(in.id, list)
	if err != nil {
		return damaged(in.id, err)
	}
	total := int64(0)
	for _, p := range parts {
		in.pieces = append(in.pieces, piece{blobKey(in.id.Tenant, p.Blob), p.Layout})
		in.PartSizes = append(in.PartSizes, p.Layout.SourceSize())
		total += p.Layout.SourceSize()
	}
	if total != in.end.Size || len(parts) != in.end.Parts {
		return damaged(in.id, errors.New("list of parts contradicts the end facts"))
	}
	return nil
}

// slice is a range of one piece.
type slice struct {
	piece
	off, n int64 // n is above 0
}

// cut gives the slices of pieces that are the n bytes from off.
func cut(pieces []piece, off, n int64) (out []slice) {
	begin := int64(0) // of the piece
	for _, p := range pieces {
		size := p.layout.SourceSize()
		from, to := max(off-begin, 0), min(off+n-begin, size)
		if from < to {
			out = append(out, slice{p, from, to - from})
		}
		begin += size
	}
	return out
}

// stream is a range on its way to the caller, a slice at a time. It notes what
// it hands over. It is for one reader.
type stream struct {
	ctx       context.Context // of the request that the stream is
	recording *Recording
	dek       keytree.Key // a copy: the recording may be closed before
	off       int64       // of what is handed over next
	rest      []slice
	tenant    catalog.Tenant // in the epoch in which it was last seen
	seen      time.Time      // when the recording was last known not to be erased
	asked     time.Time      // when the stream last asked whether to go on
	drops     uint64         // of keys, before it asked
	reader    *envelope.Reader
	stored    io.ReadCloser
	closed    sync.Once
	broken    error       // why the last read ended, io.EOF if in order
	ended     func(error) // tells the observer
}

// next opens the next slice, in place of the one before.
func (s *stream) next() (err error) {
	defer func() { s.broken = err }()
	s.drop()
	r, part := s.recording, s.rest[0]
	span, err := envelope.OpenSpan(s.dek, part.layout, part.off, part.n)
	if err != nil {
		return fmt.Errorf("%w: %w", recording.ErrIntegrity, err)
	}
	stored, err := r.gateway.blobs.Open(s.ctx, part.blob, span.Offset, span.Length)
	if errors.Is(err, blob.ErrNotFound) {
		return r.gateway.gone(s.ctx, r.session.tenant.ID, r.Info.Version, "its blob is gone")
	}
	if err != nil {
		return unavailable(err)
	}
	s.rest, s.stored = s.rest[1:], stored
	s.reader = span.Reader(stored, s.goOn)
	return nil
}

// askEvery is how long a running stream goes on without asking, in time in which
// the machine is awake: short beside every bound that is promised, and long
// beside a segment, for which looking the key up costs half of what opening does.
const askEvery = 20 * time.Millisecond

// goOn is called at every segment of a running stream, and asks again once
// askEvery has passed or this process has dropped a key: the tenant must still
// be active, the recording not erased when it was last seen, and the root leased
// or leased anew.
func (s *stream) goOn() error {
	r := s.recording
	now, drops := time.Now(), r.gateway.leases.Drops()
	if drops == s.drops && now.Sub(s.asked) < askEvery {
		return nil
	}
	if err := r.gateway.states.check(r.session.tenant.ID, r.asked); err != nil {
		return err
	}
	if err := r.gateway.lookAgain(s.ctx, r, &s.seen); err != nil {
		return err
	}
	keys, err := r.gateway.keys(s.ctx, &s.tenant)
	if err != nil {
		return err
	}
	keys.Clear()
	s.asked, s.drops = now, drops
	return nil
}

// lookAgain ends a stream of what was erased since it began. It asks the
// catalog every pollEvery, for as long as the stream runs; without an answer for
// stateAge it ends the stream too.
func (g *Gateway) lookAgain(ctx context.Context, r *Recording, seen *time.Time) error {
	age := time.Since(*seen)
	if age < pollEvery {
		return nil
	}
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	v, err := g.catalog.Version(ctx, r.session.tenant.ID, r.Info.Version)
	switch {
	case err == nil && v.State == catalog.Erased:
		return recording.ErrErased
	case err == nil:
		*seen = asked
	case age > stateAge:
		return fmt.Errorf("%w: recording was seen %v ago", recording.ErrUnavailable, age.Round(time.Second))
	}
	return nil
}

// drop ends the slice in hand.
func (s *stream) drop() (err error) {
	if s.reader != nil {
		s.reader.Close()
		err = s.stored.Close()
		s.reader, s.stored = nil, nil
	}
	return err
}

func (s *stream) Read(p []byte) (int, error) {
	if s.reader == nil {
		return 0, fs.ErrClosed
	}
	n, err := s.reader.Read(p)
	s.handed(int64(n))
	if err == io.EOF && len(s.rest) > 0 {
		return n, s.next()
	}
	return n, s.explain(err)
}

// WriteTo hands whole verified segments to w.
func (s *stream) WriteTo(w io.Writer) (total int64, err error) {
	for s.reader != nil {
		n, err := s.reader.WriteTo(noting{w, s})
		total += n
		if err != nil || len(s.rest) == 0 {
			return total, s.explain(err)
		}
		if err := s.next(); err != nil {
			return total, err
		}
	}
	return total, fs.ErrClosed
}

type noting struct {
	io.Writer
	stream *stream
}

func (w noting) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.stream.handed(int64(n))
	return n, err
}

func (s *stream) handed(n int64) {
	s.recording.session.served(s.off, n)
	s.off += n
}

// explain says whether a broken stream is the store's fault or an attack.
func (s *stream) explain(err error) error {
	s.broken = err
	for _, attack := range []error{envelope.ErrAuth, envelope.ErrTruncated, envelope.ErrFormat} {
		if errors.Is(err, attack) {
			return fmt.Errorf("%w: version %v: %w", recording.ErrIntegrity, s.recording.Info.Version, err)
		}
	}
	return unavailable(err)
}

// Close ends the stream.
func (s *stream) Close() (err error) {
	s.closed.Do(func() {
		s.recording.session.end()
		s.ended(s.broken)
		s.dek.Clear()
		err = s.drop()
	})
	return err
}
