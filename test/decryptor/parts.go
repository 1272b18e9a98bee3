package decryptor

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Part numbers; docs/envelope.md, Prefix.
const (
	maxPart  = 10000
	listPart = 1<<32 - 1 // the list of parts
)

// Recording is what the blobs of a recording in parts hold.
type Recording struct {
	Facts    []byte
	EndFacts []byte // the recording's, from the blob of the list
	List     []byte // docs/envelope.md, Parts
	Parts    []Part // in ascending order of their numbers
	Source   []byte // theirs, joined
}

// Part is one part of a recording.
type Part struct {
	Number uint32
	Key    string // of its blob
	Content
}

// Lists gives the keys, in order, of those blobs that hold a list of parts.
func Lists(stored map[string][]byte) []string {
	var keys []string
	for key, blob := range stored {
		if p, err := parsePrefix(blob); err == nil && p.part == listPart {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Parts opens the recording whose list of parts is in the blob list, from that
// and from the blobs that it names, which stored holds by their keys. It gives
// nothing unless everything verified.
func (t Tree) Parts(list []byte, stored map[string][]byte) (Recording, error) {
	p, err := parsePrefix(list)
	if err != nil {
		return Recording{}, err
	}
	if p.part != listPart {
		return Recording{}, fmt.Errorf("part %d is no list: %w", p.part, ErrFormat)
	}
	dek, err := t.Unwrap(p.wrap)
	if err != nil {
		return Recording{}, err
	}
	c, err := open(dek, p, list)
	if err != nil {
		return Recording{}, fmt.Errorf("list: %w", err)
	}
	r := Recording{Facts: c.Facts, EndFacts: c.EndFacts, List: c.Source}
	return r.openParts(dek, p.identity, stored)
}

// Cataloged opens a recording in parts from the blobs of its parts, by the
// layout of its list and the list itself as a catalog keeps them, both sealed.
// identity is tenant ‖ recording ‖ version. The facts are those that its first
// part has, as all parts should.
func Cataloged(dek [32]byte, identity [48]byte, layout, list []byte, stored map[string][]byte) (Recording, error) {
	layout, err := Layout(dek, identity, layout)
	if err != nil {
		return Recording{}, fmt.Errorf("layout: %w", err)
	}
	list, err = List(dek, identity, list)
	if err != nil {
		return Recording{}, fmt.Errorf("list: %w", err)
	}
	if len(layout) < 64+floeHeader+64 {
		return Recording{}, fmt.Errorf("layout: %w", ErrFormat)
	}
	length := int(binary.BigEndian.Uint16(layout[10:12]))
	if length < 160 || !bytes.Equal(layout[:64], aad(length-160, listPart, identity)) {
		return Recording{}, fmt.Errorf("layout: %w", ErrFormat)
	}
	if err := verifyHeader(streamKey(dek, listPart), layout[:64], layout[64:64+floeHeader]); err != nil {
		return Recording{}, err
	}
	// The container of the list is the list and what the layout holds of it.
	source, endFacts, err := parseContainer(slices.Concat(list, layout[64+floeHeader:]))
	if err != nil || len(source) != len(list) {
		return Recording{}, fmt.Errorf("layout: %w", ErrFormat)
	}
	r, err := Recording{EndFacts: endFacts, List: list}.openParts(dek, identity, stored)
	if err != nil {
		return Recording{}, err
	}
	r.Facts = r.Parts[0].Facts
	return r, nil
}

// List opens the list of parts as a catalog keeps it, sealed.
func List(dek [32]byte, identity [48]byte, sealed []byte) ([]byte, error) {
	return unsealUnder(dek, "lethe/v1/parts", identity, sealed)
}

// openParts opens the parts that r's list names, once r's end facts prove it.
func (r Recording) openParts(dek [32]byte, identity [48]byte, stored map[string][]byte) (Recording, error) {
	all, err := provenList(r.List, r.EndFacts)
	if err != nil {
		return Recording{}, err
	}
	for _, l := range all {
		key := l.key([16]byte(identity[:16]))
		blob, ok := stored[key]
		if !ok {
			return Recording{}, fmt.Errorf("part %d: %w", l.number, ErrMissing)
		}
		c, err := l.open(dek, identity, blob)
		if err != nil {
			return Recording{}, fmt.Errorf("part %d: %w", l.number, err)
		}
		r.Parts = append(r.Parts, Part{Number: l.number, Key: key, Content: c})
		r.Source = append(r.Source, c.Source...)
	}
	return r, nil
}

// provenList parses a list that is the one of which the end facts speak.
func provenList(list, endFacts []byte) ([]listed, error) {
	var members map[string]json.RawMessage // a struct would take names in any case
	if err := json.Unmarshal(endFacts, &members); err != nil {
		return nil, fmt.Errorf("end facts: %w", ErrFormat)
	}
	sum := sha256.Sum256(list)
	if string(members["part_list"]) != `"`+hex.EncodeToString(sum[:])+`"` {
		return nil, fmt.Errorf("list and end facts: %w", ErrAuth)
	}
	all, err := parseList(list)
	if err != nil {
		return nil, err
	}
	size := uint64(0) // 10000 parts of 2^43 do not wrap it
	for _, l := range all {
		size += l.size
	}
	if number(members["size"]) != size || number(members["parts"]) != uint64(len(all)) {
		return nil, fmt.Errorf("list and end facts: %w", ErrFormat)
	}
	return all, nil
}

// number is a member that counts. It is 0 if absent, and 2^64 - 1, which
// nothing here has, if it is no number.
func number(member json.RawMessage) (n uint64) {
	if member != nil && json.Unmarshal(member, &n) != nil {
		return math.MaxUint64
	}
	return n
}

// listed is what a list says of one part.
type listed struct {
	number uint32
	where  [16]byte
	facts  int // F
	header [floeHeader]byte
	room   uint64 // E
	size   uint64 // S
}

// parseList takes the one spelling that a list of parts has.
func parseList(b []byte) ([]listed, error) {
	malformed := fmt.Errorf("list: %w", ErrFormat)
	if len(b) < 12 || string(b[:8]) != "LETHEPL1" {
		return nil, malformed
	}
	count := binary.BigEndian.Uint32(b[8:])
	if count < 1 || count > maxPart {
		return nil, malformed
	}
	b = b[12:]
	all := make([]listed, 0, count)
	for before := uint32(0); count > 0; count-- {
		l, rest, ok := cutListed(b)
		if !ok || l.number <= before || l.number > maxPart {
			return nil, malformed
		}
		all = append(all, l)
		b, before = rest, l.number
	}
	if len(b) > 0 {
		return nil, malformed
	}
	return all, nil
}

func cutListed(b []byte) (l listed, rest []byte, ok bool) {
	if len(b) < 104 {
		return listed{}, nil, false
	}
	be := binary.BigEndian
	l = listed{
		number: be.Uint32(b),
		where:  [16]byte(b[4:]),
		facts:  int(be.Uint16(b[20:])),
		header: [floeHeader]byte(b[22:]),
		room:   uint64(be.Uint32(b[96:])),
	}
	entries := be.Uint32(b[100:])
	b = b[104:]
	if entries > 2 || uint64(len(b)) < 13*uint64(entries) { // a raw source has no more
		return listed{}, nil, false
	}
	given, rest := b[:13*entries], b[13*entries:]
	for i := 0; i < len(given); i += 13 {
		l.size += uint64(be.Uint32(given[i:])) * uint64(be.Uint32(given[i+8:]))
	}
	// A sum that wrapped has another index than the one given.
	ok = l.facts <= 65375 && bounded(l.size, l.room) && bytes.Equal(given, index(l.size))
	return l, rest, ok
}

// key is the key of the part's blob; docs/keys.md, From slots to a recording.
func (l listed) key(tenant [16]byte) string {
	where := hex.EncodeToString(l.where[:])
	return "recordings/" + inKeys(tenant) + "/" + where[:2] + "/" + where[2:]
}

// inKeys is a tenant's id as it stands in the keys of blobs; docs/keys.md, The provider.
func inKeys(tenant [16]byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(tenant[:]))
}

// open opens the part's blob if it is the one listed.
func (l listed) open(dek [32]byte, identity [48]byte, blob []byte) (Content, error) {
	p, err := parsePrefix(blob)
	if err != nil {
		return Content{}, err
	}
	begin := slices.Concat(aad(l.facts, l.number, identity), l.header[:])
	if !bytes.HasPrefix(slices.Concat(p.aad[:], blob[160+len(p.facts):]), begin) {
		return Content{}, fmt.Errorf("blob and list: %w", ErrAuth)
	}
	c, err := open(dek, p, blob)
	if err != nil {
		return Content{}, err
	}
	end := tail(l.size, l.room)
	if uint64(len(c.Layout)) != uint64(len(begin)+len(end))+l.room || !bytes.HasSuffix(c.Layout, end) {
		return Content{}, fmt.Errorf("container and list: %w", ErrAuth)
	}
	return c, nil
}

// aad is bytes 0 to 63 of the prefix of a blob; docs/envelope.md, Prefix.
func aad(facts int, part uint32, identity [48]byte) []byte {
	b := append([]byte("LETHEV1\x00"), 1, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(160+facts))
	b = binary.BigEndian.AppendUint32(b, part)
	return append(b, identity[:]...)
}
