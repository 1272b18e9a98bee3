package main

import (
	"context"
	"io"
	"net/http"

	"github.com/lethe-vault/lethe/cmd/lethe/health"
	"github.com/lethe-vault/lethe/crypto/hashivault"
)

// opsListener is the name of the listener that answers probes; it is the last.
const opsListener = "ops"

// ops serves whoever runs the server: /healthz while the process lives, /readyz
// while it can also do its work, /metrics, and profiles for the owner.
func ops(run live, ready *health.Checks) http.Handler {
	run.telemetry.Ready(ready.Last)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", run.telemetry.Handler())
	mux.Handle("/debug/pprof/", onlyOwner(run.owner, profiles()))
	return mux
}

// checks are what a server cannot do without. An embedded one has its keys in
// its own directory, which it holds as long as it lives.
func checks(run live) []health.Check {
	all := []health.Check{
		{Name: "catalog", Do: run.gateway.Ready, Say: func(error) string { return "the catalog does not answer, or has not told the tenants' states for 4 s" }},
		{Name: "store", Do: (&probe{blobs: run.parts.blobs, log: run.log}).check, Say: func(error) string { return "a blob cannot be created" }},
	}
	if vault, ok := run.parts.keys.(*hashivault.Provider); ok {
		all = append(all, health.Check{Name: "vault", Do: func(ctx context.Context) error { return vault.Usable(ctx) }, Say: error.Error})
	}
	return all
}
