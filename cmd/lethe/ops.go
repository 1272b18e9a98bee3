package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/lethe-vault/lethe/gateway"
)

// readyWithin bounds the answer of /readyz.
const readyWithin = 2 * time.Second

// opsListener is the name of the listener that answers probes; it is the last.
const opsListener = "ops"

// whileReady answers /readyz itself once the server has begun to end.
func whileReady(e *ending, probes http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e.begun.Load() && r.URL.Path == "/readyz" {
			http.Error(w, "not ready: ending", http.StatusServiceUnavailable)
			return
		}
		probes.ServeHTTP(w, r)
	})
}

// ops serves probes: /healthz while the process lives, /readyz while it can
// also do its work. Why it cannot is in the log of the parts that fail.
func ops(g *gateway.Gateway) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
		defer cancel()
		if g.Ready(ctx) != nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	return mux
}
