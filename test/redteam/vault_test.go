package redteam

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-vault/lethe/test/system"
)

// What nothing may show: it stands in every name, and in every sound.
const canary = "Quillfeather"

// Whose calls are recorded. Numbers are in a range of 10,000, which can be tried one by one.
const (
	numbers  = "+4930123%04d"
	erased   = "+49301234567" // everything that tells of her is erased
	survivor = "+49301230815"
	held     = "+49301232222" // is erased while one of his calls is on hold
	mistaken = "+49301231111" // is erased, and one of his calls was not his
	returned = "+49301233333" // is erased, and calls again
	stranger = "+49301239999" // of another tenant
)

const (
	tenant = "acme"
	other  = "other"
)

// vault is a running Lethe, and what its clients know.
type vault struct {
	t        *testing.T
	s        *system.System
	of       map[string]system.Keys // by tenant; they may read and write
	calls    []*call
	erasures []*erasure
}

// call is a recording as its sender knows it.
type call struct {
	tenant, bucket, name string
	parts                [][]byte // its sound; one part if it came whole
	version              string   // "" if nobody was told of one
	erased               bool
}

func (c *call) sound() []byte { return bytes.Join(c.parts, nil) }

func (c *call) String() string { return c.bucket + "/" + c.name + " " + c.version }

// erasure is what the one who asked for it knows.
type erasure struct {
	ID          string `json:"erasure"`
	Salt        string
	certificate []byte // once it was asked for
}

func newVault(t *testing.T, s *system.System) *vault {
	v := &vault{t: t, s: s, of: map[string]system.Keys{}}
	for _, name := range []string{tenant, other} {
		v.lethe(nil, "tenant", "create", name)
		for bucket, settings := range map[string][]string{
			"calls":  nil,
			"kept":   {"--retention", "90d"},
			"pilot":  {"--retention", "30d"},
			"latest": {"--overwrite", "replace"},
			"every":  {"--overwrite", "version"},
		} {
			v.lethe(nil, append([]string{"bucket", "create", "--tenant", name, bucket}, settings...)...)
		}
		var keys system.Keys
		v.lethe(&keys, "reader", "create", "--tenant", name, "quality", "--bucket", "*", "--write", "--purpose", "quality")
		v.of[name] = keys
	}
	return v
}

func (v *vault) lethe(answer any, args ...string) {
	v.t.Helper()
	if err := v.s.Lethe(answer, args...); err != nil {
		v.t.Fatalf("%v\n%s", err, v.s.Log())
	}
}

// s3 is an S3 client that shares no code with Lethe.
func (v *vault) s3(tenant string) minio.Core {
	v.t.Helper()
	at, err := url.Parse(v.s.S3)
	if err != nil {
		v.t.Fatal(err)
	}
	keys := v.of[tenant]
	core, err := minio.NewCore(at.Host, &minio.Options{
		Creds: credentials.NewStaticV4(keys.AccessKey, keys.SecretKey, ""), Region: "us-east-1", MaxRetries: 1,
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return *core
}

// record puts a call of so many bytes that tells of these people.
func (v *vault) record(bucket string, size int, subjects ...string) *call {
	v.t.Helper()
	return v.recordAs(v.call(tenant, bucket, subjects), subjects, size)
}

// call makes up a call with a name that nobody may read.
func (v *vault) call(tenant, bucket string, subjects []string) *call {
	about := "nobody"
	if len(subjects) > 0 {
		about = subjects[0]
	}
	c := &call{tenant: tenant, bucket: bucket, name: nameOf(about, len(v.calls))}
	v.calls = append(v.calls, c)
	return c
}

func nameOf(about string, n int) string { return fmt.Sprintf("2026/%s of %s/%d.wav", about, canary, n) }

func (v *vault) recordAs(c *call, subjects []string, size int) *call {
	v.t.Helper()
	c.parts = [][]byte{sound(size)}
	info, err := v.s3(c.tenant).PutObject(v.t.Context(), c.bucket, c.name, bytes.NewReader(c.parts[0]), int64(size), "", "", told(subjects))
	if err != nil || info.VersionID == "" {
		v.t.Fatalf("put %v: %+v, %v\n%s", c, info, err, v.s.Log())
	}
	c.version = info.VersionID
	return c
}

// again puts another call under the name of one.
func (v *vault) again(before *call, size int, subjects ...string) *call {
	v.t.Helper()
	c := v.call(before.tenant, before.bucket, subjects)
	c.name = before.name
	return v.recordAs(c, subjects, size)
}

// recordInParts puts a call in parts of these sizes.
func (v *vault) recordInParts(bucket string, sizes []int, subjects ...string) *call {
	v.t.Helper()
	c := v.call(tenant, bucket, subjects)
	upload, sent := v.sendParts(c, sizes, subjects)
	info, err := v.s3(c.tenant).CompleteMultipartUpload(v.t.Context(), c.bucket, c.name, upload, sent, minio.PutObjectOptions{})
	if err != nil || info.VersionID == "" {
		v.t.Fatalf("complete %v: %+v, %v", c, info, err)
	}
	c.version = info.VersionID
	return c
}

// breakOff sends parts of a call, has the thief look, and aborts the upload.
func (v *vault) breakOff(bucket string, sizes []int, look func(), subjects ...string) {
	v.t.Helper()
	c := v.call(tenant, bucket, subjects)
	c.erased = true
	upload, _ := v.sendParts(c, sizes, subjects)
	look()
	if err := v.s3(c.tenant).AbortMultipartUpload(v.t.Context(), c.bucket, c.name, upload); err != nil {
		v.t.Fatalf("abort %v: %v", c, err)
	}
}

func (v *vault) sendParts(c *call, sizes []int, subjects []string) (upload string, sent []minio.CompletePart) {
	v.t.Helper()
	s3 := v.s3(c.tenant)
	upload, err := s3.NewMultipartUpload(v.t.Context(), c.bucket, c.name, told(subjects))
	if err != nil {
		v.t.Fatal(err)
	}
	for i, size := range sizes {
		c.parts = append(c.parts, sound(size))
		part, err := s3.PutObjectPart(v.t.Context(), c.bucket, c.name, upload, i+1, bytes.NewReader(c.parts[i]), int64(size), minio.PutObjectPartOptions{})
		if err != nil {
			v.t.Fatal(err)
		}
		sent = append(sent, minio.CompletePart{PartNumber: i + 1, ETag: part.ETag})
	}
	return upload, sent
}

func told(subjects []string) minio.PutObjectOptions {
	if len(subjects) == 0 {
		return minio.PutObjectOptions{}
	}
	return minio.PutObjectOptions{UserMetadata: map[string]string{"lethe-subject": strings.Join(subjects, ",")}}
}

// sound is what no other call says.
func sound(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	copy(b, "said to "+canary)
	return b
}

// hold puts a hold on a call, and gives its id.
func (v *vault) hold(c *call) string {
	v.t.Helper()
	var made struct{ Hold string }
	v.lethe(&made, "hold", "create", "--tenant", c.tenant, "--recording", c.bucket+"/"+c.name, "--reason", "complaint of "+canary)
	return made.Hold
}

// refile corrects of whom a call tells, or has it kept for longer.
func (v *vault) refile(c *call, what ...string) {
	v.t.Helper()
	var made struct{ Refiled int }
	v.lethe(&made, append([]string{"refile", "--tenant", c.tenant, "--recording", c.bucket + "/" + c.name}, what...)...)
	if made.Refiled != 1 {
		v.t.Errorf("refile %v: %+v", c, made)
	}
}

// erase asks for an erasure by which these calls go.
func (v *vault) erase(calls []*call, what ...string) {
	v.t.Helper()
	e := &erasure{}
	v.lethe(e, append([]string{"erase", "--tenant", tenant, "--reason", "asked for"}, what...)...)
	if e.Salt == "" {
		v.t.Fatalf("erase %v: no salt", what)
	}
	v.gone(e, calls...)
}

// delete erases a call over S3.
func (v *vault) delete(c *call) {
	v.t.Helper()
	if err := v.s3(c.tenant).RemoveObject(v.t.Context(), c.bucket, c.name, minio.RemoveObjectOptions{}); err != nil {
		v.t.Fatal(err)
	}
	c.erased = true
}

func (v *vault) gone(e *erasure, calls ...*call) {
	for _, c := range calls {
		c.erased = true
	}
	v.erasures = append(v.erasures, e)
}

// expiry is the day on which a call in a bucket with a retention of so many days expires.
func (v *vault) expiry(c *call, days int) string {
	v.t.Helper()
	info, err := v.s3(c.tenant).StatObject(v.t.Context(), c.bucket, c.name, minio.StatObjectOptions{})
	if err != nil {
		v.t.Fatal(err)
	}
	return fmt.Sprintf("%dd/%s", days, info.LastModified.UTC().AddDate(0, 0, days+1).Format(time.DateOnly))
}

// effective waits until the keys of all that was erased are destroyed.
func (v *vault) effective() {
	v.t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		var list struct{ Erasures []struct{ State string } }
		v.lethe(&list, "erasure", "list", "--tenant", tenant)
		waiting := slices.ContainsFunc(list.Erasures, func(e struct{ State string }) bool {
			return e.State != "effective" && e.State != "certified"
		})
		if !waiting && len(list.Erasures) >= len(v.erasures) {
			return
		}
		if time.Since(begun) > time.Minute {
			v.t.Fatalf("erasures: %+v\n%s", list, v.s.Log())
		}
	}
}

// certify waits for the certificates of what was erased.
func (v *vault) certify() {
	v.t.Helper()
	for _, e := range v.erasures {
		var made struct{ Certificate json.RawMessage }
		v.lethe(&made, "certificate", e.ID, "--wait")
		e.certificate = made.Certificate
	}
}

// reindex has the key forgotten by which old rows confirm numbers.
func (v *vault) reindex() {
	v.t.Helper()
	var r struct {
		State          string
		Moved, Damaged int
		Linkable       bool
	}
	for begun := time.Now(); r.State != "forgotten" && time.Since(begun) < 5*time.Minute; {
		if err := v.s.Lethe(&r, "reindex", tenant, "--wait", "--wait-for", "2m"); err != nil {
			v.t.Logf("not yet: %v", err)
		}
	}
	v.t.Logf("reindex: %+v", r)
	if r.State != "forgotten" || r.Moved == 0 || r.Damaged > 0 || r.Linkable {
		v.t.Errorf("reindex: %+v\n%s", r, v.s.Log())
	}
}

// statement is what a certificate says, as it was signed.
func (e *erasure) statement(t *testing.T) []byte {
	t.Helper()
	var envelope struct{ Payload string }
	err := json.Unmarshal(e.certificate, &envelope)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return statement
}

// salts are what the certificates' commitments can be opened with, as only the one who
// asked has them.
func (v *vault) salts() (all [][]byte) {
	v.t.Helper()
	for _, e := range v.erasures {
		salt, err := hex.DecodeString(e.Salt)
		if err != nil {
			v.t.Fatal(err)
		}
		all = append(all, salt)
	}
	return all
}

// live gives what was not erased, gone what was.
func (v *vault) live() []*call  { return v.those(false) }
func (v *vault) gones() []*call { return v.those(true) }

func (v *vault) those(erased bool) (calls []*call) {
	for _, c := range v.calls {
		if c.erased == erased {
			calls = append(calls, c)
		}
	}
	return calls
}

// read reads a call by its version. refused is the status of a refusal; 0 if it was read.
func (v *vault) read(c *call) (got []byte, refused int) {
	v.t.Helper()
	return v.readVersion(c, c.version)
}

// readVersion reads a version of what has a call's name; "" is the newest.
func (v *vault) readVersion(c *call, version string) (got []byte, refused int) {
	v.t.Helper()
	r, _, _, err := v.s3(c.tenant).GetObject(v.t.Context(), c.bucket, c.name, minio.GetObjectOptions{VersionID: version})
	if err == nil {
		defer r.Close()
		got, err = io.ReadAll(r)
	}
	if err == nil {
		return got, 0
	}
	if refused = minio.ToErrorResponse(err).StatusCode; refused == 0 {
		v.t.Errorf("read %v: %v", c, err)
	}
	return got, refused
}

// names lists a tenant's recordings, as bucket/name, as far as the server does.
func (v *vault) names(tenant string) (all []string, err error) {
	v.t.Helper()
	found := map[string]bool{}
	s3 := v.s3(tenant)
	for _, bucket := range []string{"calls", "kept", "pilot", "latest", "every"} {
		for o := range s3.Client.ListObjects(v.t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
			if o.Err != nil {
				err = errors.Join(err, fmt.Errorf("list %s: %w", bucket, o.Err))
				continue
			}
			found[bucket+"/"+o.Key] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), err
}

// liveNames are those of a tenant's live calls, as bucket/name.
func (v *vault) liveNames(tenant string) []string {
	names := map[string]bool{}
	for _, c := range v.live() {
		if c.tenant == tenant {
			names[c.bucket+"/"+c.name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// answers checks that the server serves no byte of what is erased, nor lists it, and
// gives which of the others it does not serve. It may also refuse with some other status.
func (v *vault) answers(when string, also ...int) (missing []*call) {
	v.t.Helper()
	refusals := append([]int{http.StatusNotFound, http.StatusGone, http.StatusServiceUnavailable}, also...)
	for _, c := range v.calls {
		if c.version == "" {
			continue
		}
		got, refused := v.read(c)
		switch {
		case c.erased && (len(got) > 0 || !slices.Contains(refusals, refused)):
			v.t.Errorf("%s: %v was erased: %d bytes, status %d", when, c, len(got), refused)
		case !c.erased && refused != 0:
			missing = append(missing, c)
		case !c.erased && !bytes.Equal(got, c.sound()):
			v.t.Errorf("%s: %v: %d other bytes", when, c, len(got))
		}
		if !c.erased {
			continue
		}
		if newest, _ := v.readVersion(c, ""); bytes.Equal(newest, c.sound()) {
			v.t.Errorf("%s: %v was erased, and is served by its name", when, c)
		}
	}
	for name := range v.of {
		listed, _ := v.names(name)
		for _, of := range listed {
			if !slices.Contains(v.liveNames(name), of) {
				v.t.Errorf("%s: %s was erased, and is listed", when, of)
			}
		}
	}
	return missing
}

// whole checks that the server serves all that is not erased, lists that, and nothing else.
func (v *vault) whole(when string) {
	v.t.Helper()
	for _, c := range v.answers(when) {
		v.t.Errorf("%s: %v is not served", when, c)
	}
	for name := range v.of {
		if got, err := v.names(name); err != nil || !slices.Equal(got, v.liveNames(name)) {
			v.t.Errorf("%s: %s has %q, %v, want %q", when, name, got, err, v.liveNames(name))
		}
	}
}
