package decryptor_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// An upload in parts, as its client knows it.
type upload struct {
	v      vault
	caller gateway.Caller
	id     gateway.UploadID
	sent   map[int][]byte // by part number, the newest
	parts  []gateway.PartName
	info   recording.Info // once completed
}

// begin opens an upload whose parts have CRCs. Its own is that of its source if
// its bucket is kept, else that of its parts' CRCs.
func (v vault) begin(c gateway.Caller, b recording.Bucket, name recording.Name) *upload {
	v.t.Helper()
	id, err := v.CreateUpload(v.t.Context(), c, gateway.Description{
		Bucket: b, Name: name, Metadata: map[string]string{"lethe-subject": "+49 30 1234567", "device": "desk 7"},
		Checksum: "crc32", FullChecksum: b == kept,
	})
	if err != nil {
		v.t.Fatalf("CreateUpload: %v", err)
	}
	return &upload{v: v, caller: c, id: id, sent: make(map[int][]byte)}
}

// A crcBody has the CRC-32 of its content too.
type crcBody struct {
	gateway.Body
	content []byte
}

func (b crcBody) Digests() recording.Digests {
	d := maps.Clone(b.Body.Digests())
	d["crc32"] = hex.EncodeToString(crc(b.content))
	return d
}

func crc(b []byte) []byte { return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)) }

func (u *upload) put(number int, content []byte) {
	u.v.t.Helper()
	sent := gatewaytest.Upload(u.id.Bucket, u.id.Name, content).Sent
	sent.Body = crcBody{sent.Body, content}
	p, err := u.v.PutPart(u.v.t.Context(), u.caller, gateway.PartUpload{
		UploadID: u.id, Number: number, Sent: sent, Checksum: "crc32",
	})
	if err != nil {
		u.v.t.Fatalf("PutPart(%d), %d bytes: %v", number, len(content), err)
	}
	u.parts = slices.DeleteFunc(u.parts, func(n gateway.PartName) bool { return n.Number == number })
	u.parts = append(u.parts, gateway.PartName{Number: number, ETag: p.ETag})
	u.sent[number] = content
}

// complete ends the upload with all its parts but those left out.
func (u *upload) complete(without ...int) {
	u.v.t.Helper()
	for _, number := range without {
		u.parts = slices.DeleteFunc(u.parts, func(n gateway.PartName) bool { return n.Number == number })
		delete(u.sent, number)
	}
	slices.SortFunc(u.parts, func(a, b gateway.PartName) int { return a.Number - b.Number })
	var err error
	all := gateway.Completion{UploadID: u.id, Parts: u.parts, Size: -1, Class: recording.ClassB}
	if u.info, err = u.v.CompleteUpload(u.v.t.Context(), u.caller, all); err != nil {
		u.v.t.Fatalf("CompleteUpload: %v", err)
	}
}

// source is what was sent, joined.
func (u *upload) source() []byte {
	var b []byte
	for _, p := range u.parts {
		b = append(b, u.sent[p.Number]...)
	}
	return b
}

func (u *upload) identity() [48]byte {
	id := recording.Identity{Tenant: u.caller.Tenant, Recording: u.info.ID, Version: u.info.Version}
	return [48]byte(id.Append(nil))
}

// blobs are those of the upload, by key; list is the one of its list.
func (u *upload) blobs() (stored map[string][]byte, list []byte) {
	u.v.t.Helper()
	stored = u.v.recordings(u.caller.Tenant)
	identity := u.identity()
	maps.DeleteFunc(stored, func(_ string, blob []byte) bool { return !bytes.Equal(blob[16:64], identity[:]) })
	lists := decryptor.Lists(stored)
	if len(lists) != 1 {
		u.v.t.Fatalf("%s: %d lists among %d blobs, want 1", u.id.Name, len(lists), len(stored))
	}
	return stored, stored[lists[0]]
}

// cataloged is what the catalog keeps of the list.
func (u *upload) cataloged() (layout, list []byte) {
	u.v.t.Helper()
	row, err := u.v.Catalog.Version(u.v.t.Context(), u.caller.Tenant, u.info.Version)
	if err != nil {
		u.v.t.Fatalf("Version: %v", err)
	}
	list, err = u.v.Catalog.PartList(u.v.t.Context(), u.caller.Tenant, u.info.Version)
	if err != nil {
		u.v.t.Fatalf("PartList: %v", err)
	}
	return row.SealedEnd, list
}

// uploads puts recordings in parts of sizes around every border of the format.
func (v vault) uploads(callers map[recording.Bucket]gateway.Caller) []*upload {
	v.t.Helper()
	// 64403 bytes fill the first segment with end facts, index and footer.
	sizes := []int{0, 1, 64403, 64404, 65503, 65504, 65505, 262143, 262144, 262145, 1 << 20}
	var all []*upload
	for bucket, caller := range callers {
		borders := v.begin(caller, bucket, "borders.wav")
		for i := len(sizes) - 1; i >= 0; i-- { // the last first, and numbers with gaps
			borders.put(1+i*999, noise(uint64(i), sizes[i]))
		}
		borders.put(10000, noise(99, 10))
		borders.complete()

		again := v.begin(caller, bucket, "again.wav")
		for number := range 6 {
			again.put(number+2, noise(uint64(number), 70_000))
		}
		again.put(3, noise(100, 70_000)) // as long as before
		again.put(4, noise(101, 0))
		again.put(5, noise(102, 300_000))
		again.put(5, noise(103, 5))
		again.complete(2, 6)

		empty := v.begin(caller, bucket, "empty.wav")
		empty.put(7, nil)
		empty.complete()

		all = append(all, borders, again, empty)
	}
	return all
}

// partFacts are the end facts of a part and of a recording in parts.
type partFacts struct {
	endFacts
	Class     string            `json:"class"`
	ETag      string            `json:"etag"`
	Parts     int               `json:"parts"`
	Composite map[string]string `json:"composite"`
}

// docs/envelope.md, Parts.
func TestPartsOpen(t *testing.T) {
	for provider, open := range providers {
		t.Run(provider, func(t *testing.T) { testPartsOpen(t, open(t)) })
	}
}

func testPartsOpen(t *testing.T, v vault) {
	tenant := v.Tenant("acme").Tenant
	callers := map[recording.Bucket]gateway.Caller{
		calls: v.recorder("acme", gateway.BucketSettings{Name: calls}),
		kept:  v.recorder("acme", gateway.BucketSettings{Name: kept, RetentionDays: retentionDays}),
	}
	uploads := v.uploads(callers)
	v.put(callers[calls], gatewaytest.Upload(calls, "whole.wav", noise(1, 1000))) // beside them
	tree, other := v.tree(tenant), v.tree(v.tenant("other", 1))
	for _, u := range uploads {
		stored, list := u.blobs()
		got, err := tree.Parts(list, stored)
		if err != nil {
			t.Fatalf("Parts(%s): %v", u.id.Name, err)
		}
		u.check(t, got)
		u.checkBlobs(t, tree, stored, list)
		u.checkCatalog(t, tree, got, stored, list)
		for what, tree := range map[string]decryptor.Tree{"no root": seed(t, tenant, [32]byte{}), "another tenant's tree": other} {
			if got, err := tree.Parts(list, stored); !refused(err) || !empty(got) {
				t.Errorf("%s, %s: Parts = %d bytes, %v; want a refusal", u.id.Name, what, len(got.Source), err)
			}
		}
	}
}

// A list of more than one segment: 117 bytes for each part that is not empty.
func TestLongListOpens(t *testing.T) {
	t.Parallel() // beside those that wait for a lease
	v := newVault(t)
	tenant := v.Tenant("acme").Tenant
	u := v.begin(v.recorder("acme", gateway.BucketSettings{Name: kept}), kept, "long.wav")
	for i := range 600 {
		u.put(1+i*16, noise(uint64(i), 1+i%3))
	}
	u.complete()
	stored, list := u.blobs()
	got, err := v.tree(tenant).Parts(list, stored)
	if err != nil || len(got.List) <= 65504 {
		t.Fatalf("Parts: a list of %d bytes, %v", len(got.List), err)
	}
	u.check(t, got)
}

// check compares what was opened with what was sent.
func (u *upload) check(t *testing.T, got decryptor.Recording) {
	t.Helper()
	var f struct {
		facts
		Checksum     string `json:"checksum"`
		FullChecksum bool   `json:"full_checksum"`
	}
	var end partFacts
	if err := errors.Join(json.Unmarshal(got.Facts, &f), json.Unmarshal(got.EndFacts, &end)); err != nil {
		t.Fatalf("%s: %v", u.id.Name, err)
	}
	equal(t, string(u.id.Name), got.Source, u.source())
	if want := fmt.Sprintf("%x-%d", u.info.Version[:], len(u.parts)); u.info.ETag != want {
		t.Errorf("%s: ETag %q, want %q", u.id.Name, u.info.ETag, want)
	}
	if f.Name != string(u.id.Name) || f.Bucket != u.id.Bucket || f.Metadata["device"] != "desk 7" ||
		len(f.Subjects) != 1 || f.Subjects[0] != "+49301234567" {
		t.Errorf("%s: facts = %+v", u.id.Name, f)
	}
	if end.Size != int64(len(u.source())) || end.Parts != len(u.parts) || end.Class != string(u.info.Class) || end.ETag != "" {
		t.Errorf("%s: end facts = %+v", u.id.Name, end)
	}
	if len(got.Parts) != len(u.parts) {
		t.Fatalf("%s: %d parts, want %d", u.id.Name, len(got.Parts), len(u.parts))
	}
	var sums, crcs []byte
	for i, p := range got.Parts {
		content := u.sent[u.parts[i].Number]
		equal(t, fmt.Sprintf("%s, part %d", u.id.Name, p.Number), p.Source, content)
		equal(t, fmt.Sprintf("%s, facts of part %d", u.id.Name, p.Number), p.Facts, got.Facts)
		var end partFacts
		if err := json.Unmarshal(p.EndFacts, &end); err != nil {
			t.Fatalf("%s: %v", u.id.Name, err)
		}
		sum := sha256.Sum256(content)
		sums, crcs = append(sums, sum[:]...), append(crcs, crc(content)...)
		if int(p.Number) != u.parts[i].Number || end.ETag != u.parts[i].ETag || end.Size != int64(len(content)) ||
			end.Parts != 0 || end.Digests["sha256"] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: part %d, end facts %+v", u.id.Name, p.Number, end)
		}
	}
	if full := u.id.Bucket == kept; f.Checksum != "crc32" || f.FullChecksum != full ||
		full && end.Digests["crc32"] != hex.EncodeToString(crc(u.source())) ||
		!full && end.Composite["crc32"] != hex.EncodeToString(crc(crcs)) {
		t.Errorf("%s: facts = %+v, end facts = %+v; want another CRC-32", u.id.Name, f, end)
	}
	if sum := sha256.Sum256(sums); end.Composite["sha256"] != hex.EncodeToString(sum[:]) {
		t.Errorf("%s: composite = %v", u.id.Name, end.Composite)
	}
}

// checkBlobs sees that each blob opens alone, and that their prefixes differ in
// nothing but the part number.
func (u *upload) checkBlobs(t *testing.T, tree decryptor.Tree, stored map[string][]byte, list []byte) {
	t.Helper()
	sealed := list[16 : 160+binary.BigEndian.Uint32(list[156:])]
	for key, blob := range stored {
		if _, _, _, err := tree.Blob(blob); err != nil {
			t.Errorf("%s, Blob(%s): %v", u.id.Name, key, err)
		}
		if !bytes.HasPrefix(blob[16:], sealed) {
			t.Errorf("%s: %s has other facts, slots or wrapped key than the list", u.id.Name, key)
		}
	}
	s := sample{Upload: gateway.Upload{Description: gateway.Description{Name: u.id.Name, Bucket: u.id.Bucket, Metadata: map[string]string{}}}, info: u.info}
	rawFacts, _, _, _ := tree.Blob(list)
	var f facts
	if err := json.Unmarshal(rawFacts, &f); err != nil {
		t.Fatal(err)
	}
	s.checkPrefix(t, list, u.caller.Tenant, f)
}

// checkCatalog sees that the catalog's layout and list are those of the blob.
func (u *upload) checkCatalog(t *testing.T, tree decryptor.Tree, want decryptor.Recording, stored map[string][]byte, list []byte) {
	t.Helper()
	dek, err := tree.DEK(list)
	if err != nil {
		t.Fatal(err)
	}
	layout, sealed := u.cataloged()
	got, err := decryptor.Cataloged(dek, u.identity(), layout, sealed, stored)
	if err != nil {
		t.Fatalf("Cataloged(%s): %v", u.id.Name, err)
	}
	for what, dek := range map[string][32]byte{"no key": {}, "another key": sha256.Sum256(dek[:])} {
		if got, err := decryptor.Cataloged(dek, u.identity(), layout, sealed, stored); !refused(err) || !empty(got) {
			t.Errorf("%s, %s: opens by its catalog: %v", u.id.Name, what, err)
		}
		if list, err := decryptor.List(dek, u.identity(), sealed); !refused(err) || list != nil {
			t.Errorf("%s, %s: List = %d bytes, %v", u.id.Name, what, len(list), err)
		}
	}
	equal(t, "source by the catalog", got.Source, want.Source)
	equal(t, "facts by the catalog", got.Facts, want.Facts)
	equal(t, "end facts by the catalog", got.EndFacts, want.EndFacts)
	equal(t, "list in the catalog", got.List, want.List)
	c, err := decryptor.WithDEK(dek, list)
	if err != nil {
		t.Fatal(err)
	}
	if layout, err = decryptor.Layout(dek, u.identity(), layout); err != nil {
		t.Fatal(err)
	}
	equal(t, "layout of the list", c.Layout, layout)
}

func empty(r decryptor.Recording) bool {
	return r.Facts == nil && r.EndFacts == nil && r.List == nil && r.Parts == nil && r.Source == nil
}

// docs/envelope.md, Parts: "the list says which of them is the recording's".
func TestOtherPartsDoNotOpen(t *testing.T) {
	for provider, open := range providers {
		t.Run(provider, func(t *testing.T) { testOtherPartsDoNotOpen(t, open(t)) })
	}
}

func testOtherPartsDoNotOpen(t *testing.T, v vault) {
	tenant := v.Tenant("acme").Tenant
	caller := v.recorder("acme", gateway.BucketSettings{Name: calls})
	u := v.begin(caller, calls, "a.wav")
	u.put(1, noise(1, 1000))
	u.put(2, noise(2, 1000))
	before := v.recordings(tenant) // with the first attempt at part 2, whatever becomes of it
	u.put(2, noise(3, 1000))
	u.put(3, noise(4, 70_000))
	u.complete()
	b := v.begin(caller, calls, "b.wav")
	b.put(1, noise(1, 1000))
	b.put(2, noise(3, 1000))
	b.complete()

	tree := v.tree(tenant)
	stored, list := u.blobs()
	otherStored, otherList := b.blobs()
	good, err := tree.Parts(list, stored)
	if err != nil {
		t.Fatal(err)
	}
	other, err := tree.Parts(otherList, otherStored)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{good.Parts[0].Key, good.Parts[1].Key, good.Parts[2].Key}
	delete(before, keys[0])
	attempts := slices.Collect(maps.Values(before))
	if len(attempts) != 1 || bytes.Equal(attempts[0], stored[keys[1]]) {
		t.Fatalf("%d blobs besides part 1, want the first attempt at part 2", len(attempts))
	}
	attempt := attempts[0]
	refuse := func(what string, list []byte, change map[string][]byte) {
		t.Helper()
		changed := maps.Clone(stored)
		for key, blob := range change {
			if changed[key] = blob; blob == nil {
				delete(changed, key)
			}
		}
		if got, err := tree.Parts(list, changed); !refused(err) || !empty(got) {
			t.Errorf("%s: Parts = %d bytes, %v; want a refusal", what, len(got.Source), err)
		}
	}
	one, two, three := stored[keys[0]], stored[keys[1]], stored[keys[2]]
	refuse("an earlier attempt", list, map[string][]byte{keys[1]: attempt})
	refuse("the head of an earlier attempt", list, map[string][]byte{keys[1]: join(attempt[:len(attempt)-1200], two[len(two)-1200:])})
	refuse("another part", list, map[string][]byte{keys[0]: two})
	refuse("parts exchanged", list, map[string][]byte{keys[0]: two, keys[1]: one})
	refuse("the same part of another recording", list, map[string][]byte{keys[0]: otherStored[other.Parts[0].Key]})
	refuse("the list in place of a part", list, map[string][]byte{keys[0]: list})
	refuse("the list of another recording", otherList, nil)
	refuse("a part in place of the list", one, nil)
	refuse("no blob", list, map[string][]byte{keys[0]: {}})
	for i, key := range keys {
		blob := stored[key]
		refuse(fmt.Sprintf("part %d missing", i+1), list, map[string][]byte{key: nil})
		refuse(fmt.Sprintf("part %d cut", i+1), list, map[string][]byte{key: blob[:len(blob)-1]})
		refuse(fmt.Sprintf("part %d extended", i+1), list, map[string][]byte{key: join(blob, []byte{0})})
		renumbered := bytes.Clone(blob)
		renumbered[15]++
		refuse(fmt.Sprintf("part %d renumbered", i+1), list, map[string][]byte{key: renumbered})
	}
	refuse("a segment of a part cut", list, map[string][]byte{keys[2]: three[:len(three)-len(three)%65536]})
	for i := range list {
		changed := bytes.Clone(list)
		changed[i] ^= 0x40
		refuse(fmt.Sprintf("byte %d of the list's blob changed", i), changed, nil)
		if i%16 == 0 {
			refuse(fmt.Sprintf("the list's blob cut to %d bytes", i), list[:i], nil)
		}
	}
	for key, blob := range otherStored { // beside them, another recording's change nothing
		stored[key] = blob
	}
	if got, err := tree.Parts(list, stored); err != nil || !bytes.Equal(got.Source, u.source()) {
		t.Errorf("beside another recording: %d bytes, %v", len(got.Source), err)
	}
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// A list that is sealed rightly, and proved by its end facts, is refused for
// what it says; docs/envelope.md, What is refused. Whoever holds the DEK and
// writes the catalog can make one, and the gateway is shown it too.
func TestListsRefused(t *testing.T) {
	v := newVault(t)
	v.Tenant("acme")
	u := v.begin(v.recorder("acme", gateway.BucketSettings{Name: calls}), calls, "a.wav")
	u.put(1, nil)
	u.put(2, noise(2, 1000))
	u.put(3, noise(3, 262144))
	u.put(10000, noise(4, 262145))
	u.complete()
	accessKey, _ := v.Key("acme", gateway.NewKey{Kind: policy.Reader, Bucket: string(calls), Purpose: "test"})
	stored, blob := u.blobs()
	dek, err := v.tree(u.caller.Tenant).DEK(blob)
	if err != nil {
		t.Fatal(err)
	}
	c, err := decryptor.WithDEK(dek, blob)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(v.Dir, "catalog.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := lister{t: t, upload: u, reader: v.Caller(accessKey), dek: dek, stored: stored, list: c, db: db}

	good := c.Source
	l.same(l.ends(good), good)
	l.refuse("an earlier list", l.ends(good), join(good[:11], []byte{3}, good[12+104:]))
	for what, list := range badLists(good) {
		l.refuse(what, l.ends(list), list)
	}
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 1
		l.refuse(fmt.Sprintf("byte %d changed", i), l.ends(good), changed)
		proved := fmt.Sprintf("byte %d changed, and proved", i)
		if i < 12+4 || i >= 12+104 {
			l.refuse(proved, l.ends(changed), changed)
		} else { // part 1 has no source byte, so that no range comes to its blob
			l.refuseAll(proved, l.ends(changed), changed)
		}
		l.refuse(fmt.Sprintf("cut to %d bytes", i), l.ends(good[:i]), good[:i])
	}
	for _, edit := range []struct{ was, is string }{
		{`"size":525289`, `"size":525288`},
		{`"size":525289`, `"size":525290`},
		{`"parts":4`, `"parts":5`},
		{`"parts":4`, `"parts":0`},
		{`"part_list"`, `"part-list"`},
	} {
		l.refuse("end facts with "+edit.is, strings.Replace(l.ends(good), edit.was, edit.is, 1), good)
	}
}

// badLists are lists that a reader must not take, made from a good one of the
// parts 1 (empty), 2 (one frame), 3 (one whole frame), 10000 (two).
func badLists(good []byte) map[string][]byte {
	const one = 12 // where the parts begin
	const two = one + 104
	const three = two + 117
	const last = three + 117
	set := func(at int, to ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], to)
		return b
	}
	count := func(n byte, rest ...[]byte) []byte { return join(good[:11], []byte{n}, join(rest...)) }
	p1, p2, p3, p4 := good[one:two], good[two:three], good[three:last], good[last:]
	withIndex := func(n byte, index ...[]byte) []byte {
		return count(4, p1, p2, p3[:103], []byte{n}, join(index...), p4)
	}
	entry := func(frames, stored, source uint32, codec byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, frames)
		b = binary.BigEndian.AppendUint32(b, stored)
		return append(binary.BigEndian.AppendUint32(b, source), codec)
	}
	const frame = 262144
	return map[string][]byte{
		"no list":                    {},
		"another magic":              set(7, '2'),
		"no part":                    join(good[:8], make([]byte, 4)),
		"no part, but some follow":   count(0, p1, p2, p3, p4),
		"fewer parts than follow":    count(3, p1, p2, p3, p4),
		"more parts than follow":     count(5, p1, p2, p3, p4),
		"more than 10000 parts":      set(8, 0, 0, 0x27, 0x11),
		"as many parts as can be":    set(8, 0xFF, 0xFF, 0xFF, 0xFF),
		"a byte after the last":      join(good, []byte{0}),
		"number 0":                   set(one, 0, 0, 0, 0),
		"number 10001":               set(last, 0, 0, 0x27, 0x11),
		"number of the list":         set(last, 0xFF, 0xFF, 0xFF, 0xFF),
		"descending":                 count(4, p1, p3, p2, p4),
		"a part twice":               count(4, p1, p2, p2, p4),
		"where another is":           set(two+4, p3[4:20]...),
		"nowhere":                    set(two+4, make([]byte, 16)...),
		"another F":                  set(two+20, p2[20], p2[21]+1),
		"F that no prefix holds":     set(two+20, 0xFF, 0xFF),
		"another's header":           set(two+22, p3[22:96]...),
		"other parameters":           set(two+22, 0, 1),
		"E of 0":                     set(two+96, 0, 0, 0, 0),
		"E of 1023":                  set(two+96, 0, 0, 3, 0xFF),
		"E of 2048":                  set(two+96, 0, 0, 8, 0),
		"E above its bound":          set(two+96, 0, 0x10, 4, 0),
		"E as large as can be":       set(two+96, 0xFF, 0xFF, 0xFC, 0),
		"index missing":              withIndex(0),
		"index of another length":    withIndex(1, entry(1, 1000, 1000, 0)),
		"an entry of no frame":       withIndex(2, entry(1, frame, frame, 0), entry(0, 1, 1, 0)),
		"an empty entry":             withIndex(1, entry(1, 0, 0, 0)),
		"another codec":              withIndex(1, entry(1, frame, frame, 1)),
		"fewer stored":               withIndex(1, entry(1, frame-1, frame, 0)),
		"frames too long":            withIndex(1, entry(1, frame+1, frame+1, 0)),
		"a short frame twice":        withIndex(1, entry(2, 1000, 1000, 0)),
		"a short frame first":        withIndex(2, entry(1, 1000, 1000, 0), entry(1, frame, frame, 0)),
		"neighbours that are one":    withIndex(2, entry(1, frame, frame, 0), entry(1, frame, frame, 0)),
		"longer than a source":       withIndex(1, entry(1<<25+1, frame, frame, 0)),
		"a sum that wraps":           withIndex(2, entry(1<<31, 1<<31, 1<<31, 0), entry(1<<31, 1<<31, 1<<31, 0)),
		"more entries than there is": withIndex(0xFF, entry(1, frame, frame, 0)),
	}
}

// A lister puts lists of its own into the catalog, as whoever holds the DEK can.
type lister struct {
	t *testing.T
	*upload
	reader gateway.Caller
	dek    [32]byte
	stored map[string][]byte
	list   decryptor.Content // of the blob of the list that there was
	db     *sql.DB           // the catalog
}

// ends are the recording's end facts, padded, with the hash of another list.
func (l lister) ends(list []byte) string {
	was, is := sha256.Sum256(l.list.Source), sha256.Sum256(list)
	ends := strings.Replace(string(l.list.EndFacts), hex.EncodeToString(was[:]), hex.EncodeToString(is[:]), 1)
	return ends + strings.Repeat(" ", 1024-len(ends))
}

// same sees that end facts and list open to what was sent.
func (l lister) same(ends string, list []byte) {
	l.t.Helper()
	layout, sealed := l.catalog(ends, list)
	own, err := decryptor.Cataloged(l.dek, l.identity(), layout, sealed, l.stored)
	if err != nil {
		l.t.Fatalf("Cataloged, sealed by the test: %v", err)
	}
	equal(l.t, "by the decryptor", own.Source, l.source())
	gateway, err := l.read(layout, sealed)
	if err != nil {
		l.t.Fatalf("read through the gateway, sealed by the test: %v", err)
	}
	equal(l.t, "by the gateway", gateway, l.source())
}

// refuse sees that neither the decryptor nor a range from end to end opens.
func (l lister) refuse(what, ends string, list []byte) {
	l.t.Helper()
	l.refuseAll(what, ends, list)
	if _, err := l.read(l.catalog(ends, list)); !errors.Is(err, recording.ErrIntegrity) {
		l.t.Errorf("%s: read through the gateway: %v, want ErrIntegrity", what, err)
	}
}

// refuseAll sees that the decryptor, which opens all, does not.
func (l lister) refuseAll(what, ends string, list []byte) {
	l.t.Helper()
	layout, sealed := l.catalog(ends, list)
	got, err := decryptor.Cataloged(l.dek, l.identity(), layout, sealed, l.stored)
	if !refused(err) || !empty(got) {
		l.t.Errorf("%s: Cataloged = %d bytes, %v; want a refusal", what, len(got.Source), err)
	}
}

// catalog seals end facts and list as a catalog keeps them.
func (l lister) catalog(ends string, list []byte) (layout, sealed []byte) {
	l.t.Helper()
	be, size := binary.BigEndian, uint64(len(list))
	var index []byte
	if size > 0 {
		index = append(be.AppendUint32(be.AppendUint32(be.AppendUint32(nil, 1), uint32(size)), uint32(size)), 0)
	}
	footer := be.AppendUint32(be.AppendUint32([]byte("LETHEEND"), 1), uint32(len(index)/13))
	for _, field := range []uint64{size, size, 1024, size + 1024, uint64(len(index)), 0} {
		footer = be.AppendUint64(footer, field)
	}
	layout = join(l.list.Layout[:64+74], []byte(ends), index, footer)
	return l.seal("lethe/v1/end-facts", layout), l.seal("lethe/v1/parts", list)
}

// seal seals plain whole under a key of the DEK's; docs/envelope.md, Keys.
func (l lister) seal(label string, plain []byte) []byte {
	l.t.Helper()
	key, err := hkdf.Expand(sha256.New, l.dek[:], label, 32)
	if err != nil {
		l.t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		l.t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		l.t.Fatal(err)
	}
	identity := l.identity()
	return gcm.Seal(nil, nil, plain, join([]byte(label), identity[:]))
}

// read writes layout and list to the catalog, behind the gateway's back, and
// reads the whole recording through it.
func (l lister) read(layout, sealed []byte) ([]byte, error) {
	l.t.Helper()
	_, err := l.db.ExecContext(l.t.Context(), `UPDATE versions SET sealed_end = $1 WHERE version = $2`, layout, l.info.Version[:])
	if err == nil {
		_, err = l.db.ExecContext(l.t.Context(), `UPDATE part_lists SET sealed = $1 WHERE version = $2`, sealed, l.info.Version[:])
	}
	if err != nil {
		l.t.Fatal(err)
	}
	r, err := l.v.Open(l.t.Context(), l.reader, l.id.Bucket, l.id.Name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	body, err := r.Range(l.t.Context(), 0, r.Info.Size)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(body)
	return b, errors.Join(err, body.Close())
}
