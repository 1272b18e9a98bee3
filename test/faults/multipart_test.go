package faults_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/test/system"
)

// TestKilledWhileUploadingInParts has 100 recorders upload in parts of odd sizes,
// out of order, some sent twice with other bytes first, while the server is
// killed and started again. Each upload is completed to the right bytes. It
// runs alone, because it measures memory: it is not parallel.
func TestKilledWhileUploadingInParts(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *system.System{"embedded": system.Embedded, "scaled": system.Scaled} {
		t.Run(name, func(t *testing.T) { newPartCrashes(t, start(t)).run() })
	}
}

const (
	partUploads = 100
	partKills   = 4
	partMemory  = 200 << 20
)

// partCrashes is a server that is killed while parts come.
type partCrashes struct {
	t        *testing.T
	s        *system.System
	recorder system.Keys
	reader   system.Keys
	client   atomic.Pointer[client] // of the server that runs
	ended    atomic.Bool            // all uploads are complete
	tries    atomic.Int64           // requests that came to nothing
	again    atomic.Int64           // parts sent with other bytes first
	parts    atomic.Int64
	peak     int64
}

func newPartCrashes(t *testing.T, s *system.System) *partCrashes {
	c := &partCrashes{t: t, s: s}
	c.recorder, c.reader = s.Pair("acme", "calls")
	c.connect()
	return c
}

func (c *partCrashes) connect() {
	fresh := newClient(c.t, c.s.S3, c.recorder, "calls")
	if old := c.client.Swap(&fresh); old != nil {
		old.close()
	}
}

func (c *partCrashes) run() {
	began := time.Now()
	contents := make([]content, partUploads)
	var uploading sync.WaitGroup
	for i := range contents {
		contents[i] = newContent(randomSize(60_000, 4_000_000))
		uploading.Go(func() { c.upload(fmt.Sprintf("%02d/%d.wav", i%7, i), contents[i]) })
	}
	go func() { // ends with the uploads
		uploading.Wait()
		c.ended.Store(true)
	}()
	kills := c.kill()
	uploading.Wait()
	c.notePeak()
	c.t.Logf("%d uploads of %d parts, %d of them sent with other bytes first, %d kills, %d requests that came to nothing, in %v; %d MiB at most",
		partUploads, c.parts.Load(), c.again.Load(), kills, c.tries.Load(), time.Since(began).Round(time.Millisecond), c.peak>>20)
	if c.peak > partMemory {
		c.t.Errorf("the server held %d MiB, want at most %d", c.peak>>20, partMemory>>20)
	}
	if kills == 0 || c.tries.Load() == 0 || c.again.Load() == 0 {
		c.t.Error("nothing went wrong on the way")
	}
	c.check(contents)
}

// kill kills the server while there is something to disturb.
func (c *partCrashes) kill() (kills int) {
	for range partKills {
		time.Sleep(300*time.Millisecond + rand.N(700*time.Millisecond))
		if c.ended.Load() {
			return kills
		}
		c.notePeak()
		c.s.Kill()
		c.s.Start()
		c.connect()
		kills++
	}
	return kills
}

func (c *partCrashes) notePeak() { c.peak = max(c.peak, c.s.PeakMemory()) }

// check reads every recording, and sees that nothing else is there.
func (c *partCrashes) check(contents []content) {
	reader := newClient(c.t, c.s.S3, c.reader, "calls")
	defer reader.close()
	listed, err := reader.list(c.t.Context(), "")
	if err != nil || len(listed) != len(contents) {
		c.t.Errorf("%d names are listed, %v; want %d", len(listed), err, len(contents))
	}
	for i, want := range contents {
		if err := reader.check(c.t.Context(), fmt.Sprintf("%02d/%d.wav", i%7, i), want); err != nil {
			c.t.Errorf("recording %d of %d bytes: %v", i, want.size, err)
		}
	}
}

// insist does a request until the server answers it.
func (c *partCrashes) insist(what string, do func(context.Context, *client) error) {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := do(c.t.Context(), c.client.Load())
		if err == nil {
			return
		}
		c.tries.Add(1)
		if status, code := refusal(err); status != 0 && status < 500 || time.Now().After(deadline) {
			c.t.Errorf("%s: %d %s: %v", what, status, code, err)
			return
		}
		time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond))
	}
}

// span is a part of a content.
type partSpan struct{ off, n int64 }

// cutUp cuts a content where nobody would, and numbers its parts with gaps.
func cutUp(size int64) map[int32]partSpan {
	out, number := map[int32]partSpan{}, int32(0)
	for off := int64(0); off < size; {
		n := min(1+rand.N(size/2+1), size-off)
		number += 1 + rand.N(int32(5))
		out[number] = partSpan{off, n}
		off += n
	}
	return out
}

// upload sends a content in parts, at most three at a time.
func (c *partCrashes) upload(name string, what content) {
	var id string
	c.insist("create "+name, func(ctx context.Context, at *client) error {
		out, err := at.aws.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &at.bucket, Key: &name})
		if err == nil {
			id = *out.UploadId
		}
		return err
	})
	cuts := cutUp(what.size)
	etags := make(map[int32]string, len(cuts))
	var mu sync.Mutex // guards etags
	var sending sync.WaitGroup
	room := make(chan struct{}, 3)
	for number, at := range cuts { // in no order
		room <- struct{}{}
		sending.Go(func() {
			defer func() { <-room }()
			etag := c.part(name, id, number, what, at)
			mu.Lock()
			defer mu.Unlock()
			etags[number] = etag
		})
	}
	sending.Wait()
	c.complete(name, id, etags)
}

// part sends a part until it is acknowledged, sometimes with other bytes first.
func (c *partCrashes) part(name, id string, number int32, what content, at partSpan) (etag string) {
	c.parts.Add(1)
	if rand.N(4) == 0 {
		c.again.Add(1)
		other := newContent(1 + rand.N(int64(300_000)))
		c.insist("first attempt", func(ctx context.Context, to *client) error {
			_, err := sendPart(ctx, to, name, id, number, other.reader())
			return err
		})
	}
	c.insist("part", func(ctx context.Context, to *client) (err error) {
		etag, err = sendPart(ctx, to, name, id, number, what.span(at.off, at.n))
		return err
	})
	return etag
}

// sendPart uploads a part by either SDK.
func sendPart(ctx context.Context, to *client, name, id string, number int32, body *io.SectionReader) (string, error) {
	if rand.N(2) == 0 {
		p, err := to.minio.PutObjectPart(ctx, to.bucket, name, id, int(number), body, body.Size(), minio.PutObjectPartOptions{})
		return p.ETag, err
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	out, err := to.aws.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &to.bucket, Key: &name, UploadId: &id, PartNumber: &number, Body: bytes.NewReader(b),
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// complete joins the parts, as often as it takes to hear of it.
func (c *partCrashes) complete(name, id string, etags map[int32]string) {
	var parts []types.CompletedPart
	for number := int32(1); len(parts) < len(etags); number++ {
		if etag, ok := etags[number]; ok {
			parts = append(parts, types.CompletedPart{PartNumber: &number, ETag: &etag})
		}
	}
	c.insist("complete "+name, func(ctx context.Context, to *client) error {
		out, err := to.aws.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &to.bucket, Key: &name, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		})
		if err == nil && aws.ToString(out.ETag) == "" {
			err = errors.New("no ETag")
		}
		return err
	})
}
