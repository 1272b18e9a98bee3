// Package storetest holds an implementation of blob.Store to its contract,
// sentence by sentence. A store's own test is one call of Run.
package storetest

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// Run runs every script and every race against a store of its own, empty,
// that open gives.
func Run(t *testing.T, open func(*testing.T) blob.Store) {
	for _, s := range scripts {
		t.Run(s.name, func(t *testing.T) {
			store := open(t)
			for _, op := range s.ops {
				op(t, store)
			}
		})
	}
	for name, race := range races {
		t.Run(name, func(t *testing.T) { race(t, open(t)) })
	}
}

// large is more than any implementation buffers, and several parts of a
// multipart upload, with a last one that is cut.
var large = pattern(20<<20 + 7)

var scripts = []struct {
	name string
	ops  []op
}{
	{"a blob is created once", []op{
		create("fruit", "apple", nil),
		create("fruit", "pear", blob.ErrExists),
		createUnsized("fruit", "plum", blob.ErrExists),
		createUnsized("fruit", large, blob.ErrExists),
		read("fruit", 0, toEnd, "apple"),
		createUnsized("nut", "hazel", nil),
		create("nut", "hazel", blob.ErrExists),
		read("nut", 0, toEnd, "hazel"),
	}},
	{"a blob may be empty", []op{
		create("none", "", nil),
		read("none", 0, toEnd, ""),
		read("none", 0, 5, ""),
		read("none", 3, toEnd, ""),
		create("none", "", blob.ErrExists),
		createUnsized("nothing", "", nil),
		read("nothing", 0, toEnd, ""),
		list("", "none", "nothing"),
	}},
	{"a blob may be large", []op{
		create("sized", large, nil),
		createUnsized("unsized", large, nil),
		read("sized", 0, toEnd, large),
		read("unsized", 0, toEnd, large),
		read("unsized", 5<<20-1, 2, large[5<<20-1:5<<20+1]),
		read("sized", 20<<20, toEnd, large[20<<20:]),
	}},
	{"a range is read", []op{
		create("digits", "0123456789", nil),
		read("digits", 0, 1, "0"),
		read("digits", 3, 4, "3456"),
		read("digits", 9, 1, "9"),
		read("digits", 3, toEnd, "3456789"),
		read("digits", 3, 0, ""),
		read("digits", 8, 100, "89"),
		read("digits", 8, 1<<63-1, "89"),
		read("digits", 10, toEnd, ""),
		read("digits", 10, 1, ""),
		read("digits", 100, 5, ""),
		read("digits", 0, 10, "0123456789"),
	}},
	{"what is not there is not found", []op{
		missing("nobody"),
		missing("no/body"),
		create("some/body", "x", nil),
		missing("some/one"),
		missing("some/bod"),
	}},
	{"a reader of another size leaves nothing", []op{
		createSaying(6, "short", "apple", errAny),
		createSaying(4, "long", "apple", errAny),
		createSaying(0, "none", "apple", errAny),
		createSaying(1, "one", "", errAny),
		createSaying(int64(len(large))+1, "larger", large, errAny),
		createSaying(int64(len(large))-1, "smaller", large, errAny),
		missing("short"), missing("long"), missing("none"), missing("one"), missing("larger"), missing("smaller"),
		list(""),
		create("short", "apple", nil),
	}},
	{"a reader that fails leaves nothing", []op{
		createFrom("early", broken(""), 5, errBroken),
		createFrom("midway", broken("app"), 5, errBroken),
		createFrom("at-the-end", broken("apple"), 5, errBroken),
		createFrom("empty", broken(""), 0, errBroken),
		createFrom("unsized", broken("app"), -1, errBroken),
		createFrom("cut", cut("app"), 5, io.ErrUnexpectedEOF),
		createFrom("cut-unsized", cut("app"), -1, io.ErrUnexpectedEOF),
		createFrom("cut-large", cut(large), -1, io.ErrUnexpectedEOF),
		createFrom("large", broken(large), int64(len(large)), errBroken),
		createFrom("large-midway", broken(large), int64(len(large))+5, errBroken),
		createFrom("large-unsized", broken(large), -1, errBroken),
		missing("early"), missing("midway"), missing("at-the-end"), missing("empty"),
		missing("unsized"), missing("cut"), missing("cut-unsized"), missing("cut-large"), missing("large"), missing("large-midway"), missing("large-unsized"),
		list(""),
		create("midway", "apple", nil),
		createFrom("midway", broken("app"), 5, errAny),
		read("midway", 0, toEnd, "apple"),
	}},
	{"a reader may give what it likes at a time", []op{
		createFrom("bytewise", func() io.Reader { return iotest.OneByteReader(strings.NewReader("apple")) }, 5, nil),
		createFrom("with-end", func() io.Reader { return iotest.DataErrReader(strings.NewReader("apple")) }, 5, nil),
		createFrom("halves", func() io.Reader { return iotest.HalfReader(strings.NewReader(large)) }, -1, nil),
		read("bytewise", 0, toEnd, "apple"),
		read("with-end", 0, toEnd, "apple"),
		read("halves", 0, toEnd, large),
	}},
	{"a deleted blob is gone", []op{
		remove("never/was"),
		create("fruit/a", "apple", nil),
		create("fruit/ab", "banana", nil),
		remove("fruit/a"),
		missing("fruit/a"),
		list("", "fruit/ab"),
		read("fruit/ab", 0, toEnd, "banana"),
		remove("fruit/a"),
		create("fruit/a", "pear", nil),
		read("fruit/a", 0, toEnd, "pear"),
	}},
	{"a list is in byte order and of a prefix", []op{
		list(""),
		create("a0", "", nil), create("a/b", "bb", nil), create("a_", "", nil),
		create("a-b", "", nil), create("a/b-c/d", "", nil), create("a/b0", "", nil), create("b", "", nil),
		list("", "a-b", "a/b", "a/b-c/d", "a/b0", "a0", "a_", "b"),
		list("a", "a-b", "a/b", "a/b-c/d", "a/b0", "a0", "a_"),
		list("a/", "a/b", "a/b-c/d", "a/b0"),
		list("a/b", "a/b", "a/b-c/d", "a/b0"),
		list("a/b-", "a/b-c/d"),
		list("a/b-c/d", "a/b-c/d"),
		list("a/b-c/d/"),
		list("c"), list("/"), list("a//"), list("../"), list("a/../b"), list("A"),
		listFirst("a", "a-b"),
	}},
	{"a malformed key is refused", []op{
		malformed(""), malformed("/"), malformed("/a"), malformed("a/"), malformed("a//b"),
		malformed("."), malformed(".."), malformed("../a"), malformed("a/../b"), malformed("a/./b"),
		malformed("A"), malformed("a.b"), malformed("a b"), malformed("a\x00b"), malformed("ä"), malformed(`a\b`),
		malformed(strings.Repeat("a", 65)), malformed(strings.Repeat("a/", 256) + "a"),
		list(""),
		create(strings.Repeat("a", 64), "", nil),
	}},
}

// errBroken is what a broken reader fails with.
var errBroken = errors.New("storetest: the reader broke")

// broken makes readers that give body and then fail instead of ending.
func broken(body string) func() io.Reader { return failing(body, errBroken) }

// cut makes readers that fail after body as a connection does that is cut,
// with an error that is easily taken for an end.
func cut(body string) func() io.Reader { return failing(body, io.ErrUnexpectedEOF) }

func failing(body string, err error) func() io.Reader {
	return func() io.Reader { return io.MultiReader(strings.NewReader(body), iotest.ErrReader(err)) }
}

// pattern gives n bytes in which no two neighbourhoods look alike.
func pattern(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return string(b)
}
