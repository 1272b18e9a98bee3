package main

import (
	"net"
	"sync"
)

// crowded bounds the connections of each address, so that one client that
// opens more than it uses leaves room for the others. What comes beyond is
// closed before it costs anything.
type crowded struct {
	net.Listener
	most int // for each address

	mu    sync.Mutex     // guards count
	count map[string]int // by address; no zeros
}

// Accept gives the next connection of an address that has room.
func (l *crowded) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err == nil && l.enter(host) {
			return &guest{Conn: conn, leave: sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		conn.Close()
	}
}

func (l *crowded) enter(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[host] >= l.most {
		return false
	}
	l.count[host]++
	return true
}

func (l *crowded) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[host]--; l.count[host] == 0 {
		delete(l.count, host)
	}
}

// guest gives its place back when it is closed.
type guest struct {
	net.Conn
	leave func()
}

func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
