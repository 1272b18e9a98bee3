package faults_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

// halfUpload is an upload of which half has been sent.
type halfUpload struct {
	name    string
	content content
	goOn    pause
	answer  chan answer
}

// beginUpload sends half of a recording to a scaled-out system.
func beginUpload(t testing.TB, s *system.System, k system.Keys, name string) halfUpload {
	t.Helper()
	u := halfUpload{name, newContent(32_000_000), make(pause), make(chan answer, 1)}
	half := u.content.size / 2
	body := io.MultiReader(u.content.span(0, half), u.goOn, u.content.span(half, u.content.size-half))
	r := newRequestOf(t, "PUT", s.S3+"/calls/"+name, body, u.content.size, u.content.hash())
	sign(t, r, k)
	before := s.Stored()
	go func() { u.answer <- send(r) }() // ends with the answer
	for until := time.Now().Add(time.Minute); s.Stored().Intents == before.Intents; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the upload does not begin")
		}
	}
	return u
}

// pause is an empty reader that ends when it is closed.
type pause chan struct{}

func (p pause) Read([]byte) (int, error) {
	<-p
	return 0, io.EOF
}

// end sends the rest.
func (u halfUpload) end() answer {
	const patience = 30 * time.Second
	close(u.goOn)
	select {
	case a := <-u.answer:
		return a
	case <-time.After(patience):
		return answer{err: fmt.Errorf("no answer in %v", patience)}
	}
}
