package s3api

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

// The limits of aws-chunked framing, in bytes.
const (
	minChunk      = 8 << 10 // of every chunk but the last that has data
	maxSizeDigits = 16      // of a chunk's length in hex
	maxTail       = 1 << 10 // of all that follows the final chunk's header
	chunkBuffer   = 16 << 10
)

const (
	crlf             = "\r\n"
	chunkSignature   = ";chunk-signature="
	trailerSignature = "x-amz-trailer-signature"
	signatureDigits  = 64
)

// chunkReader takes the frames off an aws-chunked body:
//
//	body    = *chunk last tail
//	chunk   = size [";chunk-signature=" signature] CRLF size*OCTET CRLF
//	last    = "0"  [";chunk-signature=" signature] CRLF
//	tail    = CRLF | checksum [signature line] CRLF
//
// A chunk's signature is known to be true or false at the end of the chunk. Its
// bytes are handed on before that, so memory does not grow with the chunk. That
// is as safe as a signed hash, which too is compared at the end: body keeps the
// last bytes back until finish has found everything true, and a stream that
// does not end never becomes a recording.
//
// Source: Amazon S3 API Reference, "Transferring payload in multiple chunks",
// and "… with trailing headers".
type chunkReader struct {
	source    *bufio.Reader
	chain     *sigv4.Chain // nil if chunks are not signed
	undecoded int64        // bytes of the body that are in chunks to come
	left      int64        // bytes of this chunk that are to come
	small     bool         // this chunk may only be the last with data
	sum       hash.Hash    // SHA-256 of this chunk
	signature string       // that this chunk has
}

// newChunkReader reads chunks that hold size bytes.
func newChunkReader(source io.Reader, size int64, chain *sigv4.Chain) *chunkReader {
	return &chunkReader{
		source:    bufio.NewReaderSize(source, chunkBuffer),
		chain:     chain,
		undecoded: size,
		sum:       sha256.New(),
	}
}

// Read gives bytes of chunks that hold data. At the end of the last of them
// only finish may be called.
func (c *chunkReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.left == 0 {
		if err := c.begin(); err != nil {
			return 0, err
		}
	}
	n, err := c.source.Read(p[:min(int64(len(p)), c.left)])
	c.sum.Write(p[:n])
	c.left -= int64(n)
	if err != nil {
		return 0, broken(err)
	}
	if c.left > 0 {
		return n, nil
	}
	if err := c.end(); err != nil {
		return 0, err
	}
	return n, nil
}

// begin reads the header of a chunk with data.
func (c *chunkReader) begin() error {
	if c.small {
		return errChunkSize
	}
	size, err := c.header()
	switch {
	case err != nil:
		return err
	case size == 0:
		return recording.ErrShortBody
	case size > c.undecoded:
		return errDecodedLength
	}
	c.left = size
	c.undecoded -= size
	c.small = size < minChunk
	return nil
}

// end reads what follows the data of a chunk, and verifies the chunk.
func (c *chunkReader) end() error {
	var after [len(crlf)]byte
	if _, err := io.ReadFull(c.source, after[:]); err != nil {
		return broken(err)
	}
	if string(after[:]) != crlf {
		return errFraming
	}
	return c.verify()
}

func (c *chunkReader) verify() error {
	defer c.sum.Reset()
	if c.chain == nil {
		return nil
	}
	return c.chain.Chunk(c.signature, c.sum.Sum(nil))
}

// header reads the line before a chunk's data, which has a signature if and
// only if chunks are signed.
func (c *chunkReader) header() (size int64, err error) {
	longest := maxSizeDigits + len(crlf)
	if c.chain != nil {
		longest += len(chunkSignature) + signatureDigits
	}
	line, err := readLine(c.source, longest)
	if err != nil {
		return 0, err
	}
	digits, signature, signed := strings.Cut(line, chunkSignature)
	if signed != (c.chain != nil) || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		return 0, errFraming
	}
	c.signature = signature
	size, err = strconv.ParseInt(digits, 16, 64)
	if err != nil {
		return 0, errFraming
	}
	return size, nil
}

// readLine gives a line without its CRLF, with which it has at most longest
// bytes.
func readLine(r *bufio.Reader, longest int) (string, error) {
	var line []byte
	for len(line) < longest {
		b, err := r.ReadByte()
		if err != nil {
			return "", broken(err)
		}
		line = append(line, b)
		if b == '\n' {
			text, ok := strings.CutSuffix(string(line), crlf)
			if !ok {
				return "", errFraming
			}
			return text, nil
		}
	}
	return "", errFraming
}

// finish reads the final chunk and all that follows it. It gives the value of
// the trailer called name; where name is "", there must be none.
func (c *chunkReader) finish(name string) (value string, err error) {
	size, err := c.header()
	if err != nil {
		return "", err
	}
	if size != 0 {
		return "", errDecodedLength
	}
	if err := c.verify(); err != nil {
		return "", err
	}
	tail, err := io.ReadAll(io.LimitReader(c.source, maxTail+1))
	switch {
	case err != nil:
		return "", broken(err)
	case len(tail) > maxTail:
		return "", errTrailer
	case !bytes.HasSuffix(tail, []byte(crlf)):
		return "", recording.ErrShortBody
	case name != "":
		return c.trailer(name, string(tail))
	case len(tail) != len(crlf):
		return "", errTrailer
	}
	return "", nil
}

// trailer reads the one trailer that was declared, and its signature where
// chunks are signed. Lines end in CRLF, or in LF, as they are signed and as
// minio-go sends them, which puts an empty line before the signature.
func (c *chunkReader) trailer(name, tail string) (value string, err error) {
	if !strings.HasSuffix(tail, "\n"+crlf) {
		return "", recording.ErrShortBody
	}
	var lines []string
	for line := range strings.Lines(tail) {
		if line = strings.TrimRight(line, crlf); line != "" {
			lines = append(lines, line)
		}
	}
	want := 1
	if c.chain != nil {
		want = 2
	}
	if len(lines) != want {
		return "", errTrailer
	}
	if value, err = field(lines[0], name); err != nil || c.chain == nil {
		return value, err
	}
	signature, err := field(lines[1], trailerSignature)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(name + ":" + value + "\n"))
	return value, c.chain.Trailer(signature, sum[:])
}

// field gives the value of the trailer called name, in lower case.
func field(line, name string) (string, error) {
	got, value, ok := strings.Cut(line, ":")
	if !ok || strings.ToLower(got) != name {
		return "", fmt.Errorf("%w: want %s", errTrailer, name)
	}
	return strings.Trim(value, " "), nil
}

// broken is what a body reports when its source fails with err.
func broken(err error) error {
	if errors.Is(err, errTooSlow) {
		return errTooSlow
	}
	return recording.ErrShortBody
}
