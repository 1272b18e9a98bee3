// Package faults_test shows what Lethe does when things go wrong: servers are
// killed, parts of the vault go down, clients send nonsense, a hundred of them
// come at once, keys are revoked. Whole servers are run, on both
// configurations, and S3 clients that share no code with them do the talking.
package faults_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"sync"
)

// content is what a test uploads: bytes that look random, made where they are
// needed and held nowhere.
type content struct {
	key  [16]byte
	size int64
	hash func() string // of all of it: SHA-256 in hex, computed once
}

func newContent(size int64) content {
	c := content{size: size}
	rand.Read(c.key[:])
	c.hash = sync.OnceValue(func() string {
		h := sha256.New()
		io.Copy(h, c.reader()) // neither side fails
		return hex.EncodeToString(h.Sum(nil))
	})
	return c
}

// randomSize draws a size, short recordings being as frequent as long ones.
func randomSize(least, most int64) int64 {
	size := least
	for size < most && mathrand.N(3) > 0 {
		size += mathrand.N(size)
	}
	return min(size, most)
}

// ReadAt gives the key stream of AES-CTR from an offset.
func (c content) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), c.size-off))
	block, err := aes.NewCipher(c.key[:])
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(off/aes.BlockSize))
	stream := cipher.NewCTR(block, iv[:])
	var skipped [aes.BlockSize]byte
	stream.XORKeyStream(skipped[:], skipped[:off%aes.BlockSize])
	clear(p[:n])
	stream.XORKeyStream(p[:n], p[:n])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// reader reads all of it, and can seek.
func (c content) reader() *io.SectionReader { return c.span(0, c.size) }

// span reads n bytes from off.
func (c content) span(off, n int64) *io.SectionReader { return io.NewSectionReader(c, off, n) }

var errOther = errors.New("other bytes came back")

// equals reports how what r gives differs from want; nil if not at all.
func equals(r io.Reader, want io.Reader) error {
	got, expected := sha256.New(), sha256.New()
	n, err := io.Copy(got, r)
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	io.Copy(expected, want) // neither side fails
	if [sha256.Size]byte(got.Sum(nil)) != [sha256.Size]byte(expected.Sum(nil)) {
		return fmt.Errorf("%w, %d of them", errOther, n)
	}
	return nil
}
