package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	startServer(t, dir)
	for _, args := range [][]string{{"sweep"}, {"sweep", "--dry-run"}} {
		code, out, errs := lethe(t, append(args, "--data", dir)...)
		if code != done || errs != "" || !strings.Contains(out, "KIND") || strings.Contains(out, "orphans") != (len(args) > 1) {
			t.Errorf("lethe %v = %d %s%s", args, code, out, errs)
		}
		var s client.Sweep
		code, out, errs = lethe(t, append(args, "--data", dir, "--json")...)
		if err := json.Unmarshal([]byte(out), &s); code != done || err != nil || (s.Orphans != nil) != s.DryRun {
			t.Errorf("lethe %v --json = %d %s%s", args, code, out, errs)
		}
	}
	if code, _, errs := lethe(t, "sweep", "--data", dir, "--token", strings.Repeat("x", 43)); code != failed || !strings.Contains(errs, "unauthenticated") {
		t.Errorf("lethe sweep without the owner's token = %d %s", code, errs)
	}
}

// A person is told what a sweep does not do, and what that means.
func TestSweepExplainsItself(t *testing.T) {
	var errs strings.Builder
	p := &program{errs: &errs}
	p.explainSweep(client.Sweep{Held: 3, Orphans: &client.Orphans{Recordings: 2, Bytes: 10}, Blobs: client.Swept{Failed: 1}})
	for _, want := range []string{"3 uploads", "2 blobs of recordings (10 bytes)", "tried again"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("%q is not said in %q", want, errs.String())
		}
	}
}
