package faults_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEveryWriteFails has the n-th write, sync or link of a put fail, for every n
// that a put has: once, and from then on. Nothing is acknowledged that is not
// there after a restart, and the server goes on by itself when the fault is gone.
func TestEveryWriteFails(t *testing.T) {
	t.Parallel()
	d := newDeeds(t)
	d.must(d.client.putText(t.Context(), d.keep("first"), "hello"))
	runs := 0
	for _, kind := range []string{"blobMake", "blobWrite", "blobSync", "blobLink", "dirSync", "sqliteWrite", "sqliteSync"} {
		writes := 0
		for _, terms := range sized(t, []string{`1*return("EIO")`, `return("ENOSPC")`},
			[]string{`1*return("EIO")`, `return("EIO")`, `return("ENOSPC")`, `return("EROFS")`},
			[]string{`1*return("EIO")`, `return("EIO")`, `return("ENOSPC")`, `return("EROFS")`}) {
			n := 0
			for d.failsAt(kind, n, terms) {
				n++
			}
			runs, writes = runs+n, max(writes, n)
		}
		t.Logf("%s: %d of a put", kind, writes)
		if writes == 0 {
			t.Errorf("no put gets to %s", kind)
		}
	}
	d.restart()
	d.complete()
	t.Logf("%d puts in whose course writing failed", runs)
	if t.Failed() {
		t.Log(d.s.Log())
	}
}

// keep says that a recording is to be there in the end, and gives its name.
func (d *deeds) keep(name string) string {
	d.kept[name] = "hello"
	return name
}

// failsAt puts while the writes of a kind fail as the terms say after n of them,
// and reports whether it came to that. The put is repeated if it was refused.
func (d *deeds) failsAt(kind string, n int, terms string) bool {
	d.t.Helper()
	if n > 0 {
		terms = fmt.Sprintf("%d*off->%s", n, terms)
	}
	at := fmt.Sprintf("%s %s", kind, terms)
	a := d.put()
	d.s.arm(kind, terms)
	heard := a.do()
	if status, code := refusal(heard); heard != nil && status < 500 {
		d.t.Errorf("%s: refused with %d %s: %v", at, status, code, heard)
	}
	_, count := d.s.ask("GET", kind+"/count", "")
	d.s.disarm(kind)
	var fired int
	fmt.Sscan(count, &fired)
	if err := within10(func() error { return a.settle(heard) }); err != nil {
		d.t.Fatalf("%s: the client heard %v; then %v\n%s", at, heard, err, d.s.Log())
	}
	return fired > n && n < 200
}

// within10 tries again for as long as a server may take to recover.
func within10(try func() error) (err error) {
	for began := time.Now(); time.Since(began) < recoversWithin; time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return nil
		}
	}
	return err
}

// disk is one that can be filled.
type disk interface {
	fill()
	free()
}

// TestDiskFull fills the disk under an embedded server. While it is full nothing
// is acknowledged and the server is not ready; once there is room, it works again
// by itself, with everything that was acknowledged.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m")
	if err == nil {
		t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	}
	d := newDeedsIn(t, dir)
	var under disk = &ballast{d: d, path: filepath.Join(dir, "ballast")}
	if err != nil {
		t.Logf("no file system of its own (%v): its writes are made to fail instead", err)
		under = writes{d}
	}
	for range sized(t, 2, 10, 10) {
		d.diskFull(under)
		if t.Failed() {
			t.Fatal(d.s.Log())
		}
	}
	d.restart()
	d.complete()
}

// diskFull is one time that the disk is full.
func (d *deeds) diskFull(under disk) {
	d.t.Helper()
	before := d.put()
	d.must(before.do())
	under.fill()
	refusals := 0
	for range 10 {
		a := d.put()
		err := a.do()
		if status, code := refusal(err); err != nil && (status < 500 || code == "") {
			d.t.Errorf("disk full: refused with %d %s: %v", status, code, err)
		}
		if err != nil {
			refusals++
			defer func() { // the disk has room again
				if err := within10(func() error { return a.settle(err) }); err != nil {
					d.t.Errorf("put again once there is room: %v", err)
				}
			}()
		} else {
			d.t.Errorf("disk full: 180 KB are acknowledged")
		}
	}
	if strings.Contains(d.s.Log(), "outcome of a write is unknown") {
		d.t.Error("disk full: a refusal is taken for silence")
	}
	d.ready(http.StatusServiceUnavailable)
	under.free()
	began := time.Now()
	if err := within10(func() error { return before.settle(errors.New("unheard")) }); err != nil {
		d.t.Errorf("%v after there is room: %v", recoversWithin, err)
	}
	d.ready(http.StatusOK)
	d.t.Logf("%d puts refused; works and is ready again after %v", refusals, time.Since(began).Round(time.Millisecond))
}

// ready waits for /readyz to say so, or not.
func (d *deeds) ready(want int) {
	d.t.Helper()
	err := within10(func() error {
		if a := within(newRequest(d.t, "GET", d.s.Ops+"/readyz", nil), answersWithin); a.status != want {
			return fmt.Errorf("/readyz: %d %v, want %d", a.status, a.err, want)
		}
		return nil
	})
	if err != nil {
		d.t.Error(err)
	}
}

// ballast is a file that takes all the room there is.
type ballast struct {
	d    *deeds
	path string
}

func (b *ballast) fill() {
	f, err := os.Create(b.path)
	b.d.must(err)
	defer f.Close()
	_, err = io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		b.d.t.Fatalf("fill the disk: %v", err)
	}
}

func (b *ballast) free() { b.d.must(os.Remove(b.path)) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// writes stands for a disk whose every write is refused for want of room.
type writes struct{ d *deeds }

func (w writes) fill() {
	for _, kind := range []string{"blobWrite", "sqliteWrite"} {
		w.d.s.arm(kind, `return("ENOSPC")`)
	}
}

func (w writes) free() {
	for _, kind := range []string{"blobWrite", "sqliteWrite"} {
		w.d.s.disarm(kind)
	}
}
