package clients

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/lethe-vault/lethe/test/system"
	"github.com/lethe-vault/lethe/test/telephony"
)

// long is the size of a day's recording of a meeting room.
const long = 300 << 20

// TestCut has every client that sends parts carry a long recording up and
// down, each way over a line that is cut in the middle, once.
func TestCut(t *testing.T) {
	call := telephony.Long(t, t.TempDir(), long)
	want := digest(t, call.Path)
	s := system.Secure(t)
	lethe(t, s, nil, "tenant", "create", tenant)
	for _, k := range kinds {
		if !k.parts.sends {
			continue
		}
		at := newSite(t, s, "calls-"+k.name)
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			name, back := names[1], filepath.Join(t.TempDir(), "back.wav")
			overCutLine(t, k, at, k.parts.up, call.Size/2, func(c client) error {
				return c.put(t.Context(), call.Path, name)
			})
			overCutLine(t, k, at, k.parts.down, call.Size/2, func(c client) error {
				return c.get(t.Context(), name, back)
			})
			if got := digest(t, back); got != want {
				t.Errorf("SHA-256 is %s, want %s", got, want)
			}
		})
	}
}

// overCutLine runs a transfer over a line that is cut once after some bytes,
// and again if that is left to the user.
func overCutLine(t *testing.T, k kind, at site, who persistence, after int64, transfer func(client) error) {
	t.Helper()
	line := newLine(t, at.host(), after)
	at.endpoint = at.url().Scheme + "://" + line.addr()
	c := k.connect(t, at)
	err := transfer(c)
	if !line.cut.Load() {
		t.Fatalf("the line was not cut; %v", err)
	}
	if who == repeats {
		if err == nil {
			t.Error("the client finished by itself: say so in kinds")
		}
		err = transfer(c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A line carries TCP connections to a server. It cuts the one that carries its
// byte number after, counting all of both directions.
type line struct {
	listener net.Listener
	server   string
	after    int64
	carried  atomic.Int64
	cut      atomic.Bool
}

func newLine(t *testing.T, server string, after int64) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	l := &line{listener: listener, server: server, after: after}
	go l.accept() // ends with the listener
	return l
}

func (l *line) addr() string { return l.listener.Addr().String() }

func (l *line) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.server)
		if err != nil {
			near.Close()
			continue
		}
		go l.carry(near, far) // each ends when either side does
		go l.carry(far, near)
	}
}

func (l *line) carry(to, from net.Conn) {
	io.Copy(to, io.TeeReader(from, l)) // how a side ends is the other side's news
	to.Close()
	from.Close()
}

var errCut = errors.New("cut")

// Write counts what passes.
func (l *line) Write(p []byte) (int, error) {
	now := l.carried.Add(int64(len(p)))
	if now >= l.after && now-int64(len(p)) < l.after {
		l.cut.Store(true)
		return 0, errCut
	}
	return len(p), nil
}
