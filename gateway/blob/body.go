package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Body is what a Store gives its HTTP client to send: a reader of a known
// number of bytes, which keeps the last of them back until the reader has said
// that it ends there. So a reader that fails at its very end, or has more to
// give, breaks the request off instead of completing it.
//
// It hides Seek, so that the client cannot send it twice, and Close. It may be
// read by a goroutine of the client that outlives the request: see Stop.
type Body struct {
	ended func() error // the context's Err

	mu   sync.Mutex // guards the rest
	r    io.Reader  // nil once stopped
	left int64
	err  error // why the body could not be given whole
}

// NewBody gives size bytes of r, until ctx ends. A body of no bytes is not
// worth sending, but its Read tells whether r ends at once, as it should.
func NewBody(ctx context.Context, r io.Reader, size int64) *Body {
	return &Body{ended: ctx.Err, r: r, left: size}
}

func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.r == nil {
		return 0, errStopped
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.read(p)
	if err != nil && err != io.EOF {
		b.err = err
		return 0, err
	}
	return n, err
}

var (
	errStopped = errors.New("blob: create has returned")
	errLong    = errors.New("reader gives more than its declared size")
)

// read reads on, and at the last byte owed asks the reader for its end.
func (b *Body) read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if cause := b.ended(); cause != nil {
		return 0, cause
	}
	switch {
	case b.left > 0 && err == io.EOF:
		return 0, fmt.Errorf("reader ends %d bytes early: %w", b.left, io.ErrUnexpectedEOF)
	case b.left > 0 || (err != nil && err != io.EOF):
		return n, err
	case err == nil:
		err = b.end()
	}
	return n, err
}

// end reports io.EOF if the reader ends here.
func (b *Body) end() error {
	n, err := io.ReadFull(b.r, make([]byte, 1))
	if cause := b.ended(); cause != nil {
		return cause
	}
	if n > 0 {
		return errLong
	}
	return err
}

// Stop waits for a Read under way and makes every later one fail, so that the
// reader is the caller's again. It reports whether the client has got all of
// the body, and why the body could not be given.
func (b *Body) Stop() (whole bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r = nil
	return b.left == 0 && b.err == nil, b.err
}
