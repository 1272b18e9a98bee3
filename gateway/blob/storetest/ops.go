package storetest

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// An op is one line of a script: it acts on the store and checks the answer.
type op func(t *testing.T, s blob.Store)

// toEnd as the length of a range reads to the end of the blob.
const toEnd = -1

// errAny stands for an error that the contract does not name.
var errAny = errors.New("storetest: any error")

func create(key, body string, want error) op {
	return createSaying(int64(len(body)), key, body, want)
}

func createUnsized(key, body string, want error) op {
	return createSaying(-1, key, body, want)
}

func createSaying(size int64, key, body string, want error) op {
	return createFrom(key, func() io.Reader { return strings.NewReader(body) }, size, want)
}

func createFrom(key string, r func() io.Reader, size int64, want error) op {
	return func(t *testing.T, s blob.Store) {
		t.Helper()
		// The struct hides Seek and WriteTo, which a recorder's body lacks too.
		err := s.Create(t.Context(), key, struct{ io.Reader }{r()}, size)
		check(t, "Create", key, err, want)
	}
}

func read(key string, off, n int64, want string) op {
	return func(t *testing.T, s blob.Store) {
		t.Helper()
		r, err := s.Open(t.Context(), key, off, n)
		if err != nil {
			t.Errorf("Open(%q, %d, %d) = %v", key, off, n, err)
			return
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != want {
			t.Errorf("Open(%q, %d, %d) reads %s, %v, want %s", key, off, n, brief(string(got)), err, brief(want))
		}
		if err := r.Close(); err != nil {
			t.Errorf("close %q: %v", key, err)
		}
	}
}

func missing(key string) op {
	return func(t *testing.T, s blob.Store) {
		t.Helper()
		for _, n := range []int64{toEnd, 0, 1} {
			r, err := s.Open(t.Context(), key, 0, n)
			if err == nil {
				r.Close()
			}
			check(t, "Open", key, err, blob.ErrNotFound)
		}
	}
}

func remove(key string) op {
	return func(t *testing.T, s blob.Store) {
		t.Helper()
		check(t, "Delete", key, s.Delete(t.Context(), key), nil)
	}
}

func list(prefix string, want ...string) op {
	return func(t *testing.T, s blob.Store) {
		t.Helper()
		var got []string
		for info, err := range s.List(t.Context(), prefix) {
			if err != nil {
				t.Errorf("List(%q) = %v", prefix, err)
				return
			}
			if age := time.Since(info.ModTime); age < -time.Minute || age > time.Hour {
				t.Errorf("List(%q) says %q was made %v ago", prefix, info.Key, age)
			}
			if info.Key == "a/b" && info.Size != 2 {
				t.Errorf("List(%q) gives %q a size of %d, want 2", prefix, info.Key, info.Size)
			}
			got = append(got, info.Key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, want %q", prefix, got, want)
		}
	}
}

func listFirst(prefix, want string) op {
	return func(t *testing.T, s blob.Store) {
		t.Helper()
		for info, err := range s.List(t.Context(), prefix) {
			if err != nil || info.Key != want {
				t.Errorf("List(%q) begins with %q, %v, want %q", prefix, info.Key, err, want)
			}
			break
		}
	}
}

func malformed(key string) op {
	return func(t *testing.T, s blob.Store) {
		t.Helper()
		check(t, "Create", key, s.Create(t.Context(), key, strings.NewReader("x"), 1), blob.ErrKey)
		check(t, "Delete", key, s.Delete(t.Context(), key), blob.ErrKey)
		_, err := s.Open(t.Context(), key, 0, toEnd)
		check(t, "Open", key, err, blob.ErrKey)
	}
}

func check(t *testing.T, op, key string, err, want error) {
	t.Helper()
	if want == errAny && err != nil {
		return
	}
	if !errors.Is(err, want) {
		t.Errorf("%s(%q) = %v, want %v", op, brief(key), err, want)
	}
}

// brief keeps a large body out of the test's output.
func brief(s string) string {
	if len(s) <= 80 {
		return s
	}
	return s[:20] + "…"
}
