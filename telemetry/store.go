package telemetry

import (
	"context"
	"io"
	"iter"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/observe"
)

// store is a blob.Store whose calls are observed.
type store struct {
	blob.Store
	observer       observe.Observer
	written, taken prometheus.Counter
}

// Store gives s with its calls observed.
func (t *Telemetry) Store(s blob.Store) blob.Store {
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lethe_store_bytes_total", Help: "Bytes of blobs, sealed, that were written to the store or read from it."}, []string{"direction"})
	t.registry.MustRegister(bytes)
	return store{s, t, bytes.WithLabelValues("written"), bytes.WithLabelValues("read")}
}

var (
	storeAway     = []error{blob.ErrUnavailable}
	storeRefusals = []error{blob.ErrExists, blob.ErrNotFound, blob.ErrKey}
)

func (s store) begin(ctx context.Context, operation string) (context.Context, func(error)) {
	within, end := s.observer.Begin(ctx, observe.Call{Part: observe.Store, Operation: operation})
	return within, func(err error) { end(observe.OutcomeOf(err, storeAway, storeRefusals)) }
}

func (s store) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	ctx, end := s.begin(ctx, "create")
	counted := &counted{Reader: r}
	err := s.Store.Create(ctx, key, counted, size)
	s.written.Add(float64(counted.n))
	end(err)
	return err
}

func (s store) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	within, end := s.begin(ctx, "open")
	r, err := s.Store.Open(within, key, off, n)
	end(err)
	if err != nil {
		return nil, err
	}
	return &countedBody{counted{Reader: r}, r, s.taken}, nil
}

func (s store) Delete(ctx context.Context, key string) error {
	ctx, end := s.begin(ctx, "delete")
	err := s.Store.Delete(ctx, key)
	end(err)
	return err
}

func (s store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		ctx, end := s.begin(ctx, "list")
		var failed error
		for in, err := range s.Store.List(ctx, prefix) {
			failed = err
			if !yield(in, err) {
				break
			}
		}
		end(failed)
	}
}

// counted counts what is read. It is for one reader at a time.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// countedBody tells what was read once it is closed.
type countedBody struct {
	counted
	closer io.Closer
	total  prometheus.Counter
}

func (b *countedBody) Close() error {
	b.total.Add(float64(b.n))
	b.n = 0
	return b.closer.Close()
}
