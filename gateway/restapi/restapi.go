// Package restapi is the management front: tenants, buckets and S3
// credentials as JSON over HTTP. openapi.yaml is its specification, from which
// the types, the routes (server.gen.go) and the Go client (package client) are
// generated. It decides nothing: it finds out who calls, hands the call to the
// gateway, and says in RFC 9457's words what went wrong.
package restapi

import (
	_ "embed"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/accesslog"
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
	access  *accesslog.Log
}

// New gives the front as a handler for a listener of its own, which keeps
// account of its requests in log.
func New(g *gateway.Gateway, log *slog.Logger, o accesslog.Options) http.Handler {
	f := &front{gateway: g, access: accesslog.New("api", log, o)}
	gin.SetMode(gin.ReleaseMode) // the debug mode prints routes on standard output
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	_ = engine.SetTrustedProxies(nil) // nil cannot be malformed
	engine.Use(f.begin)
	engine.NoRoute(func(c *gin.Context) { f.fail(c, errNoRoute) })
	engine.NoMethod(func(c *gin.Context) { f.fail(c, errNoMethod) })
	engine.GET(SpecificationPath, func(c *gin.Context) {
		entry(c).Public, entry(c).Answer.Operation = true, "getSpecification"
		c.Data(http.StatusOK, "application/yaml", specification)
	})
	RegisterHandlersWithOptions(engine, operations{f.handle}, GinServerOptions{
		ErrorHandler: func(c *gin.Context, err error, _ int) { f.fail(c, malformed(err.Error())) },
	})
	return engine
}

// begin gives each request its id and its account, and forbids every cache to
// keep the answer, which may hold a secret.
func (f *front) begin(c *gin.Context) {
	r, e := f.access.Begin(c.Request)
	c.Request = r
	c.Set(entryKey, e)
	defer func() { e.End(c.Writer.Status(), r.ContentLength, int64(c.Writer.Size())) }()
	c.Header(RequestHeader, e.ID)
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
	err := e.Guard(func() error {
		c.Next()
		return nil
	})
	if err != nil && !c.Writer.Written() {
		f.fail(c, err)
	}
}

const entryKey = "entry"

// entry is the account of the request.
func entry(c *gin.Context) *accesslog.Entry { return c.MustGet(entryKey).(*accesslog.Entry) }

// handle is where gin ends: it authenticates, reads the body into body unless
// that is nil, lets call speak for the caller, and renders its error.
func (f *front) handle(c *gin.Context, operation string, body any, call func(StrictServerInterface) error) {
	e := entry(c)
	e.Answer.Operation = operation
	caller, err := f.authenticate(c.Request, e.ID)
	e.Answer.Tenant = caller.Tenant
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
