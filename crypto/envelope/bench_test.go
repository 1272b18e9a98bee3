package envelope_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
)

const benchSize = 16 << 20

// BenchmarkSeal and BenchmarkOpen take a whole recording through the envelope
// and, in turn, as many bytes through the cipher alone, 64 KiB at a time: fed by
// the same reader, as whatever encrypts a stream must be, and straight from
// memory. "of-fed" and "of-raw" are the envelope's throughput as a share of
// theirs, by the fastest of all turns of each.
func BenchmarkSeal(b *testing.B) {
	source := make([]byte, benchSize)
	aead, sealed := rawAEAD(b), make([]byte, 0, 2*segment)
	c := config(b, keytree.NewKey(), identity(1), 0, nil)
	against(b, source, segment, func(piece []byte) error {
		sealed = aead.Seal(sealed[:0], nil, piece, nil)
		return nil
	}, func() error {
		c.Source = bytes.NewReader(source)
		s, err := envelope.Seal(c)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, s)
		return err
	})
}

func BenchmarkOpen(b *testing.B) {
	aead, plain := rawAEAD(b), make([]byte, segment)
	one := aead.Seal(nil, nil, plain, nil)
	s := seal(b, make([]byte, benchSize))
	against(b, bytes.Repeat(one, benchSize/segment), len(one), func(piece []byte) error {
		_, err := aead.Open(plain[:0], nil, piece, nil)
		return err
	}, func() error {
		r, err := envelope.Open(s.dek, s.layout, bytes.NewReader(s.blob), envelope.Unguarded)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		return err
	})
}

// against times whole beside the cipher alone, which takes input in pieces.
func against(b *testing.B, input []byte, size int, cipher func(piece []byte) error, whole func() error) {
	b.SetBytes(benchSize)
	b.ReportAllocs()
	buffer := make([]byte, size)
	fed := func() error {
		for r := bytes.NewReader(input); r.Len() > 0; {
			if _, err := io.ReadFull(r, buffer); err != nil {
				return err
			}
			if err := cipher(buffer); err != nil {
				return err
			}
		}
		return nil
	}
	raw := func() error {
		for piece := range slices.Chunk(input, size) {
			if err := cipher(piece); err != nil {
				return err
			}
		}
		return nil
	}
	var wholes, feds, raws fastest
	for b.Loop() {
		wholes.time(b, whole)
		b.StopTimer()
		feds.time(b, fed)
		raws.time(b, raw)
		b.StartTimer()
	}
	b.ReportMetric(float64(feds)/float64(wholes), "of-fed")
	b.ReportMetric(float64(raws)/float64(wholes), "of-raw")
}

// fastest is the least time that something took.
type fastest time.Duration

func (f *fastest) time(b *testing.B, what func() error) {
	began := time.Now()
	if err := what(); err != nil {
		b.Fatal(err)
	}
	if took := fastest(time.Since(began)); *f == 0 || took < *f {
		*f = took
	}
}

// BenchmarkSpan is what a seek costs above the read of the store: one byte.
func BenchmarkSpan(b *testing.B) {
	s := seal(b, make([]byte, benchSize))
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.span(s.blob, benchSize/2, 1)
		if err != nil {
			b.Fatal(err)
		}
	}
}

func rawAEAD(b *testing.B) cipher.AEAD {
	key := keytree.NewKey()
	block, err := aes.NewCipher(key.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		b.Fatal(err)
	}
	return aead
}
