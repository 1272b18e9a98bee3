package envelope

import (
	"bytes"
	"fmt"
	"io"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// Unguarded is the check of a reader whose access cannot be withdrawn.
func Unguarded() error { return nil }

// section is a stretch of a container: the bytes [from, to), which lie in the
// segments [first, end).
type section struct {
	floe       floe
	bodyAt     int64 // where in the blob the segments begin
	total      int64 // length of the container
	from, to   int64
	first, end int64
}

// at gives the section [from, to) of the same container.
func (s section) at(from, to int64) section {
	s.from, s.to = from, to
	s.first = from / suite.payload()
	s.end = s.first
	if from < to {
		s.end = suite.segments(to)
	}
	return s
}

// offset is where in the blob segment i begins, or where the last one ends.
func (s *section) offset(i int64) int64 {
	if i == suite.segments(s.total) {
		return s.bodyAt + suite.sealedSize(s.total)
	}
	return s.bodyAt + i*segmentSize
}

// read gives the container's bytes from `from` to its end.
func (s section) read(blob io.ReaderAt, from int64) ([]byte, error) {
	s = s.at(from, s.total)
	off := s.offset(s.first)
	r := newReader(s, io.NewSectionReader(blob, off, s.offset(s.end)-off), Unguarded)
	defer r.Close()
	b := make([]byte, s.to-s.from)
	_, err := io.ReadFull(r, b)
	return b, err
}

// Span is a range of a recording's source, and the range of its stored blob
// that it takes to read it. It may be read more than once.
type Span struct {
	Offset int64 // from the first byte of the blob
	Length int64 // 0 for an empty span, which needs no read of the store
	section
}

// OpenSpan finds the n source bytes from off in the blob that l describes.
// ErrNoKey; ErrRange unless the span lies within the source; ErrAuth if l is
// not of a blob under this key.
func OpenSpan(dek keytree.Key, l *Layout, off, n int64) (*Span, error) {
	if off < 0 || n < 0 || off > l.sourceSize || n > l.sourceSize-off {
		return nil, fmt.Errorf("%d bytes from %d of %d: %w", n, off, l.sourceSize, ErrRange)
	}
	f, err := l.openFLOE(dek)
	if err != nil {
		return nil, err
	}
	from := l.locate(off)
	s := section{floe: f, bodyAt: l.bodyAt(), total: l.size()}.at(from, from+n)
	at := s.offset(s.first)
	return &Span{Offset: at, Length: s.offset(s.end) - at, section: s}, nil
}

// Reader decrypts the span from r, which gives the Length bytes of the blob
// from Offset; more are not read. check is called for every segment, after it
// has been read from r and before any of it is given out: if it fails, so does
// the reader, with the same error.
//
// The reader gives exactly the span's bytes. ErrAuth, ErrTruncated or r's own
// error come after whole verified segments and in place of the next.
func (s *Span) Reader(r io.Reader, check func() error) *Reader {
	return newReader(s.section, r, check)
}

// Open reads the whole source from the whole blob: it verifies that the blob
// begins with the prefix and header that l expects, every segment to the last,
// and that nothing follows it. check is as for Span.Reader.
//
// ErrNoKey, ErrAuth, ErrTruncated, ErrFormat, ErrUnsupported, or blob's own error.
func Open(dek keytree.Key, l *Layout, blob io.Reader, check func() error) (*Reader, error) {
	f, err := l.openFLOE(dek)
	if err != nil {
		return nil, err
	}
	p, err := ReadPrefix(blob)
	if err != nil {
		return nil, err
	}
	header := make([]byte, floeHeaderSize)
	err = readFull(blob, header)
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if p.place() != l.place || !bytes.Equal(header, l.header[:]) {
		return nil, ErrAuth
	}
	s := section{floe: f, bodyAt: l.bodyAt(), total: l.size()}.at(0, l.sourceSize)
	s.end = suite.segments(s.total)
	r := newReader(s, blob, check)
	r.exact = true
	return r, nil
}

// Reader gives verified source bytes. It holds two segments in memory until it
// ends or is closed, and never closes what it reads from. It is for one reader;
// Close may be called at any time.
type Reader struct {
	flow
	section // first is the segment to read next
	r       io.Reader
	check   func() error
	exact   bool // r must end where the section does
}

func newReader(s section, r io.Reader, check func() error) *Reader {
	out := &Reader{section: s, r: r, check: check}
	out.begin(out.next)
	return out
}

// next gives what a segment holds of the section: nothing, where Open verifies
// what follows the source.
func (r *Reader) next(buf *buffers) ([]byte, error) {
	if r.first == r.end {
		return nil, r.finish()
	}
	sealed := buf.sealed[:r.offset(r.first+1)-r.offset(r.first)]
	err := readFull(r.r, sealed)
	if err != nil {
		return nil, fmt.Errorf("read segment %d: %w", r.first, err)
	}
	err = r.check()
	if err != nil {
		return nil, notEOF(err)
	}
	last := r.first == suite.segments(r.total)-1
	plain, err := r.floe.open(buf.plain[:0], sealed, uint64(r.first), last)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", r.first, err)
	}
	base := r.first * suite.payload()
	r.first++
	lo, hi := max(r.from-base, 0), min(r.to-base, int64(len(plain)))
	return plain[lo:max(lo, hi)], nil
}

// finish is io.EOF, unless the blob goes on.
func (r *Reader) finish() error {
	if !r.exact {
		return io.EOF
	}
	n, err := io.ReadFull(r.r, make([]byte, 1))
	if n > 0 {
		return fmt.Errorf("bytes after the last segment: %w", ErrAuth)
	}
	return err
}
