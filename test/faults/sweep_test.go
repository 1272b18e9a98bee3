package faults_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/test/system"
)

// TestNothingIsLeftBehind kills the server, and its store, while recorders put,
// upload in parts, give up and delete. After a few sweeps the store holds the
// blobs of what can be read, and nothing else; a put that ran all the time is
// whole.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *system.System{"embedded": system.Embedded, "scaled": system.Scaled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newLitter(t, start(t)).run(3)
		})
	}
}

const sweepLease = 4 * time.Second

// litter is a server that is killed in the midst of everything.
type litter struct {
	t      *testing.T
	s      *system.System
	keys   system.Keys // may do all that is done here
	killed atomic.Bool

	mu    sync.Mutex         // guards the rest
	kept  map[string]content // acknowledged, and not deleted
	blobs map[string]int     // of each name that was ever sent
}

func newLitter(t *testing.T, s *system.System) *litter {
	l := &litter{t: t, s: s, kept: map[string]content{}, blobs: map[string]int{}}
	s.Pair("acme", "calls")
	if err := s.Lethe(&l.keys, "reader", "create", "--tenant", "acme", "all", "--bucket", "*", "--write"); err != nil {
		t.Fatal(err)
	}
	if s.Store != nil {
		s.ReachStoreDirectly()
	}
	s.Set("LETHE_SWEEP_PERIOD=1s", "LETHE_SWEEP_LATE=2s", "LETHE_SWEEP_LEASE="+sweepLease.String())
	s.Stop()
	s.Start()
	return l
}

func (l *litter) run(rounds int) {
	for round := range rounds {
		l.round(round)
	}
	long := l.long()
	l.abortAll()
	l.settle()
	if err := <-long; err != nil {
		l.t.Errorf("a put that ran all the time: %v", err)
	}
	l.settle()
	l.check()
	if l.t.Failed() {
		l.t.Log(l.s.Log())
	}
}

func (l *litter) client() client { return newClient(l.t, l.s.S3, l.keys, "calls") }

// round has four recorders work until the server is killed; in every other
// round of a scaled-out one the store goes first.
func (l *litter) round(round int) {
	l.killed.Store(false)
	at := l.client()
	defer at.close()
	var working sync.WaitGroup
	for i := range 4 {
		working.Go(func() {
			for n := 0; !l.killed.Load(); n++ {
				l.act(at, fmt.Sprintf("%d/%d/%d.wav", round, i, n))
			}
		})
	}
	time.Sleep(500*time.Millisecond + rand.N(time.Second))
	away := l.s.Store != nil && round%2 == 1
	if away {
		l.s.Store.Kill()
		time.Sleep(500 * time.Millisecond)
	}
	l.s.Kill()
	l.killed.Store(true)
	working.Wait()
	if away {
		l.s.Store.Start(l.t)
	}
	l.s.Start()
}

// act puts, whole or in parts, and perhaps deletes again.
func (l *litter) act(at client, name string) {
	ctx, what := l.t.Context(), newContent(randomSize(10_000, 500_000))
	blobs, send := 1, at.put
	if rand.N(2) == 0 {
		blobs, send = 3, l.inParts(at)
	}
	l.note(func() { l.blobs[name] = blobs })
	if err := send(ctx, name, what); err != nil {
		return
	}
	l.note(func() { l.kept[name] = what })
	if rand.N(3) > 0 {
		return
	}
	l.note(func() { delete(l.kept, name) }) // whatever becomes of it
	_, _ = at.aws.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &at.bucket, Key: &name})
}

func (l *litter) note(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// inParts sends two parts, the first of them twice, and now and then gives up.
func (l *litter) inParts(at client) func(context.Context, string, content) error {
	return func(ctx context.Context, name string, what content) error {
		begun, err := at.aws.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &at.bucket, Key: &name})
		if err != nil {
			return err
		}
		var parts []types.CompletedPart
		half := what.size / 2
		for _, p := range []struct {
			number int32
			body   *io.SectionReader
		}{{1, what.span(5, half)}, {1, what.span(0, half)}, {2, what.span(half, what.size-half)}} {
			etag, err := sendPart(ctx, &at, name, *begun.UploadId, p.number, p.body)
			if err != nil {
				return err
			}
			parts = append(parts, types.CompletedPart{PartNumber: &p.number, ETag: &etag})
		}
		if rand.N(3) == 0 {
			_, err := at.aws.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &at.bucket, Key: &name, UploadId: begun.UploadId})
			return fmt.Errorf("given up: %w", err)
		}
		_, err = at.aws.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &at.bucket, Key: &name, UploadId: begun.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts[1:]},
		})
		return err
	}
}

// long puts a recording as slowly as a call that lasts for three leases.
func (l *litter) long() <-chan error {
	what, done := newContent(300_000), make(chan error, 1)
	l.note(func() { l.kept["long.wav"], l.blobs["long.wav"] = what, 1 })
	at := l.client()
	body := &slowly{what.reader(), 3 * sweepLease, what.size}
	go func() { // ends with the body
		_, err := at.minio.PutObject(l.t.Context(), at.bucket, "long.wav", body, what.size, "", what.hash(),
			minio.PutObjectOptions{DisableContentSha256: true})
		done <- err
	}()
	return done
}

// slowly gives its bytes evenly over a time.
type slowly struct {
	io.Reader
	over time.Duration
	size int64
}

func (s *slowly) Read(p []byte) (int, error) {
	time.Sleep(s.over / 100)
	return s.Reader.Read(p[:min(int64(len(p)), s.size/100)])
}

// abortAll gives up the uploads in parts that nobody ended.
func (l *litter) abortAll() {
	l.t.Helper()
	at := l.client()
	defer at.close()
	open, err := at.aws.ListMultipartUploads(l.t.Context(), &s3.ListMultipartUploadsInput{Bucket: &at.bucket})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, u := range open.Uploads {
		_, err := at.aws.AbortMultipartUpload(l.t.Context(), &s3.AbortMultipartUploadInput{Bucket: &at.bucket, Key: u.Key, UploadId: u.UploadId})
		if err != nil {
			l.t.Errorf("abort: %v", err)
		}
	}
}

// swept is what lethe sweep --json tells.
type swept struct {
	Puts, Parts, Blobs struct{ Found, Done, Failed int64 }
	Waiting, Held      int64
	Restored           bool
	Orphans            *struct{ Seen, Recordings, Tenants int64 }
}

// settle waits for the lease, and sweeps until there is nothing to do. What a
// killed server had claimed comes after two minutes.
func (l *litter) settle() {
	l.t.Helper()
	time.Sleep(sweepLease)
	for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(time.Second) {
		var r swept
		if err := l.s.Lethe(&r, "sweep"); err != nil {
			l.t.Fatal(err)
		}
		if r.Puts.Found+r.Parts.Found+r.Blobs.Found+r.Waiting == 0 {
			return
		}
		if time.Now().After(deadline) || r.Restored || r.Held != 0 {
			l.t.Fatalf("there is always more to sweep: %+v", r)
		}
	}
}

// check compares what is stored with what can be read.
func (l *litter) check() {
	l.t.Helper()
	at := l.client()
	defer at.close()
	listed, err := at.list(l.t.Context(), "")
	if err != nil {
		l.t.Fatal(err)
	}
	blobs := 0
	for name := range listed {
		blobs += l.blobs[name]
	}
	for name, want := range l.kept {
		if err := at.check(l.t.Context(), name, want); err != nil {
			l.t.Errorf("%s was acknowledged: %v", name, err)
		}
	}
	if stored := l.s.Stored(); stored.Blobs != blobs || stored.Intents != 0 {
		l.t.Errorf("the store holds %d blobs and the catalog %d intents; %d blobs are of recordings", stored.Blobs, stored.Intents, blobs)
	}
	time.Sleep(sweepLease) // younger blobs are left out of a census
	var r swept
	if err := l.s.Lethe(&r, "sweep", "--dry-run"); err != nil || r.Orphans == nil || r.Orphans.Recordings+r.Orphans.Tenants != 0 || r.Orphans.Seen < int64(blobs) {
		l.t.Errorf("orphans = %+v, %v", r.Orphans, err)
	}
	l.t.Logf("%d recordings were acknowledged, %d can be read, in %d blobs", len(l.kept), len(listed), blobs)
}
