// Package s3api is the front that speaks S3: it turns requests into calls of
// the gateway and the gateway's errors into S3's. Its one verifier decides who
// asks and makes the only reader of a body; operations lists all it can do,
// and whatever is not in that table is refused as not implemented.
//
// Source: Amazon S3 API Reference.
package s3api

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/accesslog"
)

// Front serves S3 over HTTP, path style and host style.
type Front struct {
	gateway    *gateway.Gateway
	log        *slog.Logger
	access     *accesslog.Log
	engine     *gin.Engine
	domains    []string
	maxExpires time.Duration
	pace       pace
	crowd      *crowd
}

// Config says how a front is served. Its zero value is fit for use.
type Config struct {
	Domains     []string      // BUCKET.DOMAIN is host style; none if empty
	MaxExpires  time.Duration // the longest a presigned request may hold; 0 is DefaultMaxExpires
	MaxInFlight int           // requests under way for each access key; 0 is DefaultMaxInFlight
	Access      accesslog.Options
}

// The defaults of Config.
const (
	DefaultMaxExpires  = 15 * time.Minute
	DefaultMaxInFlight = 256
)

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
	marker  string   // the query parameter that selects it, "name" or "name=value", "*" for any value; "" if none does
	name    string   // as in the S3 API Reference
	knows   []string // further query parameters it honours; any other one makes it another operation
	headers allowed  // x-amz-* headers it honours beyond commonHeaders
	body    bodyUse
	serve   handler
}

// bodyUse says what an operation reads of a request's body.
type bodyUse int

const (
	noBody    bodyUse = iota
	takesBody         // x-amz-checksum-* headers are of the body
	takesList         // … are of the recording that the parts on the list make
)

// operations is the whole protocol. The first row that matches serves.
var operations = []operation{
	{"PUT", objectLevel, "", "PutObject", nil, putHeaders, takesBody, (*Front).putObject},
	{"GET", objectLevel, "", "GetObject", readParameters, readHeaders, noBody, (*Front).getObject},
	{"HEAD", objectLevel, "", "HeadObject", readParameters, readHeaders, noBody, (*Front).headObject},
	{"POST", objectLevel, "uploads", "CreateMultipartUpload", nil, createHeaders, noBody, (*Front).createUpload},
	{"PUT", objectLevel, "partNumber=*", "UploadPart", []string{"uploadId"}, nil, takesBody, (*Front).uploadPart},
	{"POST", objectLevel, "uploadId=*", "CompleteMultipartUpload", nil, completeHeaders, takesList, (*Front).completeUpload},
	{"DELETE", objectLevel, "uploadId=*", "AbortMultipartUpload", nil, nil, noBody, (*Front).abortUpload},
	{"GET", objectLevel, "uploadId=*", "ListParts", partsParameters, nil, noBody, (*Front).listParts},
	{"GET", bucketLevel, "uploads", "ListMultipartUploads", uploadsParameters, nil, noBody, (*Front).listUploads},
	{"HEAD", bucketLevel, "", "HeadBucket", nil, nil, noBody, (*Front).headBucket},
	{"GET", bucketLevel, "location", "GetBucketLocation", nil, nil, noBody, (*Front).getBucketLocation},
	{"GET", bucketLevel, "list-type=2", "ListObjectsV2", listParameters, nil, noBody, (*Front).listObjects},
	{"GET", bucketLevel, "", "ListObjects", markerParameters, nil, noBody, (*Front).listObjectsV1},
	{"GET", bucketLevel, "versions", "ListObjectVersions", versionsParameters, nil, noBody, (*Front).listVersions},
	{"DELETE", objectLevel, "", "DeleteObject", deleteParameters, nil, noBody, (*Front).deleteObject},
	{"POST", bucketLevel, "delete", "DeleteObjects", nil, nil, takesBody, (*Front).deleteObjects},
	{"GET", serviceLevel, "", "ListBuckets", bucketsParameters, nil, noBody, (*Front).listBuckets},
	{"PUT", bucketLevel, "", "CreateBucket", nil, bucketHeaders, takesBody, (*Front).createBucket},
	{"DELETE", bucketLevel, "", "DeleteBucket", nil, nil, noBody, (*Front).deleteBucket},
	{"GET", bucketLevel, "versioning", "GetBucketVersioning", nil, nil, noBody, (*Front).getBucketVersioning},
}

// unknown stands for every operation that operations lacks.
var unknown = operation{name: "unknown", body: takesBody}

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

// New makes the front of a gateway, which keeps account of its requests in log.
func New(g *gateway.Gateway, log *slog.Logger, c Config) *Front {
	gin.SetMode(gin.ReleaseMode) // the debug mode prints to standard output
	f := &Front{
		gateway: g, log: log, access: accesslog.New("s3", log, c.Access),
		engine: gin.New(), pace: defaultPace,
		domains:    strings.Fields(strings.ToLower(strings.Join(c.Domains, " "))),
		maxExpires: cmp.Or(c.MaxExpires, DefaultMaxExpires),
		crowd:      newCrowd(cmp.Or(c.MaxInFlight, DefaultMaxInFlight)),
	}
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
	r, entry := f.access.Begin(c.Request)
	w, body := f.paced(c.Writer, r)
	defer func() { entry.End(w.Status(), body.total, int64(w.Size())) }()
	answer(w.Header(), r, entry.ID)
	err := entry.Guard(func() error { return f.serve(w, r, entry) })
	if err == nil {
		w.WriteHeaderNow()
		return
	}
	account(entry, r, err)
	if w.Written() {
		entry.Answer.Cut = true
		panic(http.ErrAbortHandler)
	}
	fail(w, r, entry.ID, err)
	w.WriteHeaderNow()
}

// paced gives the two sides of a request, with limits on how slow each may be.
// The body is r's now.
func (f *Front) paced(w gin.ResponseWriter, r *http.Request) (pacedWriter, *pacedBody) {
	control := http.NewResponseController(w)
	body := &pacedBody{ReadCloser: r.Body, control: control, pace: f.pace}
	r.Body = body
	return pacedWriter{w, control, f.pace}, body
}

// serve calls the operation once the sender is known, has a place, and the
// request is nothing but what the operation knows.
func (f *Front) serve(w http.ResponseWriter, r *http.Request, entry *accesslog.Entry) error {
	at := locate(r, f.domains)
	op := selectOperation(r.Method, at.level, at.query)
	entry.Answer.Operation = op.name
	in, err := f.authenticate(op, r, entry.ID)
	if err != nil {
		return err
	}
	in.entry, entry.Answer.Tenant = entry, in.caller.Tenant
	if err := f.crowd.enter(in.caller.Who); err != nil {
		return err
	}
	defer f.crowd.leave(in.caller.Who)
	if op.serve == nil { // not a word of its headers: it is the operation that is unknown
		return errNotImplemented
	}
	if err := op.admit(r, at.query); err != nil {
		return err
	}
	if op.body == noBody {
		if err := in.body.none(); err != nil {
			return err
		}
	}
	if in.target, err = at.target(); err != nil {
		return err
	}
	return op.serve(f, w, r, in)
}

// answer sets the headers that every answer has. No recording is a page: a
// browser that is shown one must neither guess its type nor run it. And no
// connection is used again after HTTP's own chunks, about whose end a proxy
// before this server might think otherwise: RFC 9112 section 11.2.
func answer(h http.Header, r *http.Request, id string) {
	clear(h)
	if len(r.TransferEncoding) > 0 {
		h.Set("Connection", "close")
	}
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

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is a request like any other
	}
}
