package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every manual page is one that man shows without a complaint.
func TestManualPages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man")
	printed(t, "man", dir)
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if commands := leaves((&program{}).command()); err != nil || len(pages) < len(commands) {
		t.Fatalf("%d pages of %d commands, %v", len(pages), len(commands), err)
	}
	for _, page := range pages {
		c := exec.Command("man", "--warnings=w", "-l", page)
		c.Env = append(os.Environ(), "MANWIDTH=80", "LC_ALL=C.UTF-8", "MANROFFOPT=-ww")
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil || errs.Len() > 0 {
			t.Errorf("man %s: %v: %s", filepath.Base(page), err, &errs)
		}
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION"} {
			if !strings.Contains(out.String(), section) {
				t.Errorf("%s has no %s", filepath.Base(page), section)
			}
		}
	}
}
