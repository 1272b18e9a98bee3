package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// A blind index is HMAC-SHA-256 under the generation's index key over a label
// and parts, each preceded by its length. It finds equal values and tells
// nothing else, and it dies with its generation's key.
func (s scope) blind(label string, parts ...string) (out catalog.Index) {
	mac := hmac.New(sha256.New, s.index.Bytes())
	for _, part := range append([]string{label}, parts...) {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		mac.Write([]byte(part))
	}
	mac.Sum(out[:0])
	return out
}

func (s scope) bucketIndex(b recording.Bucket) catalog.Index { return s.blind("bucket", string(b)) }

func (s scope) nameIndex(b recording.Bucket, n recording.Name) catalog.Index {
	return s.blind("name", string(b), string(n))
}

func (s scope) dirIndex(b recording.Bucket, dir string) catalog.Index {
	return s.blind("directory", string(b), dir)
}

// erasureIndex finds an erasure by its scope's canonical form.
func (s scope) erasureIndex(of []byte) catalog.Index { return s.blind("erasure", string(of)) }

func (s scope) subjectIndex(sub recording.Subject) catalog.Index {
	return s.blind("subject", string(sub))
}

// terms are the blind indexes a recording is found by.
func (s scope) terms(f recording.Facts) []catalog.Index {
	var out []catalog.Index
	for _, sub := range f.Subjects {
		out = append(out, s.subjectIndex(sub))
	}
	if f.Call != "" {
		out = append(out, s.blind("call", f.Call))
	}
	if f.Agent != "" {
		out = append(out, s.blind("agent", f.Agent))
	}
	return out
}

// directory is the part of a name up to and with its last slash.
func directory(name string) string { return name[:strings.LastIndexByte(name, '/')+1] }

// parents gives the directories a name lies in, innermost first, without the
// root, which every bucket has.
func parents(name string) (dirs []string) {
	for d := directory(name); d != ""; d = directory(d[:len(d)-1]) {
		dirs = append(dirs, d)
	}
	return dirs
}
