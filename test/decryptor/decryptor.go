// Package decryptor is a second implementation of Lethe's stored form, written
// from docs/keys.md and docs/envelope.md alone. It shares no code with Lethe
// and imports only the standard library, so that what it opens proves that the
// two documents suffice, and what it refuses does not hang on one program.
//
// It starts where a key provider ends: from a head and the unwrapped root secret in it.
// It reads blobs from the blob alone, and recordings in parts from the list that
// names their blobs. Reading ranges by a catalog's layout, and with that the
// proof that a blob is the one once named, it leaves to Lethe.
package decryptor

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
)

var (
	// ErrFormat: the bytes are not of the form the documents describe.
	ErrFormat = errors.New("decryptor: not of the documented form")
	// ErrAuth: another key, or bytes that were changed.
	ErrAuth = errors.New("decryptor: does not verify")
	// ErrMissing: a list or a holder names a blob that is not there.
	ErrMissing = errors.New("decryptor: a blob is missing")
	// ErrPunctured: all verifies, and says that the key was forgotten.
	ErrPunctured = errors.New("decryptor: the slot's key was forgotten")
)

// Content is what one blob holds.
type Content struct {
	Facts    []byte // known before the source
	EndFacts []byte // known once it ended, without padding
	Source   []byte // the bytes a recorder sent
	Layout   []byte // what a catalog keeps of the blob, sealed; docs/envelope.md, Layout
}

// Blob opens all of a stored blob of the tree's tenant. It gives nothing unless
// everything verified.
func (t Tree) Blob(blob []byte) (facts, endFacts, source []byte, err error) {
	dek, err := t.DEK(blob)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := WithDEK(dek, blob)
	return c.Facts, c.EndFacts, c.Source, err
}

// DEK gives the data key of a stored blob of the tree's tenant.
func (t Tree) DEK(blob []byte) (dek [32]byte, err error) {
	w, err := WrapOf(blob)
	if err != nil {
		return dek, err
	}
	return t.Unwrap(w)
}

// WithDEK opens all of a stored blob whose data key is known, whatever its
// prefix says of slots and wrapped key.
func WithDEK(dek [32]byte, blob []byte) (Content, error) {
	p, err := parsePrefix(blob)
	if err != nil {
		return Content{}, err
	}
	return open(dek, p, blob)
}

// Facts opens the sealed facts of a stored version, as a catalog keeps them.
func Facts(dek [32]byte, identity [48]byte, sealed []byte) ([]byte, error) {
	return unsealUnder(dek, "lethe/v1/facts", identity, sealed)
}

// Layout opens the sealed layout of a stored version, as a catalog keeps it.
// identity is tenant ‖ recording ‖ version.
func Layout(dek [32]byte, identity [48]byte, sealed []byte) ([]byte, error) {
	return unsealUnder(dek, "lethe/v1/end-facts", identity, sealed)
}

// prefix is the part of a blob that can be read without a key, and the sealed
// facts; docs/envelope.md, Prefix.
type prefix struct {
	aad      [64]byte // bytes 0 to 63
	part     uint32
	identity [48]byte
	wrap     Wrap
	facts    []byte // sealed
}

func parsePrefix(b []byte) (prefix, error) {
	if len(b) < 160 {
		return prefix{}, fmt.Errorf("prefix: %w", ErrFormat)
	}
	const suite, flags = 1, 0
	length := uint64(binary.BigEndian.Uint16(b[10:12]))
	factsLength := uint64(binary.BigEndian.Uint32(b[156:160]))
	part := binary.BigEndian.Uint32(b[12:16])
	if string(b[:8]) != "LETHEV1\x00" || b[8] != suite || b[9] != flags || !zero(b[88:96]) ||
		part > maxPart && part != listPart || length != 160+factsLength || uint64(len(b)) < length {
		return prefix{}, fmt.Errorf("prefix: %w", ErrFormat)
	}
	return prefix{
		aad:      [64]byte(b[:64]),
		part:     part,
		identity: [48]byte(b[16:64]),
		wrap:     wrapped(b[16:64], b[64:88], b[96:156]),
		facts:    b[160:length],
	}, nil
}

// open opens what follows the prefix, from the blob alone.
func open(dek [32]byte, p prefix, blob []byte) (Content, error) {
	facts, err := Facts(dek, p.identity, p.facts)
	if err != nil {
		return Content{}, fmt.Errorf("facts: %w", err)
	}
	body := blob[160+len(p.facts):]
	container, err := openFLOE(streamKey(dek, p.part), p.aad[:], body)
	if err != nil {
		return Content{}, err
	}
	source, endFacts, err := parseContainer(container)
	if err != nil {
		return Content{}, err
	}
	return Content{
		Facts:    facts,
		EndFacts: endFacts,
		Source:   source,
		Layout:   join(string(p.aad[:]), body[:floeHeader], container[len(source):]),
	}, nil
}

// Sizes of FLOE in suite 1, in bytes; docs/envelope.md, Suite 1.
const (
	floeHeader   = 10 + 32 + 32
	segmentSize  = 64 << 10
	segmentExtra = 4 + 12 + 16
	rotation     = 1 << 20 // segments to a key
)

// openFLOE opens header ‖ segments under a FLOE key, to the last byte given.
// Source: C2SP FLOE, with the parameters of docs/envelope.md, Suite 1.
func openFLOE(key [32]byte, aad, b []byte) ([]byte, error) {
	if len(b) < floeHeader {
		return nil, fmt.Errorf("FLOE header: %w", ErrFormat)
	}
	header, body := b[:floeHeader], b[floeHeader:]
	if err := verifyHeader(key, aad, header); err != nil {
		return nil, err
	}
	messageKey := floeKDF(key[:], "MESSAGE_KEY:", 48, aad, header)
	segmentKey := func(position uint64) [32]byte {
		first := binary.BigEndian.AppendUint64([]byte("DEK:"), position-position%rotation)
		return [32]byte(floeKDF(messageKey, string(first), 32, aad, header))
	}
	return openSegments(segmentKey, body)
}

// verifyHeader compares parameters and tag of a FLOE header.
func verifyHeader(key [32]byte, aad, header []byte) error {
	params := binary.BigEndian.AppendUint32([]byte{0, 0}, segmentSize)
	params = binary.BigEndian.AppendUint32(params, 32)
	if !bytes.Equal(header[:10], params) || !hmac.Equal(header[42:], floeKDF(key[:], "HEADER_TAG:", 32, aad, header)) {
		return fmt.Errorf("FLOE header: %w", ErrAuth)
	}
	return nil
}

// floeKDF is KDF of docs/envelope.md, Suite 1, with the parameters and the IV
// of a header.
func floeKDF(key []byte, purpose string, n int, aad, header []byte) []byte {
	out, err := hkdf.Expand(sha512.New384, key, string(join("", header[:42], []byte(purpose), aad)), n)
	if err != nil {
		panic("decryptor: HKDF of SHA-384 gives up to 12240 bytes, and 48 are the most asked for")
	}
	return out
}

// streamKey is the FLOE key of a part.
func streamKey(dek [32]byte, part uint32) [32]byte {
	return expand(dek, join("lethe/v1/stream", binary.BigEndian.AppendUint32(nil, part)))
}

func openSegments(key func(position uint64) [32]byte, body []byte) ([]byte, error) {
	var container []byte
	for position := uint64(0); ; position++ {
		last := len(body) <= segmentSize
		segment := body[:min(len(body), segmentSize)]
		if len(segment) <= segmentExtra {
			return nil, fmt.Errorf("segment %d: %w", position, ErrFormat)
		}
		length, flag := uint32(0xFFFFFFFF), byte(0)
		if last {
			length, flag = uint32(len(segment)), 1
		}
		if binary.BigEndian.Uint32(segment) != length {
			return nil, fmt.Errorf("segment %d: length: %w", position, ErrAuth)
		}
		aad := append(binary.BigEndian.AppendUint64(nil, position), flag)
		plain, err := unseal(key(position), aad, segment[4:])
		if err != nil {
			return nil, fmt.Errorf("segment %d: %w", position, err)
		}
		container = append(container, plain...)
		if last {
			return container, nil
		}
		body = body[segmentSize:]
	}
}

// parseContainer gives source and end facts. While raw is the only codec, the
// size of the source and the room for end facts decide every other byte of
// index and footer, so both are made anew and compared: all else is refused.
func parseContainer(c []byte) (source, endFacts []byte, err error) {
	if len(c) < 64 {
		return nil, nil, fmt.Errorf("container: %w", ErrFormat)
	}
	footer := c[len(c)-64:]
	size, room := binary.BigEndian.Uint64(footer[16:24]), binary.BigEndian.Uint64(footer[32:40])
	if !bounded(size, room) {
		return nil, nil, fmt.Errorf("footer: %w", ErrFormat)
	}
	rest := tail(size, room)
	if size+room+uint64(len(rest)) != uint64(len(c)) || !bytes.Equal(c[size+room:], rest) {
		return nil, nil, fmt.Errorf("index and footer: %w", ErrFormat)
	}
	return c[:size], bytes.TrimRight(c[size:size+room], " "), nil
}

// bounded reports whether a container may have a source of size bytes and room
// bytes of padded end facts.
func bounded(size, room uint64) bool {
	return size <= 1<<43 && room >= 1024 && room <= 1<<20 && room%1024 == 0
}

// index is the index of a raw source of size bytes; docs/envelope.md, Index.
func index(size uint64) []byte {
	const frame, raw = 256 << 10, 0
	be := binary.BigEndian
	var index []byte
	entry := func(count, length uint64) {
		if count > 0 && length > 0 {
			index = be.AppendUint32(index, uint32(count))
			index = be.AppendUint32(index, uint32(length)) // stored
			index = be.AppendUint32(index, uint32(length)) // source
			index = append(index, raw)
		}
	}
	entry(size/frame, frame)
	entry(1, size%frame)
	return index
}

// tail is the index and the footer of a raw source of size bytes, followed by
// room bytes of padded end facts; docs/envelope.md, Container.
func tail(size, room uint64) []byte {
	be := binary.BigEndian
	index := index(size)
	footer := be.AppendUint32([]byte("LETHEEND"), 1)
	footer = be.AppendUint32(footer, uint32(len(index)/13))
	for _, field := range []uint64{size, size, room, size + room, uint64(len(index)), 0} {
		footer = be.AppendUint64(footer, field)
	}
	return append(index, footer...)
}

// unsealUnder opens what is sealed whole under a key of the DEK's, whose label
// is the key's info and begins the AAD; docs/envelope.md, Keys.
func unsealUnder(dek [32]byte, label string, identity [48]byte, sealed []byte) ([]byte, error) {
	return unseal(expand(dek, []byte(label)), join(label, identity[:]), sealed)
}

// unseal opens nonce(12) ‖ ciphertext ‖ tag(16), AES-256-GCM (SP 800-38D).
func unseal(key [32]byte, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < 12+16 {
		return nil, ErrFormat
	}
	gcm, err := gcmOf(key)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, sealed[:12], sealed[12:], aad)
	if err != nil {
		return nil, ErrAuth
	}
	return plain, nil
}

func gcmOf(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// expand is HKDF-Expand with SHA-256 to 32 bytes (RFC 5869, 2.3).
func expand(secret [32]byte, info []byte) [32]byte {
	out, err := hkdf.Expand(sha256.New, secret[:], string(info), 32)
	if err != nil {
		panic("decryptor: HKDF of SHA-256 gives up to 8160 bytes, and 32 are asked for")
	}
	return [32]byte(out)
}

// join is ‖ of the documents, of a label and what follows it.
func join(label string, parts ...[]byte) []byte {
	return append([]byte(label), bytes.Join(parts, nil)...)
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
