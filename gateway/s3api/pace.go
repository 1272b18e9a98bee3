package s3api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
)

// pace is how fast a client has to be. A client that is slower holds what
// others need: memory, a connection, an intent.
type pace struct {
	window time.Duration // in which
	bytes  int64         // this many bytes of a body must arrive
	write  time.Duration // and each piece of an answer must be taken
}

// defaultPace asks for 1 KiB/s of an upload, averaged over half a minute, and
// that a download does not stand still for a minute.
var defaultPace = pace{window: 30 * time.Second, bytes: 30 << 10, write: time.Minute}

// pacedBody fails with errTooSlow when its sender is slower than pace. Only the
// time spent waiting for the sender counts, not what the vault takes to store
// what was sent.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	pace    pace
	waited  time.Duration // in this window
	arrived int64         // in this window
	total   int64         // arrived since the beginning
}

func (b *pacedBody) Read(p []byte) (int, error) {
	began := time.Now()
	if err := b.control.SetReadDeadline(began.Add(b.pace.window - b.waited)); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	b.waited += time.Since(began)
	b.total += int64(n)
	if b.arrived += int64(n); b.arrived >= b.pace.bytes {
		b.waited, b.arrived = 0, 0
	}
	if err == nil {
		return n, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errTooSlow
	}
	// From here on net/http listens for the client to hang up, without a deadline.
	if failed := b.control.SetReadDeadline(time.Time{}); failed != nil {
		return n, failed
	}
	return n, err
}

// pacedWriter fails when its reader does not take a write within pace.
type pacedWriter struct {
	gin.ResponseWriter
	control *http.ResponseController
	pace    pace
}

func (w pacedWriter) Write(p []byte) (int, error) {
	if err := w.control.SetWriteDeadline(time.Now().Add(w.pace.write)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}
