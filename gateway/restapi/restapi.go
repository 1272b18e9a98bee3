// Package restapi is the management front: tenants, buckets and S3
// credentials as JSON over HTTP. openapi.yaml is its specification, from which
// the types, the routes (server.gen.go) and the Go client (package client) are
// generated. It decides nothing: it finds out who calls, hands the call to the
// gateway, and says in RFC 9457's words what went wrong.
package restapi

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lethe-vault/lethe/gateway"
)

//go:generate go tool -modfile=../../test/tools/generate/go.mod oapi-codegen -config server.yaml -o server.gen.go openapi.yaml
//go:generate go tool -modfile=../../test/tools/generate/go.mod oapi-codegen -config client.yaml -o client/client.gen.go openapi.yaml

//go:embed openapi.yaml
var specification []byte

// SpecificationPath is where a server shows openapi.yaml, without a token;
// the type of every problem points into it.
const SpecificationPath = "/v1/openapi.yaml"

// RequestHeader names the request in every answer and in both logs.
const RequestHeader = "X-Request-Id"

// maxAgent bounds what is kept of a User-Agent, in bytes.
const maxAgent = 256

type front struct {
	gateway *gateway.Gateway
	log     *slog.Logger
}

// New gives the front as a handler for a listener of its own. Requests that
// failed here and not at the caller are logged to log, once each.
func New(g *gateway.Gateway, log *slog.Logger) http.Handler {
	f := &front{gateway: g, log: log}
	gin.SetMode(gin.ReleaseMode) // the debug mode prints routes on standard output
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	_ = engine.SetTrustedProxies(nil) // nil cannot be malformed
	engine.NoRoute(func(c *gin.Context) { f.fail(c, errNoRoute) })
	engine.NoMethod(func(c *gin.Context) { f.fail(c, errNoMethod) })
	engine.GET(SpecificationPath, func(c *gin.Context) {
		c.Data(http.StatusOK, "application/yaml", specification)
	})
	RegisterHandlersWithOptions(engine, operations{f.handle}, GinServerOptions{
		ErrorHandler: func(c *gin.Context, err error, _ int) { f.fail(c, malformed(err.Error())) },
	})
	return named(engine)
}

// named gives each request its id and forbids every cache to keep the answer,
// which may hold a secret.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id [8]byte
		rand.Read(id[:])
		w.Header().Set(RequestHeader, strings.ToUpper(hex.EncodeToString(id[:])))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// handle is where gin ends: it authenticates, reads the body into body unless
// that is nil, lets call speak for the caller, and renders its error.
func (f *front) handle(c *gin.Context, body any, call func(StrictServerInterface) error) {
	caller, err := f.authenticate(c.Request, c.Writer.Header().Get(RequestHeader))
	if err == nil {
		err = decode(c.Writer, c.Request, body)
	}
	if err == nil {
		err = call(session{f.gateway, caller})
	}
	if err != nil {
		f.fail(c, err)
	}
}

// authenticate finds who holds the bearer token (RFC 6750, section 2.1) and
// adds where the request comes from.
func (f *front) authenticate(r *http.Request, id string) (gateway.Caller, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return gateway.Caller{}, errNoToken
	}
	caller, err := f.gateway.Token(r.Context(), gateway.NewSecret(token))
	if err != nil {
		return gateway.Caller{}, err
	}
	caller.From = host(r.RemoteAddr)
	caller.Agent = r.UserAgent()[:min(len(r.UserAgent()), maxAgent)]
	caller.Request = id
	return caller, nil
}

// host is the address of a peer without its port.
func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// session is the specification's operations as one caller may ask for them.
type session struct {
	gateway *gateway.Gateway
	caller  gateway.Caller
}

var _ StrictServerInterface = session{}
