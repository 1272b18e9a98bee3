package audit_test

import (
	"sync/atomic"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/servers"
)

// BenchmarkWrite makes events durable: one after the other, and 64 at once, which
// share transactions.
func BenchmarkWrite(b *testing.B) {
	for name, dsn := range map[string]func(testing.TB) string{
		"SQLite":     func(t testing.TB) string { return "sqlite:" + t.TempDir() + "/catalog.db" },
		"PostgreSQL": func(t testing.TB) string { return servers.SharedPostgreSQL(t).Database(t) },
	} {
		b.Run(name, func(b *testing.B) {
			c, err := catalog.Open(b.Context(), dsn(b))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			log := audit.NewLog(c)
			defer log.Close()
			tenant, key := recording.NewTenant(), keytree.NewKey()
			write := func() {
				r, err := audit.Seal(key, event(tenant))
				if err == nil {
					err = log.Write(b.Context(), r)
				}
				if err != nil {
					b.Error(err)
				}
			}
			b.Run("alone", func(b *testing.B) {
				for b.Loop() {
					write()
				}
			})
			b.Run("together", func(b *testing.B) { together(b, 64, write) })
		})
	}
}

// together has callers share b's iterations.
func together(b *testing.B, callers int, write func()) {
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	for range callers {
		go func() { // ends when nothing is left
			for left.Add(-1) >= 0 {
				write()
			}
			done <- struct{}{}
		}()
	}
	for range callers {
		<-done
	}
}
