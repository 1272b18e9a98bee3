package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

const calls = recording.Bucket("calls")

func sound(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 7))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func read(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller, n recording.Name) []byte {
	t.Helper()
	r, err := f.Open(t.Context(), c, calls, n)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return span(t, r, 0, r.Info.Size)
}

func span(t *testing.T, r *gateway.Recording, off, n int64) []byte {
	t.Helper()
	body, err := r.Range(t.Context(), off, n)
	if err != nil {
		t.Fatalf("Range(%d, %d): %v", off, n, err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read of Range(%d, %d): %v", off, n, err)
	}
	return b
}

func TestPutThenOpen(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	for _, size := range []int{0, 1, 65503, 65504, 65505, 262144, 1 << 20} {
		content := sound(uint64(size), size)
		name := recording.Name("2026/11/23/call-" + string(rune('a'+size%26)) + ".wav")
		u := gatewaytest.Upload(calls, name, content)
		u.Metadata = map[string]string{"lethe-subject": "0049 30 901820", "codec": "pcm"}
		if _, err := f.Put(t.Context(), recorder, u); err != nil {
			t.Fatalf("Put of %d bytes: %v", size, err)
		}
		r, err := f.Open(t.Context(), reader, calls, name)
		if err != nil {
			t.Fatalf("Open of %d bytes: %v", size, err)
		}
		if got := span(t, r, 0, r.Info.Size); !bytes.Equal(got, content) {
			t.Errorf("%d bytes came back as other bytes", size)
		}
		off, n := int64(size/3), int64(size/2)
		if got := span(t, r, off, n); !bytes.Equal(got, content[off:off+n]) {
			t.Errorf("span (%d, %d) of %d bytes came back as other bytes", off, n, size)
		}
		if got := r.Info.Facts.Subjects; len(got) != 1 || got[0] != "+4930901820" {
			t.Errorf("subjects = %q, want the number in E.164", got)
		}
		if r.Info.Facts.Metadata["codec"] != "pcm" || r.Info.Class != recording.ClassB {
			t.Errorf("info = %+v, want metadata and class as put", r.Info)
		}
	}
}

func TestSameContentAgainIsNoChange(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	content := sound(1, 100_000)
	first, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", content))
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", content))
	if err != nil || second.Version != first.Version {
		t.Errorf("same content again: version %v, %v; want %v, nil", second.Version, err, first.Version)
	}
	for _, declared := range []bool{true, false} {
		u := gatewaytest.Upload(calls, "a", sound(2, 100_000))
		if !declared {
			u.SHA256 = ""
		}
		if _, err := f.Put(t.Context(), recorder, u); !errors.Is(err, recording.ErrExists) {
			t.Errorf("other content, hash declared %v: %v, want ErrExists", declared, err)
		}
	}
	if got := read(t, f, reader, "a"); !bytes.Equal(got, content) {
		t.Error("a refused put changed the recording")
	}
}

func TestManyPutsOfOneName(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	const writers = 24
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			content := sound(uint64(i%2), 300_000) // two contents, twelve writers each
			_, errs[i] = f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "race", content))
		})
	}
	wg.Wait()
	got := read(t, f, reader, "race")
	for i, err := range errs {
		won := bytes.Equal(got, sound(uint64(i%2), 300_000))
		if won && err != nil || !won && !errors.Is(err, recording.ErrExists) {
			t.Errorf("writer %d, whose content is stored: %v, got %v", i, won, err)
		}
	}
	if n := blobs(t, f, "recordings/"); n != 1 {
		t.Errorf("%d blobs remain, want the winner's alone", n)
	}
}

func TestFailedBodyLeavesNothing(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	u := gatewaytest.Upload(calls, "cut", sound(3, 1<<20))
	broken := io.MultiReader(bytes.NewReader(sound(3, 1<<19)), failing{})
	u.Body = gatewaytest.NewBody(broken)
	if _, err := f.Put(t.Context(), recorder, u); !errors.Is(err, recording.ErrShortBody) {
		t.Errorf("Put of a body that breaks: %v, want the body's own error", err)
	}
	if _, err := f.Open(t.Context(), reader, calls, "cut"); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("Open after a failed put: %v, want ErrNotFound", err)
	}
	if n := blobs(t, f, "recordings/"); n != 0 {
		t.Errorf("a failed put left %d blobs", n)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, recording.ErrShortBody }

func blobs(t *testing.T, f *gatewaytest.Fixture, prefix string) (n int) {
	t.Helper()
	for _, err := range f.Blobs.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestOverwriteSettings(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	for _, mode := range []gateway.Overwrite{gateway.OverwriteVersion, gateway.OverwriteReplace} {
		recorder, reader := f.Pair("acme-"+string(mode), gateway.BucketSettings{Name: calls, Overwrite: mode})
		first, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000)))
		if err != nil {
			t.Fatal(err)
		}
		second, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(2, 1000)))
		if err != nil {
			t.Fatalf("%s: second put: %v", mode, err)
		}
		if second.ID != first.ID || second.Version == first.Version {
			t.Errorf("%s: second put is %v/%v, want a new version of %v", mode, second.ID, second.Version, first.ID)
		}
		if got := read(t, f, reader, "a"); !bytes.Equal(got, sound(2, 1000)) {
			t.Errorf("%s: the first content is still current", mode)
		}
		u := gatewaytest.Upload(calls, "a", sound(3, 1000))
		u.OnlyNew = true
		if _, err := f.Put(t.Context(), recorder, u); !errors.Is(err, recording.ErrExists) {
			t.Errorf("%s: put of only a new name: %v, want ErrExists", mode, err)
		}
	}
}

func TestClassBelowTheBucketsIsRefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls, MinClass: recording.ClassB})
	u := gatewaytest.Upload(calls, "weak", sound(1, 1000))
	u.Class, u.Body = recording.ClassC, gatewaytest.NewBody(failing{})
	if _, err := f.Put(t.Context(), recorder, u); !errors.Is(err, recording.ErrClassTooWeak) {
		t.Errorf("Put of class C where B is demanded: %v, want ErrClassTooWeak", err)
	}
}

func TestVersionsOfANameAreOneRecording(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteVersion})
	var mu sync.Mutex
	seen := map[recording.ID]int{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for {
				in, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(uint64(i), 50_000)))
				if errors.Is(err, recording.ErrUnavailable) { // another was first: 503, as a client would, again
					continue
				}
				if err != nil {
					t.Errorf("Put: %v", err)
				}
				mu.Lock()
				seen[in.ID]++
				mu.Unlock()
				return
			}
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("8 puts of one name made %d recordings, want versions of one", len(seen))
	}
}
