package s3api

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"unicode/utf8"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

var listParameters = []string{
	"prefix", "delimiter", "start-after", "continuation-token", "max-keys", "encoding-type", "fetch-owner",
}

// maxKeys is the most names a page has, and how many it has by default.
const maxKeys = 1000

// listRequest is what the query of a listing asks for.
type listRequest struct {
	gateway.Page
	encode   func(string) text // how names are written
	encoding string            // what encoding-type calls that
	owner    bool              // whether each entry names its owner
}

// listBucketResult is ListObjectsV2's document.
type listBucketResult struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  recording.Bucket
	Prefix                text
	StartAfter            *text  `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	KeyCount              int
	MaxKeys               int
	Delimiter             *text  `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	Contents              []listEntry
	CommonPrefixes        []commonPrefix
}

type listEntry struct {
	Key          text
	LastModified timestamp
	ETag         string
	Size         int64
	Owner        *owner `xml:",omitempty"`
	StorageClass string
}

type owner struct{ ID string }

type commonPrefix struct{ Prefix text }

// listObjects gives one page of a bucket's names: ListObjectsV2.
func (f *Front) listObjects(w http.ResponseWriter, r *http.Request, in verified) error {
	req, err := parseList(in.query)
	if err != nil {
		return err
	}
	listing, err := f.list(r, in, req)
	if err != nil {
		return err
	}
	return writeXML(w, http.StatusOK, req.document(in, listing))
}

// list gives the page that a listing of any kind asks for.
func (f *Front) list(r *http.Request, in verified, req listRequest) (gateway.Listing, error) {
	page := req.Page
	page.Max = max(page.Max, 1) // max-keys=0 asks only whether it may
	listing, err := f.gateway.List(r.Context(), in.caller, in.bucket, page)
	if req.Max == 0 {
		listing = gateway.Listing{}
	}
	return listing, err
}

func parseList(q url.Values) (listRequest, error) {
	req, err := parsePage(q, "start-after", "max-keys")
	if err != nil {
		return req, err
	}
	req.Token = q.Get("continuation-token")
	if q.Has("continuation-token") && req.Token == "" {
		return req, errListArgument
	}
	req.owner = q.Get("fetch-owner") == "true"
	return req, nil
}

// parsePage reads what all listings ask for; after is the parameter with the
// name that a page begins after, most that with how many it may have.
func parsePage(q url.Values, after, most string) (listRequest, error) {
	req := listRequest{Page: gateway.Page{Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), After: q.Get(after)}}
	for _, s := range []string{req.Prefix, req.Delimiter, req.After} {
		if !utf8.ValidString(s) {
			return req, errListArgument
		}
	}
	var err error
	if req.encode, req.encoding, err = keyEncoding(q); err != nil {
		return req, err
	}
	req.Max, err = bounded(q, most)
	return req, err
}

// bounded reads how many entries a page may have.
func bounded(q url.Values, name string) (int, error) {
	if !q.Has(name) {
		return maxKeys, nil
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 32)
	if err != nil || n < 0 {
		return 0, errListArgument
	}
	return min(int(n), maxKeys), nil
}

// keyEncoding reads how names are to be written, and what that is called.
func keyEncoding(q url.Values) (encode func(string) text, name string, err error) {
	switch q.Get("encoding-type") {
	case "":
		return func(s string) text { return text(s) }, "", nil
	case "url":
		return func(s string) text { return text(sigv4.EscapePath(s)) }, "url", nil
	}
	return nil, "", errListArgument
}

func (q listRequest) document(in verified, l gateway.Listing) listBucketResult {
	return listBucketResult{
		Name:                  in.bucket,
		Prefix:                q.encode(q.Prefix),
		StartAfter:            q.optional(q.After),
		ContinuationToken:     q.Token,
		NextContinuationToken: l.Next,
		KeyCount:              len(l.Recordings) + len(l.Prefixes),
		MaxKeys:               q.Max,
		Delimiter:             q.optional(q.Delimiter),
		EncodingType:          q.encoding,
		IsTruncated:           l.Next != "",
		Contents:              q.contents(in, l),
		CommonPrefixes:        q.prefixes(l),
	}
}

func (q listRequest) contents(in verified, l gateway.Listing) (out []listEntry) {
	for _, info := range l.Recordings {
		e := listEntry{
			Key:          q.encode(string(info.Name)),
			LastModified: timestamp(info.CreatedAt),
			ETag:         quote(info.ETag),
			Size:         info.Size,
			StorageClass: "STANDARD",
		}
		if q.owner {
			o := ownerOf(in)
			e.Owner = &o
		}
		out = append(out, e)
	}
	return out
}

// ownerOf names the tenant, who owns all that it sees.
func ownerOf(in verified) owner { return owner{in.caller.Tenant.String()} }

func (q listRequest) prefixes(l gateway.Listing) (out []commonPrefix) {
	for _, p := range l.Prefixes {
		out = append(out, commonPrefix{q.encode(p)})
	}
	return out
}

// optional gives nil for a parameter that was not sent.
func (q listRequest) optional(s string) *text {
	if s == "" {
		return nil
	}
	t := q.encode(s)
	return &t
}
