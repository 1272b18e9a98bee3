package s3api_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// kind is a kind of credential.
type kind string

const (
	recorders kind = "recorder"
	readers   kind = "reader"
	writers   kind = "reader that writes"
	lookers   kind = "reader of every bucket"
	keepers   kind = "reader that writes to every bucket"
)

var kinds = map[kind]gateway.NewKey{
	recorders: {Kind: policy.Recorder, Bucket: calls},
	readers:   {Kind: policy.Reader, Bucket: calls},
	writers:   {Kind: policy.Reader, Bucket: calls, Write: true},
	lookers:   {Kind: policy.Reader, Bucket: policy.AnyBucket},
	keepers:   {Kind: policy.Reader, Bucket: policy.AnyBucket, Write: true},
}

// call is how to call an operation so that it succeeds for those who may.
type call struct {
	target  func(*vault, pair) string // made ready before each call
	content string
	list    bool // the content is partsOf instead
	may     []kind
	own     bool // it speaks of the caller's own tenant alone, whatever it is called with
}

var (
	everyone = []kind{recorders, readers, writers, lookers, keepers}
	anyRead  = []kind{readers, writers, lookers, keepers}
	erasers  = []kind{writers, keepers}
	putters  = []kind{recorders, writers, keepers}
)

// howToCall has a line for every row of the protocol.
var howToCall = map[string]call{
	"PutObject":           {target: at("/calls/a/new"), content: "new", may: putters},
	"GetObject":           {target: at("/calls/a/call"), may: anyRead},
	"HeadObject":          {target: at("/calls/a/call"), may: anyRead},
	"DeleteObject":        {target: at("/calls/a/call"), may: erasers},
	"DeleteObjects":       {target: at("/calls?delete"), content: "<Delete><Object><Key>a/call</Key></Object></Delete>", may: erasers},
	"HeadBucket":          {target: at("/calls"), may: everyone},
	"GetBucketLocation":   {target: at("/calls?location"), may: everyone},
	"GetBucketVersioning": {target: at("/calls?versioning"), may: everyone},
	"ListObjectsV2":       {target: at("/calls?list-type=2"), may: anyRead},
	"ListObjects":         {target: at("/calls"), may: anyRead},
	"ListObjectVersions":  {target: at("/calls?versions"), may: anyRead},
	"ListBuckets":         {target: at("/"), may: anyRead, own: true},
	"CreateBucket":        {target: newBucket, may: []kind{keepers}, own: true},
	"DeleteBucket":        {target: emptyBucket, may: []kind{keepers}},

	"CreateMultipartUpload":   {target: at("/calls/a/part?uploads"), may: putters},
	"UploadPart":              {target: openUpload("&partNumber=2"), content: "new", may: putters},
	"CompleteMultipartUpload": {target: openUpload(""), list: true, may: putters},
	"AbortMultipartUpload":    {target: openUpload(""), may: putters},
	"ListParts":               {target: openUpload(""), may: putters},
	"ListMultipartUploads":    {target: at("/calls?uploads"), may: anyRead},
}

func at(target string) func(*vault, pair) string {
	return func(*vault, pair) string { return target }
}

// openUpload is an upload in parts, of who calls if they may begin one, and
// else of this tenant's recorder: it has one part. rest is the query for it.
func openUpload(rest string) func(*vault, pair) string {
	return func(v *vault, p pair) string {
		id, err := v.aws(p).CreateMultipartUpload(v.t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(calls), Key: aws.String("a/part")})
		if err != nil || !slices.Contains([]string{v.mine[recorders].key, v.mine[writers].key, v.mine[keepers].key}, p.key) {
			p = v.mine[recorders]
			id, err = v.aws(p).CreateMultipartUpload(v.t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(calls), Key: aws.String("a/part")})
		}
		if err != nil {
			v.t.Fatal(err)
		}
		part, err := v.aws(p).UploadPart(v.t.Context(), &s3.UploadPartInput{
			Bucket: aws.String(calls), Key: aws.String("a/part"), UploadId: id.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader(spoken),
		})
		if err != nil {
			v.t.Fatal(err)
		}
		v.etag = aws.ToString(part.ETag)
		return "/calls/a/part?uploadId=" + *id.UploadId + rest
	}
}

// partsOf names the part that openUpload put.
func partsOf(v *vault) string {
	return "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + v.etag + "</ETag></Part></CompleteMultipartUpload>"
}

// newBucket is one that nobody has.
func newBucket(*vault, pair) string {
	return "/bucket-" + strings.ToLower(recording.NewVersion().String()[:8])
}

// emptyBucket is one that can be deleted.
func emptyBucket(v *vault, p pair) string {
	name := newBucket(v, p)
	v.Bucket("acme", gateway.BucketSettings{Name: recording.Bucket(name[1:])})
	return name
}

// The matrix of GATES.md C2, "tenant confusion": every operation with every
// kind of credential, of this tenant and of another, does what that kind may
// and changes nothing otherwise. No credential of another tenant gets any
// answer about this one's buckets and recordings, be it that a bucket of its
// own has the same name.
func TestRoutesByCredential(t *testing.T) {
	v := newVault(t)
	v.Tenant("bare")
	v.Tenant("twin")
	v.Bucket("twin", gateway.BucketSettings{Name: calls})
	v.Tenant("other")
	v.Bucket("other", gateway.BucketSettings{Name: "elsewhere"})
	mine, theirs := map[kind]pair{}, map[string]map[kind]pair{"bare": {}, "twin": {}, "other": {}}
	for k, key := range kinds {
		mine[k] = v.pair("acme", key)
		theirs["twin"][k] = v.pair("twin", key)
		if key.Bucket == policy.AnyBucket {
			theirs["bare"][k] = v.pair("bare", key)
		} else {
			key.Bucket = "elsewhere"
		}
		theirs["other"][k] = v.pair("other", key)
	}
	v.reader, v.mine = mine[keepers], mine
	for _, op := range s3api.Operations() {
		c, known := howToCall[op.Name]
		if !known {
			t.Errorf("%s: say how to call it, and who may", op.Name)
			continue
		}
		for k, p := range mine {
			v.tryOwn(op, c, k, p)
		}
		for tenant, keys := range theirs {
			for k, p := range keys {
				v.tryForeign(op, c, tenant+"'s "+string(k), p, tenant == "twin")
			}
		}
	}
}

func (v *vault) pair(tenant string, k gateway.NewKey) pair {
	access, secret := v.Key(tenant, k)
	return pair{access, secret}
}

const spoken = "what was said"

// state is all there is of this tenant, which others must neither see nor change.
func (v *vault) state() string {
	v.t.Helper()
	caller := v.Caller(v.reader.key)
	buckets, err := v.Buckets(v.t.Context(), caller)
	if err != nil {
		v.t.Fatal(err)
	}
	var out strings.Builder
	for _, b := range buckets {
		l, err := v.List(v.t.Context(), caller, b.Name, gateway.Page{Max: 1000})
		if err != nil {
			v.t.Fatal(err)
		}
		fmt.Fprintln(&out, b.Name, b.CreatedAt)
		for _, in := range l.Recordings {
			fmt.Fprintln(&out, in.Name, in.Version, in.Digests)
		}
		uploads, err := v.Uploads(v.t.Context(), caller, b.Name, "")
		if err != nil {
			v.t.Fatal(err)
		}
		for _, u := range uploads {
			parts, err := v.Parts.Catalog.Parts(v.t.Context(), caller.Tenant, u.Version)
			if err != nil {
				v.t.Fatal(err)
			}
			fmt.Fprintln(&out, u, len(parts))
		}
	}
	return out.String()
}

// try calls an operation and gives its status, what it answered, and whether
// this tenant is as it was.
func (v *vault) try(op s3api.Row, c call, p pair) (status int, answered string, changed bool) {
	v.t.Helper()
	v.mustPut(calls, "a/call", spoken)
	target, content := c.target(v, p), c.content
	if c.list {
		content = partsOf(v)
	}
	before := v.state()
	answer, err := http.DefaultClient.Do(v.request(p, op.Method, target, content, unchanged))
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	changed = v.state() != before
	v.tidy()
	return answer.StatusCode, string(text), changed
}

// tidy ends what a call may have left open, so that there is little to compare
// at the next.
func (v *vault) tidy() {
	v.t.Helper()
	caller := v.Caller(v.reader.key)
	buckets, err := v.Buckets(v.t.Context(), caller)
	for _, b := range buckets {
		if b.Name != calls {
			err = errors.Join(err, v.DeleteBucket(v.t.Context(), caller, b.Name))
			continue
		}
		open, failed := v.Uploads(v.t.Context(), caller, b.Name, "")
		for _, u := range open {
			failed = errors.Join(failed, v.AbortUpload(v.t.Context(), caller, u.UploadID))
		}
		err = errors.Join(err, failed)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) tryOwn(op s3api.Row, c call, k kind, p pair) {
	v.t.Helper()
	status, answered, changed := v.try(op, c, p)
	if slices.Contains(c.may, k) {
		if status/100 != 2 {
			v.t.Errorf("%s by a %s: %d %s; say how to call it", op.Name, k, status, answered)
		}
		return
	}
	if status != http.StatusForbidden || changed || strings.Contains(answered, spoken) {
		v.t.Errorf("%s by a %s: %d %s, changed %t; want 403", op.Name, k, status, answered, changed)
	}
}

// tryForeign calls an operation as another tenant. A twin has a bucket of the
// same name and may do with that what it likes.
func (v *vault) tryForeign(op s3api.Row, c call, who string, p pair, twin bool) {
	v.t.Helper()
	status, answered, changed := v.try(op, c, p)
	if changed {
		v.t.Errorf("%s by %s changed this tenant", op.Name, who)
	}
	if status/100 == 2 && !c.own && !twin {
		v.t.Errorf("%s by %s: %d %s", op.Name, who, status, answered)
	}
	reveals := strings.Contains(answered, spoken) || status/100 == 2 && strings.Contains(answered, "<Key>a/call</Key><LastModified>")
	if reveals || !twin && status/100 == 2 && strings.Contains(answered, calls) {
		v.t.Errorf("%s by %s reveals %s", op.Name, who, answered)
	}
}
