// Package s3api is the front that speaks S3: it turns requests into calls of
// the gateway and the gateway's errors into S3's. Its one verifier decides who
// asks and makes the only reader of a body; operations lists all it can do,
// and whatever is not in that table is refused as not implemented.
//
// Source: Amazon S3 API Reference.
package s3api

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lethe-vault/lethe/gateway"
)

// Front serves S3 over HTTP, path style.
type Front struct {
	gateway *gateway.Gateway
	log     *slog.Logger
	engine  *gin.Engine
}

// A handler serves one verified request, or says why it could not.
type handler func(f *Front, w http.ResponseWriter, r *http.Request, in verified) error

// level is how deep a path reaches.
type level int

const (
	serviceLevel level = iota // "/"
	bucketLevel               // "/bucket" or "/bucket/"
	objectLevel               // "/bucket/name"
)

// operation is one row of the protocol.
type operation struct {
	method  string
	level   level
	marker  string   // the query parameter that selects it, "name" or "name=value"; "" if none does
	name    string   // as in the S3 API Reference
	knows   []string // further query parameters it honours; any other one makes it another operation
	headers allowed  // x-amz-* headers it honours beyond commonHeaders
	body    bool     // takesBody or noBody
	serve   handler
}

const (
	takesBody = true
	noBody    = false
)

// operations is the whole protocol. The first row that matches serves.
var operations = []operation{
	{"PUT", objectLevel, "", "PutObject", nil, putHeaders, takesBody, (*Front).putObject},
	{"GET", objectLevel, "", "GetObject", nil, readHeaders, noBody, (*Front).getObject},
	{"HEAD", objectLevel, "", "HeadObject", nil, readHeaders, noBody, (*Front).headObject},
	{"HEAD", bucketLevel, "", "HeadBucket", nil, nil, noBody, (*Front).headBucket},
	{"GET", bucketLevel, "location", "GetBucketLocation", nil, nil, noBody, (*Front).getBucketLocation},
	{"GET", bucketLevel, "list-type=2", "ListObjectsV2", listParameters, nil, noBody, (*Front).listObjects},
}

// unknown stands for every operation that operations lacks.
var unknown = operation{name: "unknown", body: takesBody, serve: (*Front).notImplemented}

// sdkParameter repeats the operation's name; SDKs send it and S3 ignores it.
const sdkParameter = "x-id"

// selectOperation finds the row for a request.
func selectOperation(method string, l level, query url.Values) operation {
	for _, op := range operations {
		if op.method == method && op.level == l && op.selectedBy(query) {
			return op
		}
	}
	return unknown
}

// New makes the front of a gateway. Errors that are not the client's are
// logged to log, once each.
func New(g *gateway.Gateway, log *slog.Logger) *Front {
	gin.SetMode(gin.ReleaseMode) // the debug mode prints to standard output
	f := &Front{gateway: g, log: log, engine: gin.New()}
	f.engine.RedirectTrailingSlash = false // a slash is part of a name
	f.engine.UseRawPath = false
	if err := f.engine.SetTrustedProxies(nil); err != nil {
		panic(err) // cannot be: there is no address to parse
	}
	f.engine.NoRoute(f.handle)
	return f
}

// ServeHTTP serves one request.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.engine.ServeHTTP(w, r) }

// handle is where gin ends: it authenticates, calls the operation and renders
// its error. When an error comes after the first byte, the connection is cut,
// so that no client takes a part of a recording for the whole.
func (f *Front) handle(c *gin.Context) {
	c.Status(http.StatusOK) // where nothing is routed, gin begins with 404
	id := newRequestID()
	answer(c.Writer.Header(), id)
	at := locate(c.Request)
	op := selectOperation(c.Request.Method, at.level, at.query)
	in, err := f.authenticate(c.Request, id)
	if err == nil {
		err = f.serve(op, c.Writer, c.Request, in, at)
	}
	if err == nil {
		c.Writer.WriteHeaderNow()
		return
	}
	f.report(c.Request, op, id, err)
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	fail(c.Writer, c.Request, id, err)
	c.Writer.WriteHeaderNow()
}

// serve calls the operation once the request is nothing but what it knows.
func (f *Front) serve(op operation, w http.ResponseWriter, r *http.Request, in verified, at location) error {
	if err := op.admit(r, at.query); err != nil {
		return err
	}
	var err error
	if in.target, err = at.target(); err != nil {
		return err
	}
	return op.serve(f, w, r, in)
}

func (f *Front) notImplemented(http.ResponseWriter, *http.Request, verified) error {
	return errNotImplemented
}

// newRequestID draws the 16 hex digits by which a client and a log speak of
// the same request.
func newRequestID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return fmt.Sprintf("%X", b)
}

// answer sets the headers that every answer has. No recording is a page: a
// browser that is shown one must neither guess its type nor run it.
func answer(h http.Header, id string) {
	clear(h)
	h.Set("X-Amz-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
}

// The limits of Server.
const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
)

// Server makes the HTTP server for a front, with limits on what a client may
// send before it is known. The caller listens and shuts down.
func (f *Front) Server() *http.Server {
	return &http.Server{
		Handler:           f,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(f.log.Handler(), slog.LevelWarn),
	}
}
