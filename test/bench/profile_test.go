package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// profiled is what is asked of a Lethe while it is measured: where its processor time
// goes, and what it allocates, both of that time only.
var profiled = []string{"profile", "allocs"}

// profile has s profiled into files in dir while it does w for a while; what it
// gives waits for them. A side that is no Lethe has none.
func (s *side) profile(t testing.TB, dir string, w workload, d time.Duration) (wait func()) {
	t.Helper()
	if dir == "" || s.lethe == nil {
		return func() {}
	}
	var fetching sync.WaitGroup
	owner := s.lethe.OwnerToken()
	for _, kind := range profiled {
		path := filepath.Join(dir, strings.ReplaceAll(fmt.Sprintf("%s %v %s.pprof", s.name, w, kind), " ", "_"))
		query := fmt.Sprintf("/debug/pprof/%s?seconds=%d", kind, max(1, int(d/time.Second)))
		fetching.Go(func() {
			if err := fetch(t.Context(), s.lethe.Ops+query, owner, path); err != nil {
				t.Errorf("%s: %v", query, err)
			}
		})
	}
	return fetching.Wait
}

// fetch keeps in a file what an address answers to the owner.
func fetch(ctx context.Context, address, owner, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+owner)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o600)
}
