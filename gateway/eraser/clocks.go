package eraser

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// mostApart is how far clocks may be apart before nobody knows what time it is.
const mostApart = 5 * time.Minute

// ErrApart: clocks are so far apart that nobody knows what time it is.
var ErrApart = errors.New("clocks are too far apart")

// Clock is a clock and what it shows.
type Clock struct {
	Name string
	At   time.Time
}

// Clocks gives the clock that is behind all others, and the one that is ahead: of this
// machine, the database and the store. With ErrApart it gives them too.
func (e *Eraser) Clocks(ctx context.Context) (first, last Clock, err error) {
	stored, err := e.storeTime(ctx)
	if err != nil {
		return first, last, fmt.Errorf("read the store's clock: %w", err)
	}
	database, err := e.Catalog.Clock(ctx)
	if err != nil {
		return first, last, err
	}
	first = Clock{"machine", time.Now()}
	last = first
	for _, c := range []Clock{{"database", database}, {"store", stored}} {
		if c.At.Before(first.At) {
			first = c
		}
		if c.At.After(last.At) {
			last = c
		}
	}
	if apart := last.At.Sub(first.At); apart > mostApart {
		err = fmt.Errorf("%w: %s is %v behind %s", ErrApart, first.Name, apart.Round(time.Second), last.Name)
	}
	return first, last, err
}

// storeTime is the time at which the store says that it got a blob just now.
func (e *Eraser) storeTime(ctx context.Context) (at time.Time, err error) {
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails
	key := "clock/" + hex.EncodeToString(nonce[:])
	if err := e.Blobs.Create(ctx, key, strings.NewReader(""), 0); err != nil {
		return at, err
	}
	for info, err := range e.Blobs.List(ctx, key) {
		if err != nil {
			return at, err
		}
		if info.Key == key {
			at = info.ModTime
		}
	}
	if err := e.Blobs.Delete(ctx, key); err != nil { // a lock may hold it, which is no matter
		e.Logger.Debug("blob of a look at the store's clock left", "error", err)
	}
	if at.IsZero() {
		return at, errors.New("the blob just created is not listed")
	}
	return at, nil
}
