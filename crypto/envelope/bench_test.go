package envelope_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"io"
	"testing"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
)

const benchSize = 16 << 20

func BenchmarkSeal(b *testing.B) {
	source := make([]byte, benchSize)
	c := config(b, keytree.NewKey(), identity(1), 0, nil)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		c.Source = bytes.NewReader(source)
		s, err := envelope.Seal(c)
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, s)
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	s := seal(b, make([]byte, benchSize))
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		r, err := envelope.Open(s.dek, s.layout, bytes.NewReader(s.blob), envelope.Unguarded)
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, r)
		if err != nil {
			b.Fatal(err)
		}
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

// BenchmarkRawSeal and BenchmarkRawOpen are the floor: the cipher alone on
// 64 KiB at a time, fed by the same reader.
func BenchmarkRawSeal(b *testing.B) {
	aead := rawAEAD(b)
	source, plain := make([]byte, benchSize), make([]byte, segment)
	sealed := make([]byte, 0, segment+aead.Overhead())
	b.SetBytes(benchSize)
	for b.Loop() {
		r := bytes.NewReader(source)
		for r.Len() > 0 {
			_, err := io.ReadFull(r, plain)
			if err != nil {
				b.Fatal(err)
			}
			sealed = aead.Seal(sealed[:0], nil, plain, nil)
		}
	}
}

func BenchmarkRawOpen(b *testing.B) {
	aead := rawAEAD(b)
	plain := make([]byte, segment)
	one := aead.Seal(nil, nil, plain, nil)
	blob, sealed := bytes.Repeat(one, benchSize/segment), make([]byte, len(one))
	b.SetBytes(benchSize)
	for b.Loop() {
		r := bytes.NewReader(blob)
		for r.Len() > 0 {
			_, err := io.ReadFull(r, sealed)
			if err != nil {
				b.Fatal(err)
			}
			_, err = aead.Open(plain[:0], nil, sealed, nil)
			if err != nil {
				b.Fatal(err)
			}
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
