package gateway

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"hash/crc64"
)

// The names of digests in recording.Digests.
const (
	sha256Digest = "sha256"
	md5Digest    = "md5"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(nvmePolynomial)
)

// nvmePolynomial is 0xAD93D23594C93659 with its bits reversed, as hash/crc64
// wants it. Source: NVM Express NVM Command Set Specification 1.0c, section
// 5.2.1.3.4, "64b CRC Polynomials".
const nvmePolynomial = 0x9A6C9329AC4BC9B5

// NewDigest begins a digest by its name in recording.Digests, nil if there is
// none: "crc32", "crc32c", "crc64nvme", "sha1", "sha256" or "md5".
func NewDigest(name string) hash.Hash {
	switch name {
	case "crc32":
		return crc32.NewIEEE()
	case "crc32c":
		return crc32.New(castagnoli)
	case "crc64nvme":
		return crc64.New(nvme)
	case "sha1":
		return sha1.New()
	case sha256Digest:
		return sha256.New()
	case md5Digest:
		return md5.New()
	}
	return nil
}

// A polynomial of a CRC whose register begins and ends inverted, with its bits
// reversed: the highest bit is the coefficient of x^0.
type polynomial struct {
	bits uint64
	high uint64 // x^0
}

// polynomials are of the digests that can be had of a whole from its parts'.
var polynomials = map[string]polynomial{
	"crc32":     {crc32.IEEE, 1 << 31},
	"crc32c":    {crc32.Castagnoli, 1 << 31},
	"crc64nvme": {nvmePolynomial, 1 << 63},
}

// times multiplies a and b modulo p.
func (p polynomial) times(a, b uint64) (product uint64) {
	for m := p.high; m > 0; m >>= 1 {
		if a&m != 0 {
			product ^= b
		}
		odd := b & 1
		b >>= 1
		if odd != 0 {
			b ^= p.bits
		}
	}
	return product
}

// shift gives x^(8 n) modulo p: what n bytes that follow do to a CRC.
func (p polynomial) shift(n int64) uint64 {
	power, square := p.high, p.high>>1 // x^0 and x^1
	for range 3 {
		square = p.times(square, square)
	}
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			power = p.times(power, square)
		}
		square = p.times(square, square)
	}
	return power
}

// combine gives the CRC of two pieces from theirs, and the second's length: the
// method of zlib's crc32_combine.
func (p polynomial) combine(first, second uint64, length int64) uint64 {
	return p.times(p.shift(length), first) ^ second
}

// wholeDigest gives the digest of parts joined, from theirs, "" if that cannot
// be had.
func wholeDigest(name string, parts []storedPart) string {
	p, ok := polynomials[name]
	if !ok {
		return ""
	}
	sum, digest := uint64(0), NewDigest(name)
	for _, part := range parts {
		b, err := hex.DecodeString(part.Digests[name])
		if err != nil || len(b) != digest.Size() {
			return ""
		}
		sum = p.combine(sum, bigEndian(b), part.Size)
	}
	out := make([]byte, digest.Size())
	for i := range out {
		out[len(out)-1-i] = byte(sum >> (8 * i))
	}
	return hex.EncodeToString(out)
}

func bigEndian(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// compositeDigest gives the digest of parts' digests in their order, "" if one
// is not known.
func compositeDigest(name string, parts []storedPart) string {
	digest := NewDigest(name)
	if digest == nil {
		return ""
	}
	for _, part := range parts {
		b, err := hex.DecodeString(part.Digests[name])
		if err != nil || len(b) != digest.Size() {
			return ""
		}
		digest.Write(b)
	}
	return hex.EncodeToString(digest.Sum(nil))
}
