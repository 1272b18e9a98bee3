package redteam

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/blind"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// loot is what the thief has opened.
type loot struct {
	roots   int
	keys    map[string]dek      // data keys, by the version that they are of
	sounds  map[[32]byte]bool   // SHA-256 of each
	clear   map[string]bool     // everything else that opened
	kinds   map[string]int      // of what the system tree seals, how much opened
	indexes map[[32]byte]uint64 // keys of blind indexes, and their generations
}

type dek struct {
	key      [32]byte
	identity [48]byte
}

func (l loot) String() string {
	return fmt.Sprintf("%d heads open, with them %d data keys, %d sounds, %d other things, %d index keys, and %v",
		l.roots, len(l.keys), len(l.sounds), len(l.clear), len(l.indexes), l.kinds)
}

// attack opens everything with everything, from the roots on that can be opened.
func (th *thief) attack(open unwrap) loot {
	th.t.Helper()
	l := loot{
		keys: map[string]dek{}, sounds: map[[32]byte]bool{},
		clear: map[string]bool{}, kinds: map[string]int{}, indexes: map[[32]byte]uint64{},
	}
	trees := th.trees(open)
	l.roots = len(trees)
	wraps, places := th.wraps(), th.places()
	for _, t := range trees {
		th.openWraps(l, t, wraps, places)
		th.openSystem(l, t)
	}
	th.openRecordings(l)
	return l
}

// place is what a data key may be bound to: an identity, and where it is filed.
type place struct {
	identity [48]byte
	slots    [3]decryptor.Slot
}

// places gives each place that is named anywhere.
func (th *thief) places() map[place]bool {
	th.t.Helper()
	found := map[place]bool{}
	for key, contents := range th.blobs {
		for _, b := range contents {
			if strings.HasPrefix(key, "recordings/") {
				w, err := decryptor.WrapOf([]byte(b))
				if err != nil {
					th.t.Fatalf("%s: %v", key, err)
				}
				found[place{w.Identity, w.Slots}] = true
			}
			if strings.HasPrefix(key, "refiled/") {
				f, err := decryptor.ParseFiling([]byte(b))
				if err != nil || f.Key() != key {
					th.t.Fatalf("%s: %v", key, err)
				}
				found[place{f.Identity, f.Slots}] = true
			}
		}
	}
	identities := map[string][48]byte{}
	for _, r := range th.rows {
		if r.table == "versions" {
			identities[r.text("version")] = [48]byte([]byte(r.text("tenant") + r.text("recording") + r.text("version")))
		}
	}
	for _, r := range th.rows {
		if r.values["slot_recording"] != nil && r.values["slot_day"] != nil { // of versions, and of filings
			found[place{identities[r.text("version")], [3]decryptor.Slot{
				{Tree: decryptor.Recordings, Number: r.number("slot_recording")},
				{Tree: decryptor.Subjects, Number: r.number("slot_subject")},
				{Tree: decryptor.Days, Number: r.number("slot_day")},
			}}] = true
		}
	}
	return found
}

func (r row) text(column string) string {
	b, _ := r.values[column].([]byte)
	return string(b)
}

func (r row) number(column string) uint64 {
	n, _ := r.values[column].(int64)
	return uint64(n)
}

const wrapSize = 60 // of a wrapped data key

// wraps gives all that may be a wrapped data key: what the blobs have, every value of
// that length in any row, and in the write-ahead log what stands behind the byte by
// which PostgreSQL says so long a value begins.
func (th *thief) wraps() map[[wrapSize]byte]bool {
	found := map[[wrapSize]byte]bool{}
	for key, contents := range th.blobs {
		for _, b := range contents {
			switch {
			case strings.HasPrefix(key, "recordings/"):
				found[[wrapSize]byte([]byte(b)[96:])] = true
			case strings.HasPrefix(key, "refiled/"):
				found[[wrapSize]byte([]byte(b)[88:])] = true
			}
		}
	}
	for _, r := range th.rows {
		for _, v := range r.values {
			if b, ok := v.([]byte); ok && len(b) == wrapSize {
				found[[wrapSize]byte(b)] = true
			}
		}
	}
	const short = (1+wrapSize)<<1 | 1 // PostgreSQL, Database Physical Storage, TOAST
	for _, b := range th.wal() {
		for i, c := range b {
			if c == short && len(b)-i > wrapSize {
				found[[wrapSize]byte(b[i+1:])] = true
			}
		}
	}
	return found
}

// wal gives the segments of the write-ahead log that were archived.
func (th *thief) wal() (all [][]byte) {
	if th.s.Store != nil {
		th.archive.Wait(th.t)
		th.walk(th.archive.Dir, func(_ string, b []byte) { all = append(all, bytes.TrimRight(b, "\x00")) })
	}
	return all
}

// openWraps unwraps data keys: every one under every place whose slots have a key.
func (th *thief) openWraps(l loot, t tree, wraps map[[wrapSize]byte]bool, places map[place]bool) {
	for p := range places {
		var keys [3][32]byte
		var err error
		for i, s := range p.slots {
			if err == nil {
				keys[i], err = t.Key(s)
			}
		}
		if err != nil {
			continue
		}
		open, err := decryptor.Wrap{Identity: p.identity, Slots: p.slots}.Opener(keys)
		if err != nil {
			th.t.Fatal(err)
		}
		for b := range wraps {
			if key, err := open(b); err == nil {
				l.keys[hex.EncodeToString(p.identity[32:])] = dek{key, p.identity}
			}
		}
	}
}

// openRecordings opens with every data key every blob, and what filings and rows may
// hold of one.
func (th *thief) openRecordings(l loot) {
	values := map[string]bool{}
	for key, contents := range th.blobs {
		for _, b := range contents {
			if f, err := decryptor.ParseFiling([]byte(b)); err == nil && strings.HasPrefix(key, "refiled/") {
				values[string(f.Facts)] = true
			}
		}
	}
	for _, r := range th.rows {
		for _, v := range r.values {
			if b, ok := v.([]byte); ok {
				values[string(b)] = true
			}
		}
	}
	for _, k := range l.keys {
		for key, contents := range th.blobs {
			if !strings.HasPrefix(key, "recordings/") {
				continue
			}
			for _, b := range contents {
				if c, err := decryptor.WithDEK(k.key, []byte(b)); err == nil {
					l.sounds[sha256.Sum256(c.Source)] = true
					l.clear[string(c.Facts)], l.clear[string(c.EndFacts)] = true, true
				}
			}
		}
		for _, open := range []func([32]byte, [48]byte, []byte) ([]byte, error){decryptor.Facts, decryptor.Layout, decryptor.List} {
			for v := range values {
				if plain, err := open(k.key, k.identity, []byte(v)); err == nil {
					l.clear[string(plain)] = true
				}
			}
		}
	}
}

// openSystem opens what the system tree seals, in blobs and in rows.
func (th *thief) openSystem(l loot, t tree) {
	tenant := t.head.Tenant[:]
	open := func(s decryptor.Slot, label string, bind, sealed []byte) {
		if plain, err := t.Unseal(s, "lethe/v1/"+label, append(bytes.Clone(tenant), bind...), sealed); err == nil {
			l.clear[string(plain)] = true
			l.kinds[label]++
		}
	}
	settings, credentials := decryptor.SystemSlot(decryptor.Settings, 0), decryptor.SystemSlot(decryptor.Credentials, 0)
	for key, contents := range th.blobs {
		at := strings.Split(key, "/")
		last, _ := hex.DecodeString(at[len(at)-1])
		for _, b := range contents {
			switch at[0] {
			case "journal":
				open(settings, "journal", last, []byte(b))
			case "erasures":
				base, _ := hex.DecodeString(at[2])
				open(settings, "erasure", append(base, last...), []byte(b))
			}
		}
	}
	for _, r := range th.rows {
		sealed := []byte(r.text("sealed"))
		switch r.table {
		case "buckets":
			open(settings, "bucket", []byte(r.text("bucket")), sealed)
		case "credentials":
			key, _ := r.values["access_key"].(string)
			open(credentials, "credential", []byte(key), sealed)
		case "tokens":
			open(credentials, "token", []byte(r.text("hash")), sealed)
		case "holds":
			open(decryptor.Slot{Tree: decryptor.Recordings, Number: r.number("slot")}, "hold", []byte(r.text("id")), sealed)
		case "events":
			open(month(r.number("happened_at")), "audit", []byte(r.text("id")), sealed)
		case "erasures":
			base := binary.BigEndian.AppendUint64(nil, r.number("base"))
			open(settings, "erasure", append(base, r.text("id")...), []byte(r.text("record")))
		}
	}
	for generation := range uint64(3) {
		if key, err := t.Key(decryptor.SystemSlot(decryptor.Indexes, generation+1)); err == nil {
			l.indexes[key] = generation + 1
		}
	}
}

// month is the slot of the month of a time in microseconds.
func month(at uint64) decryptor.Slot {
	t := time.UnixMicro(int64(at)).UTC()
	return decryptor.SystemSlot(decryptor.AuditMonth, uint64(12*t.Year())+uint64(t.Month())-1)
}

// opens checks that the loot has all that lives, and nothing that was erased.
func (l loot) opens(t *testing.T, when string, v *vault) {
	t.Helper()
	live := map[string]bool{}
	for _, c := range v.live() {
		live[c.version] = true
		if _, ok := l.keys[c.version]; !ok {
			t.Errorf("%s: %v lives, and its data key does not open", when, c)
		}
		for i, part := range c.parts {
			if !l.sounds[sha256.Sum256(part)] {
				t.Errorf("%s: %v lives, and part %d does not open", when, c, i)
			}
		}
	}
	for version := range l.keys {
		if !live[version] {
			t.Errorf("%s: the data key of %s opens, which does not live", when, version)
		}
	}
	gone := 0
	for _, c := range v.gones() {
		for i, part := range c.parts {
			gone++
			if l.sounds[sha256.Sum256(part)] {
				t.Errorf("%s: %v was erased, and part %d opens", when, c, i)
			}
		}
	}
	for what, needle := range v.forgotten() {
		for plain := range l.clear {
			if strings.Contains(plain, string(needle)) {
				t.Errorf("%s: %s is told by %q", when, what, plain)
			}
		}
	}
	for _, kind := range []string{"journal", "erasure", "bucket", "credential", "token", "hold", "audit"} {
		if l.kinds[kind] == 0 {
			t.Errorf("%s: no %s opens: this thief does not know the vault", when, kind)
		}
	}
	if len(live) == 0 || gone == 0 || len(l.clear) < len(live) {
		t.Errorf("%s: %d live, %d parts are gone: this proves nothing", when, len(live), gone)
	}
	t.Logf("%s: %v; %d recordings live and open, %d parts of erased ones do not", when, l, len(live), gone)
}

// forgotten are names and numbers of which only erased calls told, and the salts.
func (v *vault) forgotten() map[string][]byte {
	told := v.unkept()
	told[erased] = []byte(erased)
	for _, c := range v.gones() {
		told[c.name] = []byte(c.name)
	}
	for _, c := range v.live() {
		delete(told, c.name)
	}
	return told
}

// unkept are the salts of what was erased, as they may be written.
func (v *vault) unkept() map[string][]byte {
	needles := map[string][]byte{}
	for i, salt := range v.salts() {
		blind.AddBytes(needles, fmt.Sprintf("the salt of erasure %s", v.erasures[i].ID), string(salt))
	}
	return needles
}
