package blob_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/blob"
)

func TestCheckKey(t *testing.T) {
	element := strings.Repeat("a", 64)
	longest := strings.Repeat("a/", 255) + "aa"
	for _, good := range []string{
		"a", "0", "-", "_", "a/b", "tenant-1/head_2/0000000003", element, element + "/" + element, longest,
	} {
		if err := blob.CheckKey(good); err != nil {
			t.Errorf("CheckKey(%q) = %v, want nil", good, err)
		}
	}
	for _, bad := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a.b", "A", "ä", "a b", `a\b`, "a\x00", "a\n", "a%2fb",
		element + "a", "b/" + element + "a", longest + "a",
	} {
		if err := blob.CheckKey(bad); !errors.Is(err, blob.ErrKey) {
			t.Errorf("CheckKey(%q) = %v, want %v", bad, err, blob.ErrKey)
		}
	}
}

func TestErrorsAreTheFileSystemsToo(t *testing.T) {
	if !errors.Is(blob.ErrExists, fs.ErrExist) || !errors.Is(blob.ErrNotFound, fs.ErrNotExist) {
		t.Error("a package that knows nothing of blob cannot tell its errors")
	}
	if errors.Is(blob.ErrExists, blob.ErrNotFound) || errors.Is(blob.ErrUnavailable, fs.ErrNotExist) {
		t.Error("two errors are one")
	}
}
