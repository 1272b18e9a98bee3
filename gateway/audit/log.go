package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// ErrClosed: the log was closed, so nothing can be let through any more.
var ErrClosed = errors.New("audit: log is closed")

// The bounds of one group: how many records one transaction takes, and how
// long it may run, since those who wait for it hold requests open.
const (
	maxGroup     = 256
	groupTimeout = 10 * time.Second
)

// Log makes records durable. Those that arrive while a transaction runs share
// the next one, so that the cost of durability is paid per group.
type Log struct {
	store   Store
	queue   chan pending
	closing chan struct{} // closed by Close
	done    chan struct{} // closed when run has ended
	once    sync.Once

	waiting         atomic.Int64
	written, failed atomic.Uint64
}

// Stats is what a Log has done since NewLog.
type Stats struct {
	Written, Failed uint64 // events that were made durable, or could not be
	Waiting         int64  // requests that wait now for their event
}

// Stats gives the counts.
func (l *Log) Stats() Stats {
	return Stats{Written: l.written.Load(), Failed: l.failed.Load(), Waiting: l.waiting.Load()}
}

type pending struct {
	record  Record
	written chan error // buffered: run never waits for a reader
}

// NewLog writes to store until Close.
func NewLog(store Store) *Log {
	l := &Log{
		store:   store,
		queue:   make(chan pending, maxGroup),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	go l.run() // ended by Close
	return l
}

// Write returns nil once r is durable. When ctx ends first, r may still become
// durable, and the caller must not go on as if it had.
func (l *Log) Write(ctx context.Context, r Record) error {
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	p := pending{record: r, written: make(chan error, 1)}
	select {
	case l.queue <- p:
	case <-l.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-p.written:
		if err == nil {
			Durable(ctx)
		}
		return err
	case <-l.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the log once what it was given is durable or refused.
func (l *Log) Close() {
	l.once.Do(func() { close(l.closing) })
	<-l.done
}

func (l *Log) run() {
	defer close(l.done)
	for {
		select {
		case p := <-l.queue:
			l.commit(p)
		case <-l.closing:
			l.drain()
			return
		}
	}
}

// drain commits what was queued before closing began.
func (l *Log) drain() {
	for {
		select {
		case p := <-l.queue:
			l.commit(p)
		default:
			return
		}
	}
}

// commit makes first, and all that wait behind it, durable in one transaction.
func (l *Log) commit(first pending) {
	group := []pending{first}
	for len(group) < maxGroup {
		select {
		case p := <-l.queue:
			group = append(group, p)
			continue
		default:
		}
		break
	}
	records := make([]Record, len(group))
	for i, p := range group {
		records[i] = p.record
	}
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
	defer cancel()
	err := l.store.AppendEvents(ctx, records)
	l.count(len(records), err)
	for _, p := range group {
		p.written <- err
	}
}

func (l *Log) count(n int, err error) {
	if err != nil {
		l.failed.Add(uint64(n))
		return
	}
	l.written.Add(uint64(n))
}

// bind ties a sealed detail to its event.
func bind(e Event) []byte {
	return append(append([]byte{}, e.Tenant[:]...), e.ID[:]...)
}

func sealDetail(key keytree.Key, e Event) ([]byte, error) {
	b, err := json.Marshal(e.Detail)
	if err != nil {
		return nil, fmt.Errorf("audit: encode detail: %w", err)
	}
	return keytree.Seal(key, keytree.LabelAudit, bind(e), b)
}

// Unseal gives back the event with its detail; key is that of the event's month.
func Unseal(key keytree.Key, r Record) (Event, error) {
	e := r.Event
	if r.Sealed == nil {
		return e, nil
	}
	b, err := keytree.Open(key, keytree.LabelAudit, bind(e), r.Sealed)
	if err != nil {
		return e, fmt.Errorf("audit: event %x: %w", e.ID, err)
	}
	return e, json.Unmarshal(b, &e.Detail)
}
