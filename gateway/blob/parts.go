package blob

import (
	"io"
	"sync"
)

// PartSize is the least that S3 allows for all parts but the last of a
// multipart upload, in bytes. With 10,000 parts to an upload, a blob is at
// most 48 GiB.
// Source: Amazon S3 User Guide, "Amazon S3 multipart upload limits".
const PartSize = 5 << 20

// Parts cuts a reader of unknown length into parts, through one buffer of
// PartSize, which it borrows until Close.
type Parts struct {
	r   io.Reader
	buf *[PartSize]byte
	end bool // r has ended
}

var buffers = sync.Pool{New: func() any { return new([PartSize]byte) }}

// NewParts cuts r.
func NewParts(r io.Reader) *Parts {
	return &Parts{r: r, buf: buffers.Get().(*[PartSize]byte)}
}

// Next gives PartSize bytes of the reader, or the fewer that are left: none
// once it has ended. They are valid until the next call. An error is the
// reader's. Unlike io.ReadFull, Next keeps an end apart from a reader that
// reports io.ErrUnexpectedEOF.
func (p *Parts) Next() ([]byte, error) {
	n := 0
	for n < PartSize && !p.end {
		m, err := p.r.Read(p.buf[n:])
		n += m
		p.end = err == io.EOF
		if err != nil && !p.end {
			return nil, err
		}
	}
	return p.buf[:n], nil
}

// Close gives the buffer back. Nothing may read a part any more.
func (p *Parts) Close() { buffers.Put(p.buf) }
