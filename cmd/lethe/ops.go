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
