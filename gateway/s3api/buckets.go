package s3api

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

var bucketsParameters = []string{"prefix", "max-buckets", "continuation-token"}

// maxBuckets is the most buckets a page has, and how many it has by default.
const maxBuckets = 10_000

// bucketsRequest is what the query of ListBuckets asks for.
type bucketsRequest struct {
	prefix string
	token  string
	after  recording.Bucket // from token
	max    int
}

// listBucketsResult is ListBuckets' document.
type listBucketsResult struct {
	XMLName           xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
	Owner             owner
	Buckets           []bucketEntry `xml:"Buckets>Bucket"`
	Prefix            text          `xml:",omitempty"`
	ContinuationToken string        `xml:",omitempty"`
}

type bucketEntry struct {
	Name         recording.Bucket
	CreationDate timestamp
}

// listBuckets gives the buckets that the caller may see: ListBuckets.
func (f *Front) listBuckets(w http.ResponseWriter, r *http.Request, in verified) error {
	req, err := parseBuckets(in.query)
	if err != nil {
		return err
	}
	buckets, err := f.gateway.Buckets(r.Context(), in.caller)
	if err != nil {
		return err
	}
	return writeXML(w, http.StatusOK, req.document(in, buckets))
}

func parseBuckets(q url.Values) (bucketsRequest, error) {
	req := bucketsRequest{prefix: q.Get("prefix"), token: q.Get("continuation-token"), max: maxBuckets}
	if q.Has("continuation-token") {
		name, err := base64.RawURLEncoding.DecodeString(req.token)
		if err != nil {
			return req, recording.ErrToken
		}
		if req.after, err = recording.ParseBucket(string(name)); err != nil {
			return req, recording.ErrToken
		}
	}
	if q.Has("max-buckets") {
		n, err := strconv.Atoi(q.Get("max-buckets"))
		if err != nil || n < 1 || n > maxBuckets {
			return req, errListArgument
		}
		req.max = n
	}
	return req, nil
}

// document is one page. A continuation token is the last name on a page, of
// which whoever gets it was told already.
func (q bucketsRequest) document(in verified, buckets []gateway.BucketInfo) listBucketsResult {
	d := listBucketsResult{Owner: ownerOf(in), Prefix: text(q.prefix)}
	for _, b := range buckets {
		if b.Name <= q.after || !strings.HasPrefix(string(b.Name), q.prefix) {
			continue
		}
		if len(d.Buckets) == q.max {
			last := d.Buckets[len(d.Buckets)-1].Name
			d.ContinuationToken = base64.RawURLEncoding.EncodeToString([]byte(last))
			return d
		}
		d.Buckets = append(d.Buckets, bucketEntry{b.Name, timestamp(b.CreatedAt)})
	}
	return d
}
