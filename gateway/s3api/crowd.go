package s3api

import "sync"

// crowd counts the requests under way for each access key, so that one client
// that goes wild is told to slow down before it slows the others.
type crowd struct {
	most int // for each access key

	mu    sync.Mutex     // guards count
	count map[string]int // by access key; no zeros
}

func newCrowd(most int) *crowd { return &crowd{most: most, count: map[string]int{}} }

// enter takes a place, which leave gives back, or reports errSlowDown.
func (c *crowd) enter(accessKey string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[accessKey] >= c.most {
		return errSlowDown
	}
	c.count[accessKey]++
	return nil
}

func (c *crowd) leave(accessKey string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[accessKey]--; c.count[accessKey] == 0 {
		delete(c.count, accessKey)
	}
}
