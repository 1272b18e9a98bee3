package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever a server does, a file named on the command line is whole or absent.
func TestGetLeavesNoPartialFile(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(make([]byte, 50_000))
			panic(http.ErrAbortHandler)
		}, "broke off after"},
		"other bytes": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Checksum-Sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=") // of nothing
			w.Write([]byte("something"))
		}, "do not match the sha256"},
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>Use a reader.</Message><RequestId>7</RequestId></Error>`)
		}, "Use a reader. (AccessDenied, request 7)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Amz-Request-Id", "7")
				w.Header().Set("Last-Modified", "Mon, 23 Nov 2026 12:00:00 GMT")
				tt.answer(w, r)
			}))
			defer s.Close()
			dir := t.TempDir()
			code, out, errs := lethe(t, "get", "calls/n", filepath.Join(dir, "n.wav"),
				"--s3", s.URL, "--access-key", "a", "--secret-key", "s")
			if code != failed || out != "" || !strings.Contains(errs, tt.says) {
				t.Errorf("get = %d %q %s, want it to mention %q", code, out, errs, tt.says)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
