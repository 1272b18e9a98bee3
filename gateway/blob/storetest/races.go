package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// races are what a script of one line after another cannot say.
var races = map[string]func(*testing.T, blob.Store){
	"of many creates one succeeds":                        oneWinner(func(i int) string { return fmt.Sprintf("%02d", i) }, sized),
	"of many unsized creates one succeeds":                oneWinner(func(i int) string { return fmt.Sprintf("%02d", i) }, unsized),
	"of many multipart creates one succeeds":              oneWinner(func(i int) string { return fmt.Sprintf("%02d", i) + large[:6<<20] }, unsized),
	"a create whose context ends leaves nothing":          endedMidway(sized),
	"an unsized create whose context ends leaves nothing": endedMidway(unsized),
	"an ended context does nothing":                       ended,
	"a reader is left alone once Create returns":          leftAlone,
	"many work at once":                                   manyAtOnce,
	"a long list is whole":                                longList,
}

// sized and unsized choose what Create is told of a body.
const (
	sized   = true
	unsized = false
)

func sizeOf(body string, told bool) int64 {
	if told {
		return int64(len(body))
	}
	return -1
}

// oneWinner races sixteen creates of one key, each with a body of its own.
func oneWinner(body func(i int) string, told bool) func(*testing.T, blob.Store) {
	return func(t *testing.T, s blob.Store) {
		const racers = 16
		var start, done sync.WaitGroup
		errs := make([]error, racers)
		start.Add(1)
		for i := range racers {
			done.Go(func() {
				start.Wait()
				errs[i] = s.Create(t.Context(), "head/1", strings.NewReader(body(i)), sizeOf(body(i), told))
			})
		}
		start.Done()
		done.Wait()

		winner := slices.Index(errs, nil)
		if winner < 0 {
			t.Fatalf("nobody won: %v", errs)
		}
		for i, err := range errs {
			if i != winner && !errors.Is(err, blob.ErrExists) {
				t.Errorf("racer %d: Create = %v beside the winner %d, want %v", i, err, winner, blob.ErrExists)
			}
		}
		read("head/1", 0, toEnd, body(winner))(t, s)
	}
}

// endedMidway ends the context from inside the body, which goes on regardless.
func endedMidway(told bool) func(*testing.T, blob.Store) {
	return func(t *testing.T, s blob.Store) {
		for _, body := range []string{large, large[:1000]} {
			ctx, cancel := context.WithCancel(t.Context())
			r := io.MultiReader(strings.NewReader(body[:500]), &onRead{f: cancel}, strings.NewReader(body[500:]))
			err := s.Create(ctx, "key", r, sizeOf(body, told))
			check(t, "Create", "key", err, context.Canceled)
			missing("key")(t, s)
			list("")(t, s)
		}
	}
}

// onRead calls f when it is read, and is empty.
type onRead struct{ f func() }

func (o *onRead) Read([]byte) (int, error) {
	o.f()
	return 0, io.EOF
}

func ended(t *testing.T, s blob.Store) {
	create("key", "apple", nil)(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check(t, "Create", "other", s.Create(ctx, "other", strings.NewReader("x"), 1), context.Canceled)
	check(t, "Delete", "key", s.Delete(ctx, "key"), context.Canceled)
	_, err := s.Open(ctx, "key", 0, toEnd)
	check(t, "Open", "key", err, context.Canceled)
	yields := 0
	for _, err := range s.List(ctx, "") {
		yields++
		check(t, "List", "", err, context.Canceled)
	}
	if yields != 1 {
		t.Errorf("List yields %d times under an ended context, want its error once", yields)
	}
	list("", "key")(t, s)
	read("key", 0, toEnd, "apple")(t, s)
}

// leftAlone refuses a create while its body is still coming.
func leftAlone(t *testing.T, s blob.Store) {
	create("taken", "apple", nil)(t, s)
	for _, told := range []bool{sized, unsized} {
		body := &watched{r: strings.NewReader(large)}
		err := s.Create(t.Context(), "taken", body, sizeOf(large, told))
		body.returned.Store(true)
		check(t, "Create", "taken", err, blob.ErrExists)
		read("taken", 0, toEnd, "apple")(t, s)
		if body.late.Load() {
			t.Error("Create reads after it has returned")
		}
	}
}

// watched notes reads that come after Create has returned.
type watched struct {
	r              io.Reader
	returned, late atomic.Bool
}

func (w *watched) Read(p []byte) (int, error) {
	if w.returned.Load() {
		w.late.Store(true)
	}
	return w.r.Read(p)
}

// manyAtOnce has eight users come and go while others list.
func manyAtOnce(t *testing.T, s blob.Store) {
	var users sync.WaitGroup
	for i := range 8 {
		users.Go(func() {
			for j := range 8 {
				key, body := fmt.Sprintf("user%d/blob%d", i, j), fmt.Sprintf("%d of %d", j, i)
				create(key, body, nil)(t, s)
				list(key, key)(t, s)
				read(key, 0, toEnd, body)(t, s)
				for _, err := range s.List(t.Context(), "") {
					check(t, "List", "", err, nil)
				}
				remove(key)(t, s)
				missing(key)(t, s)
			}
		})
	}
	users.Wait()
	list("")(t, s)
}

// longList makes more blobs than an S3 server gives at a time.
func longList(t *testing.T, s blob.Store) {
	const blobs, workers = 1100, 8
	want := make([]string, blobs)
	for i := range want {
		want[i] = fmt.Sprintf("t/%02d/%04d", i%30, i)
	}
	var making sync.WaitGroup
	for w := range workers {
		making.Go(func() {
			for i := w; i < blobs; i += workers {
				create(want[i], "x", nil)(t, s)
			}
		})
	}
	making.Wait()
	slices.Sort(want)
	list("t/", want...)(t, s)
}
