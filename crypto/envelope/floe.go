package envelope

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
)

// FLOE, the random-access authenticated encryption of C2SP FLOE and
// ePrint 2025/2275, with AES-256-GCM and HKDF-Expand-SHA-384:
//
//	params  = 00 00 ‖ BE32(segment length) ‖ BE32(32)
//	KDF     = HKDF-Expand(key, params ‖ IV ‖ purpose ‖ AAD, n)
//	header  = params(10) ‖ IV(32) ‖ KDF(key, "HEADER_TAG:", 32)
//	segment = BE32(FFFFFFFF, or its own length if last) ‖ nonce(12) ‖ ciphertext ‖ tag(16)
const (
	floeParamsSize  = 10
	floeIVSize      = 32
	floeTagSize     = 32
	floeHeaderSize  = floeParamsSize + floeIVSize + floeTagSize
	floeLengthSize  = 4
	floeOverhead    = floeLengthSize + nonceSize + tagSize
	floeMessageSize = 48
	floeNotLast     = 0xFFFFFFFF
)

// floeParams tell one instance of FLOE from another.
type floeParams struct {
	segment  int  // length of an encrypted segment that is not the last, in bytes
	rotation uint // 2^rotation consecutive segments share a segment key
}

// encode gives the parameters as they stand in the header and in every KDF.
// The rotation is not among them: the specification fixes it with the cipher.
func (p floeParams) encode() []byte {
	b := make([]byte, 2, floeParamsSize) // AEAD 0: AES-256-GCM; hash 0: SHA-384
	b = binary.BigEndian.AppendUint32(b, uint32(p.segment))
	return binary.BigEndian.AppendUint32(b, floeIVSize)
}

// payload is the number of plaintext bytes in each segment but the last.
func (p floeParams) payload() int64 { return int64(p.segment - floeOverhead) }

// segments is the number of segments that hold n > 0 plaintext bytes. The last
// is never empty here, though FLOE itself allows that.
func (p floeParams) segments(n int64) int64 { return (n + p.payload() - 1) / p.payload() }

// sealedSize is the length of all segments of n > 0 plaintext bytes.
func (p floeParams) sealedSize(n int64) int64 { return n + p.segments(n)*floeOverhead }

// floe seals or opens the segments of one message. It is not for concurrent
// use; a copy is independent.
type floe struct {
	floeParams
	iv, aad []byte
	message *[floeMessageSize]byte // a pointer, which no verb of fmt follows
	aead    cipher.AEAD            // under the segment key of epoch; nil at first
	epoch   uint64                 // position of the first segment under that key
	bind    [9]byte                // AAD of the segment in hand
}

func (f *floe) kdf(key []byte, purpose string, n int) []byte {
	info := append(f.encode(), f.iv...)
	info = append(info, purpose...)
	info = append(info, f.aad...)
	return expand(sha512.New384, key, string(info), n)
}

// sealFLOE begins a message under a fresh IV and gives its header.
func sealFLOE(p floeParams, key, aad []byte) (f floe, header [floeHeaderSize]byte) {
	f = floe{floeParams: p, iv: make([]byte, floeIVSize), aad: aad}
	rand.Read(f.iv) // never fails: crypto/rand ends the program instead
	f.message = (*[floeMessageSize]byte)(f.kdf(key, floeMessageKey, floeMessageSize))
	h := append(f.encode(), f.iv...)
	return f, [floeHeaderSize]byte(append(h, f.kdf(key, floeHeaderTag, floeTagSize)...))
}

// openFLOE begins to read the message that header announces. ErrAuth: it has
// other parameters, or was sealed under another key or AAD, to both of which
// the header's tag commits.
func openFLOE(p floeParams, key, aad []byte, header [floeHeaderSize]byte) (floe, error) {
	f := floe{floeParams: p, iv: header[floeParamsSize:][:floeIVSize:floeIVSize], aad: aad}
	tag := f.kdf(key, floeHeaderTag, floeTagSize)
	if string(header[:floeParamsSize]) != string(f.encode()) ||
		!hmac.Equal(tag, header[floeParamsSize+floeIVSize:]) {
		return floe{}, ErrAuth
	}
	f.message = (*[floeMessageSize]byte)(f.kdf(key, floeMessageKey, floeMessageSize))
	return f, nil
}

// turnTo makes aead and bind those of the segment at pos.
func (f *floe) turnTo(pos uint64, last bool) {
	epoch := pos >> f.rotation << f.rotation
	if f.aead == nil || f.epoch != epoch {
		purpose := binary.BigEndian.AppendUint64([]byte(floeSegmentKey), epoch)
		f.aead, f.epoch = newAEAD(f.kdf(f.message[:], string(purpose), 32)), epoch
	}
	binary.BigEndian.PutUint64(f.bind[:], pos)
	f.bind[8] = 0
	if last {
		f.bind[8] = 1
	}
}

// seal appends the segment at pos to dst. All but the last hold exactly
// payload bytes, the last as many or fewer.
func (f *floe) seal(dst, plain []byte, pos uint64, last bool) []byte {
	f.turnTo(pos, last)
	length := uint32(floeNotLast)
	if last {
		length = uint32(len(plain) + floeOverhead)
	}
	dst = binary.BigEndian.AppendUint32(dst, length)
	return f.aead.Seal(dst, nil, plain, f.bind[:])
}

// open appends the plaintext of the segment at pos to dst, or reports ErrAuth.
func (f *floe) open(dst, segment []byte, pos uint64, last bool) ([]byte, error) {
	if len(segment) < floeOverhead || len(segment) > f.segment {
		return nil, ErrAuth
	}
	want := uint32(floeNotLast)
	if last {
		want = uint32(len(segment))
	}
	if binary.BigEndian.Uint32(segment) != want || !last && len(segment) != f.segment {
		return nil, ErrAuth
	}
	f.turnTo(pos, last)
	plain, err := f.aead.Open(dst, nil, segment[floeLengthSize:], f.bind[:])
	if err != nil {
		return nil, ErrAuth
	}
	return plain, nil
}
