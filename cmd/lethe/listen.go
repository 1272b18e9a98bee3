package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
)

// The limits of every listener.
const (
	headerWithin = 5 * time.Second
	idleFor      = 2 * time.Minute
	maxHeader    = 16 << 10 // bytes
	probesEndFor = time.Second
)

// service is a handler and the address it is to be served at.
type service struct {
	name       string
	addr       string
	handler    http.Handler
	readWithin time.Duration // for a whole request; 0 is no limit
	tls        *tls.Config   // nil is plain HTTP
	most       int           // connections from one address
}

// listener is an address that is taken. Requests wait there until it serves.
type listener struct {
	name string
	at   net.Listener
	http *http.Server
}

// listen takes the addresses of all services, or none.
func listen(log netLog, services ...service) (all []listener, err error) {
	for _, s := range services {
		at, err := net.Listen("tcp", s.addr)
		if err != nil {
			closeAll(all)
			return nil, fmt.Errorf("listen for %s: %w; choose another address with --listen-%s", s.name, err, s.name)
		}
		at = &crowded{Listener: at, most: s.most, count: map[string]int{}}
		if s.tls != nil {
			at = tls.NewListener(at, s.tls)
		}
		all = append(all, listener{s.name, at, &http.Server{
			Handler:           s.handler,
			ReadHeaderTimeout: headerWithin,
			ReadTimeout:       s.readWithin,
			IdleTimeout:       idleFor,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          log.of(s.name),

			DisableGeneralOptionsHandler: true, // "OPTIONS *" is a request like any other
		}})
	}
	return all, nil
}

func closeAll(all []listener) {
	for _, l := range all {
		l.at.Close()
	}
}

// ending is how a server ends.
type ending struct {
	config.Shutdown
	told func() // called when it begins: the server takes new requests, and is no longer ready for them
}

// serve serves all listeners until ctx ends or one of them fails. Then it is no
// longer ready, and e.Delay later takes no more connections; requests under way
// have as long as e.Drain to end, and are broken off after that. Probes are
// answered to the last.
func serve(ctx context.Context, all []listener, e *ending) error {
	broken := make(chan error, len(all))
	for _, l := range all {
		go func() { broken <- l.http.Serve(l.at) }() // ends with drain
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-broken:
	}
	e.told()
	if err == nil {
		time.Sleep(e.Delay)
	}
	probes := slices.IndexFunc(all, func(l listener) bool { return l.name == opsListener })
	if probes < 0 {
		probes = len(all)
	}
	drain(all[:probes], e.Drain)
	drain(all[probes:], probesEndFor)
	return err
}

func drain(all []listener, drainFor time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), drainFor)
	defer cancel()
	var ending sync.WaitGroup
	for _, l := range all {
		ending.Go(func() {
			if errors.Is(l.http.Shutdown(ctx), context.DeadlineExceeded) {
				l.http.Close()
			}
		})
	}
	ending.Wait()
}
