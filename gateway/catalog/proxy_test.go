package catalog_test

import (
	"bytes"
	"cmp"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A proxy stands between a catalog and its server. It breaks the connection on
// which it sees the next COMMIT, or what a fault names instead, or keeps all of
// them and passes nothing on.
type proxy struct {
	listener net.Listener
	server   string
	frozen   atomic.Bool // nothing is passed on to the server

	mu    sync.Mutex
	armed *fault // guarded by mu; nil: all is well
	hit   bool   // guarded by mu
}

// fault is what happens at COMMIT.
type fault struct {
	at      string // instead of at COMMIT: at a request that holds this
	deliver bool   // the server gets it, and answers before the connection breaks
	forGood bool   // nobody can connect from then on
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{listener: l, server: server}
	go p.accept() // ends when the listener is closed
	return p
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *proxy) arm(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.hit = &f, false
}

func (p *proxy) struck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hit
}

// strike takes the fault that is armed, if request is what it waits for.
func (p *proxy) strike(request []byte) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.armed
	if f == nil || !bytes.Contains(request, []byte(cmp.Or(f.at, "commit\x00"))) {
		return nil
	}
	p.armed, p.hit = nil, true
	return f
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		go func() { // ends when either side closes
			defer client.Close()
			defer server.Close()
			p.forward(client, server)
		}()
	}
}

// forward copies both ways until a COMMIT is struck.
func (p *proxy) forward(client, server net.Conn) {
	var muted atomic.Bool
	answered := make(chan struct{}) // closed once the server has answered the COMMIT, or gone
	go func() {                     // ends when server is closed
		defer close(answered)
		defer client.Close()
		for b := make([]byte, 32<<10); ; {
			n, err := server.Read(b)
			if err != nil || muted.Load() {
				return
			}
			client.Write(b[:n])
		}
	}()
	for b := make([]byte, 32<<10); ; {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		if p.frozen.Load() {
			continue
		}
		if f := p.strike(b[:n]); f != nil {
			muted.Store(true)
			p.fail(*f, server, b[:n], answered)
			return
		}
		server.Write(b[:n])
	}
}

func (p *proxy) fail(f fault, server io.Writer, commit []byte, answered <-chan struct{}) {
	if f.forGood {
		p.listener.Close()
	}
	if f.deliver {
		server.Write(commit)
		<-answered
	}
}
