package main

import (
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/restapi/client"
)

// A person who waits is told when nothing confirms any more what was erased; who
// does not wait long enough, that it goes on.
func TestReindexIsWaitedFor(t *testing.T) {
	t.Parallel() // with the other tests that have a server: this one waits two minutes
	s := newErasing(t)
	data := []string{"--data", s.dir}
	none := answers[client.Reindexing](t, append([]string{"reindex", "acme"}, data...)...)
	if none.State != client.ReindexStateNone || none.Linkable {
		t.Errorf("reindex of what has erased nothing = %+v", none)
	}
	answers[any](t, append([]string{"erase", "--recording", "calls/" + awkward}, s.flags...)...)
	code, _, errs := lethe(t, append([]string{"reindex", "acme", "--wait", "--wait-for", "1s"}, data...)...)
	if code != failed || !strings.Contains(errs, "goes on") {
		t.Errorf("reindex with little patience = %d %s", code, errs)
	}
	start := time.Now()
	code, out, errs := lethe(t, append([]string{"reindex", "acme", "--wait"}, data...)...)
	if code != done || !strings.Contains(out, "forgotten") || !strings.Contains(errs, "Nothing confirms") {
		t.Errorf("reindex --wait = %d %s%s after %v", code, out, errs, time.Since(start))
	}
	again := answers[client.Reindexing](t, append([]string{"reindex", "acme"}, data...)...)
	if again.State != client.ReindexStateForgotten || again.ForgottenAt == nil || again.MovingAt == nil || again.MovedAt == nil || again.Linkable {
		t.Errorf("reindex when nothing was erased since = %+v", again)
	}
}
