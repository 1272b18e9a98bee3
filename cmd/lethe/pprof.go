package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/gateway"
)

// profiles serves Go's profiles. The command line is not among them: it may
// hold a database's password.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// onlyOwner lets only who holds the owner token through.
func onlyOwner(owner gateway.Secret, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(owner.Reveal()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(token)) // of equal length, so that the comparison tells nothing
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="lethe"`)
			http.Error(w, "Send the owner token as Authorization: Bearer.", http.StatusUnauthorized)
			return
		}
		// A profile takes as long as was asked for. A connection that cannot
		// have no deadline keeps the one it has.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		next.ServeHTTP(w, r)
	})
}
