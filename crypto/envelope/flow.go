package envelope

import (
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
)

// buffers are the two segments that a stream keeps in memory, one on each side
// of the cipher, so that neither direction has to move bytes within one.
type buffers struct{ plain, sealed [segmentSize]byte }

var pool = sync.Pool{New: func() any { return new(buffers) }}

// flow gives out as a stream of bytes what next makes a segment at a time.
//
// It is for one reader, but Close may come at any moment: HTTP transports close
// a body that they are still reading, and two streams must never share buffers.
type flow struct {
	closed atomic.Bool
	mu     sync.Mutex                     // guards what follows
	next   func(*buffers) ([]byte, error) // valid until the next call; io.EOF after the last
	buf    *buffers                       // nil once err is set
	chunk  []byte                         // of what next gave, not given out yet
	given  int64                          // bytes given out
	err    error                          // what ended the flow
}

func (f *flow) begin(next func(*buffers) ([]byte, error)) {
	f.next, f.buf = next, pool.Get().(*buffers)
}

// fill waits until there is a chunk, or the flow has ended. Needs mu.
func (f *flow) fill() error {
	if f.closed.Load() {
		f.stop(fs.ErrClosed)
	}
	for len(f.chunk) == 0 && f.err == nil {
		chunk, err := f.next(f.buf)
		if err != nil {
			f.stop(err)
			break
		}
		f.chunk = chunk
	}
	return f.err
}

// stop gives the buffers back, without the plaintext. Needs mu.
func (f *flow) stop(err error) {
	if f.err != nil {
		return
	}
	clear(f.buf.plain[:])
	pool.Put(f.buf)
	f.buf, f.chunk, f.err = nil, nil, err
}

// take counts n bytes of the chunk as given out. Needs mu.
func (f *flow) take(n int) {
	f.chunk = f.chunk[n:]
	f.given += int64(n)
}

// Read implements io.Reader. An error is final.
func (f *flow) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	err := f.fill()
	if err != nil {
		return 0, err
	}
	n := copy(p, f.chunk)
	f.take(n)
	return n, nil
}

// WriteTo implements io.WriterTo: w is given whole segments, and no other
// buffer is needed.
func (f *flow) WriteTo(w io.Writer) (total int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.fill() == nil {
		n, err := w.Write(f.chunk)
		f.take(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	if f.err == io.EOF {
		return total, nil
	}
	return total, f.err
}

// Close gives up what has not been read; it closes nothing else and never
// waits. The next Read reports fs.ErrClosed; one that runs ends as it would.
func (f *flow) Close() error {
	f.closed.Store(true)
	if f.mu.TryLock() { // else the next Read stops, or the collector has the buffers
		f.stop(fs.ErrClosed)
		f.mu.Unlock()
	}
	return nil
}

// readFull fills b from r. ErrTruncated: r ends before that. An end that r explains
// itself, as that of a broken connection, is r's own error.
func readFull(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTruncated
	}
	return err
}

// notEOF gives err, unless a careless reader of it could take it for success.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
