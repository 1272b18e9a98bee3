package bench

import (
	"strings"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/test/servers"
	"github.com/lethe-vault/lethe/test/system"
)

// side is one way to the store.
type side struct {
	name      string
	processes map[string]func() []int // by name, the ids of each
	vault     func() int              // requests that its Vault has had; nil: it has none
	lethe     *system.System          // nil: it has none
	writers   []*client
	readers   []*client
}

// mostClients is how many there are on each side.
const mostClients = 64

const bucket = "calls"

// newSides starts the servers, and gives the sides of which names speaks in the
// order of the table.
func newSides(t testing.TB, names string, c *content) (out []*side) {
	t.Helper()
	wanted := map[string]bool{}
	for _, name := range strings.Split(names, ",") {
		wanted[name] = true
	}
	if wanted["direct"] || wanted["lethe"] {
		s := system.Scaled(t)
		s.ReachStoreDirectly()
		s.Stop()
		s.Start()
		if wanted["direct"] {
			out = append(out, newDirect(t, s, c))
		}
		if wanted["lethe"] {
			out = append(out, newLethe(t, "lethe", s, c))
		}
	}
	if wanted["embedded"] {
		out = append(out, newLethe(t, "embedded", system.Embedded(t), c))
	}
	if len(out) != len(wanted) {
		t.Fatalf("sides are direct, lethe and embedded, not %q", names)
	}
	return out
}

// newDirect goes to the store of s, to a bucket like the one that Lethe has there.
func newDirect(t testing.TB, s *system.System, c *content) *side {
	t.Helper()
	d := &side{name: "direct", processes: map[string]func() []int{"minio": s.Store.PIDs}}
	p := place{s.Store.Endpoint, s.Store.AccessKey, s.Store.SecretKey, s.Store.Region, s.Store.Bucket(t, servers.Versioned)}
	d.connect(t, p, p, c)
	return d
}

func newLethe(t testing.TB, name string, s *system.System, c *content) *side {
	t.Helper()
	l := &side{name: name, lethe: s, processes: map[string]func() []int{"lethe": func() []int { return []int{s.PID()} }}}
	if s.Store != nil {
		l.processes["minio"], l.processes["vault"], l.processes["postgres"] = s.Store.PIDs, s.Vault.PIDs, s.Postgres.PIDs
		l.vault = func() (n int) {
			for _, asked := range s.VaultRequests() {
				n += asked
			}
			return n
		}
	}
	recorder, _ := s.Pair("acme", bucket)
	var reader system.Keys
	if err := s.Lethe(&reader, "reader", "create", "--tenant", "acme", "bench", "--bucket", bucket, "--purpose", "quality", "--write"); err != nil {
		t.Fatal(err)
	}
	at := place{endpoint: strings.TrimPrefix(s.S3, "http://"), region: "us-east-1", bucket: bucket}
	write, read := at, at
	write.accessKey, write.secretKey = recorder.AccessKey, recorder.SecretKey
	read.accessKey, read.secretKey = reader.AccessKey, reader.SecretKey
	l.connect(t, write, read, c)
	return l
}

func (s *side) connect(t testing.TB, write, read place, c *content) {
	t.Helper()
	for range mostClients {
		s.writers = append(s.writers, newClient(t, write, c))
		s.readers = append(s.readers, newClient(t, read, c))
	}
}

// fill puts what the workloads will read.
func (s *side) fill(t testing.TB, all []workload) {
	t.Helper()
	put := func(name string, size int64) {
		if _, err := s.writers[0].put(t.Context(), name, size); err != nil {
			t.Fatalf("%s: put %s: %v", s.name, name, err)
		}
	}
	seen := map[int64]bool{}
	for _, w := range all {
		if w.kind == get && !seen[w.size] {
			seen[w.size] = true
			for i := range stock(w.size) {
				put(stockName(w.size, i), w.size)
			}
		}
	}
	put(longName, longSize)
}

// clear takes away what was put while it was measured.
func (s *side) clear(t testing.TB, put []object) {
	t.Helper()
	var clearing sync.WaitGroup
	const workers = 8
	for i, c := range s.readers[:workers] {
		clearing.Go(func() {
			for j := i; j < len(put); j += workers {
				if err := c.erase(t.Context(), put[j]); err != nil {
					t.Errorf("%s: erase: %v", s.name, err)
					return
				}
			}
		})
	}
	clearing.Wait()
}
