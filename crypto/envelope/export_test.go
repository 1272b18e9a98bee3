package envelope

import (
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// SegmentPayload is the number of container bytes in a full segment.
const SegmentPayload = segmentSize - floeOverhead

// OpenFLOE opens a whole FLOE message of any instance.
func OpenFLOE(key, aad, message []byte, segment int, rotation uint) (plain []byte, err error) {
	if len(message) <= floeHeaderSize {
		return nil, ErrTruncated
	}
	header := [floeHeaderSize]byte(message)
	f, err := openFLOE(floeParams{segment, rotation}, key, aad, header)
	if err != nil {
		return nil, err
	}
	rest := message[floeHeaderSize:]
	for pos := uint64(0); len(rest) > 0; pos++ {
		n := min(segment, len(rest))
		plain, err = f.open(plain, rest[:n], pos, n == len(rest))
		if err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return plain, nil
}

// SealFLOE seals a whole FLOE message of any instance, cut as segments says.
func SealFLOE(key, aad []byte, segments [][]byte, segment int, rotation uint) []byte {
	f, header := sealFLOE(floeParams{segment, rotation}, key, aad)
	out := header[:]
	for pos, plain := range segments {
		last := pos == len(segments)-1
		out = f.seal(out, plain, uint64(pos), last)
	}
	return out
}

// SealContainer makes a blob of any container, well formed or not.
func SealContainer(dek keytree.Key, p Prefix, segments ...[]byte) []byte {
	opening, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	body := SealFLOE(streamKey(&dek, p.Part), p.place().encode(), segments, segmentSize, suite.rotation)
	return append(opening, body...)
}

// The clear form of a sealed layout, and any bytes sealed as one.
func AppendLayout(l *Layout) []byte         { return l.append(nil) }
func ParseLayout(b []byte) (*Layout, error) { return parseLayout(b) }
func SealLayoutBytes(dek keytree.Key, id recording.Identity, b []byte) []byte {
	return sealSmall(&dek, labelEndFacts, id, b)
}

// MessageKey is the secret that a span carries.
func MessageKey(s *Span) []byte { return s.floe.message[:] }
