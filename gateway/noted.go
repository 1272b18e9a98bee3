package gateway

import "sync"

// noted is what a process knows of something that it sees to in the background.
type noted[S any] struct {
	mu     sync.Mutex // guards status
	status S
}

func (n *noted[S]) note(f func(*S)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.status)
}

func (n *noted[S]) stats() (s S) {
	n.note(func(now *S) { s = *now })
	return s
}
