package keytree_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// holder is a struct that is passed by value and has a key in it.
type holder struct{ key keytree.Key }

//go:noinline
func traceOf(k keytree.Key) string {
	trace := make([]byte, 1<<16)
	return string(trace[:runtime.Stack(trace, false)]) + fmt.Sprint(k)
}

//go:noinline
func traceIn(h holder) string { return traceOf(h.key) }

// No stack trace shows a byte of a key that is an argument.
func TestKeyInAStackTrace(t *testing.T) {
	var b [keytree.KeySize]byte
	for i := range b {
		b[i] = 0xc0 + byte(i%16)
	}
	k, err := keytree.KeyFrom(b[:])
	if err != nil {
		t.Fatal(err)
	}
	trace := traceIn(holder{k})
	if !strings.Contains(trace, "traceIn(") || !strings.Contains(trace, "traceOf(") {
		t.Fatalf("the trace is none of a key:\n%s", trace)
	}
	if strings.Contains(trace, "0xc0, 0xc1") {
		t.Errorf("a stack trace shows a key:\n%s", trace)
	}
}
