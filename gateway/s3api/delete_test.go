package s3api_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// mustPut stores content under name, and gives its version.
func (v *vault) mustPut(bucket, name, content string) string {
	v.t.Helper()
	put, err := v.aws(v.reader).PutObject(v.t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(name), Body: strings.NewReader(content),
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return aws.ToString(put.VersionId)
}

// get gives what can be read of a version of a name, the current one if
// version is "", or the S3 code of the refusal.
func (v *vault) get(bucket, name, version string) string {
	v.t.Helper()
	in := &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(name)}
	if version != "" {
		in.VersionId = aws.String(version)
	}
	out, err := v.aws(v.reader).GetObject(v.t.Context(), in)
	if err != nil {
		c, _ := code(err)
		return c
	}
	content, err := io.ReadAll(out.Body)
	if err != nil || version != "" && version != "null" && aws.ToString(out.VersionId) != version {
		v.t.Errorf("GetObject(%s, %s) is of version %s, %v", name, version, aws.ToString(out.VersionId), err)
	}
	return string(content)
}

// bucketOf makes a bucket that keeps or replaces what it had, and a reader of all.
func (v *vault) bucketOf(name string, how gateway.Overwrite) {
	v.Bucket("acme", gateway.BucketSettings{Name: recording.Bucket(name), Overwrite: how})
	v.reader.key, v.reader.secret = v.Key("acme", gateway.NewKey{Kind: policy.Reader, Bucket: policy.AnyBucket, Write: true})
}

func (v *vault) wantBlobs(want int) {
	v.t.Helper()
	n := 0
	for _, err := range v.Blobs.List(v.t.Context(), "recordings/") {
		if err != nil {
			v.t.Fatal(err)
		}
		n++
	}
	if n != want {
		v.t.Errorf("%d blobs of recordings, want %d", n, want)
	}
}

func TestDeleteObject(t *testing.T) {
	v := newVault(t)
	client := v.aws(v.reader)
	version := v.mustPut(calls, "a/call", "first")
	for i := range 2 { // repeated
		out, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(calls), Key: aws.String("a/call")})
		if err != nil || out.DeleteMarker != nil || i == 0 && aws.ToString(out.VersionId) != version {
			t.Errorf("DeleteObject = %+v, %v", out, err)
		}
	}
	if got := v.get(calls, "a/call", ""); got != "NoSuchKey" {
		t.Errorf("GetObject after it: %s", got)
	}
	if got := v.get(calls, "a/call", version); got != "NoSuchVersion" {
		t.Errorf("GetObject of the version after it: %s", got)
	}
	if got := v.names(); len(got) > 0 {
		t.Errorf("listed %q", got)
	}
	v.wantBlobs(0)
	if again := v.mustPut(calls, "a/call", "second"); again == version {
		t.Error("the name was put again under its old version")
	}
	if got := v.get(calls, "a/call", ""); got != "second" {
		t.Errorf("GetObject = %q, want what was put again", got)
	}
	_, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(calls), Key: aws.String("never was")})
	if err != nil {
		t.Errorf("DeleteObject of what never was: %v", err)
	}
	if err := v.minio(v.reader).RemoveObject(t.Context(), calls, "a/call", minio.RemoveObjectOptions{}); err != nil {
		t.Errorf("minio-go RemoveObject: %v", err)
	}
	v.wantBlobs(0)
}

// A deletion names the erasure that it made, and so does its repetition; one of what
// never was names none. The salt is told by the first alone, and by no log.
func TestDeletionNamesItsErasure(t *testing.T) {
	v := newVault(t)
	v.mustPut(calls, "a/call", "content")
	first, told := v.deletion("/calls/a/call")
	again, twice := v.deletion("/calls/a/call")
	never, none := v.deletion("/calls/never-was")
	if first == "" || again != first || never != "" {
		t.Errorf("deletions name the erasures %q, %q and %q", first, again, never)
	}
	id, err := recording.ParseErasureID(first)
	if err != nil {
		t.Fatal(err)
	}
	made, err := v.Erasure(t.Context(), v.Operator(), id)
	if err != nil || made.Scope != claim.OfRecording || made.Versions != 1 {
		t.Errorf("Erasure(%v) = %+v, %v", id, made, err)
	}
	salt, err := claim.ParseSalt(told)
	if err != nil || twice != "" || none != "" {
		t.Fatalf("salts are %q, %q and %q", told, twice, none)
	}
	row, err := v.Catalog.Erasure(t.Context(), made.Tenant, id)
	if err != nil {
		t.Fatal(err)
	}
	of := claim.Committed{Kind: claim.OfRecording, Commitment: hex.EncodeToString(row.Commitment)}
	if err := of.OpenCommitment(salt, claim.Scope{Kind: claim.OfRecording, Bucket: calls, Name: "a/call"}); err != nil {
		t.Error(err)
	}
	if log := v.Log.String() + v.log.String(); strings.Contains(strings.ToLower(log), told) {
		t.Errorf("the log has the salt:\n%s", log)
	}
}

// deletion deletes, and gives the erasure that the answer names, and its salt.
func (v *vault) deletion(path string) (erasure, salt string) {
	v.t.Helper()
	answer, err := http.DefaultClient.Do(v.request(v.reader, "DELETE", path, "", func(*http.Request) {}))
	if err != nil {
		v.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		v.t.Errorf("DELETE %s = %s", path, answer.Status)
	}
	return answer.Header.Get("X-Lethe-Erasure"), answer.Header.Get("X-Lethe-Erasure-Salt")
}

func TestDeleteVersions(t *testing.T) {
	v := newVault(t)
	v.bucketOf("versions", gateway.OverwriteVersion)
	var id []string
	for i := range 3 {
		id = append(id, v.mustPut("versions", "call", fmt.Sprint(i)))
	}
	for i := range id {
		if got := v.get("versions", "call", id[i]); got != fmt.Sprint(i) {
			t.Errorf("version %d is %q", i, got)
		}
	}
	if got := v.get("versions", "other", id[0]); got != "NoSuchVersion" {
		t.Errorf("a version under another name: %q", got)
	}
	if got := v.get("versions", "call", "null"); got != "2" {
		t.Errorf("the null version is %q, want the current one", got)
	}
	remove := func(version string) {
		out, err := v.aws(v.reader).DeleteObject(t.Context(), &s3.DeleteObjectInput{
			Bucket: aws.String("versions"), Key: aws.String("call"), VersionId: aws.String(version),
		})
		if err != nil || version != "null" && aws.ToString(out.VersionId) != version {
			t.Errorf("DeleteObject(%s) = %+v, %v", version, out, err)
		}
	}
	for _, step := range []struct{ version, current string }{
		{recording.NewVersion().String(), "2"}, {id[1], "2"}, {id[1], "2"}, {"null", "0"}, {id[0], "NoSuchKey"}, {"null", "NoSuchKey"},
	} {
		remove(step.version)
		if got := v.get("versions", "call", ""); got != step.current {
			t.Errorf("after %s the current version is %q, want %q", step.version, got, step.current)
		}
	}
	v.wantBlobs(0)
	for i := range 3 {
		v.mustPut("versions", "call", fmt.Sprint("again", i))
	}
	if _, err := v.aws(v.reader).DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("versions"), Key: aws.String("call")}); err != nil {
		t.Error(err)
	}
	if got := v.get("versions", "call", ""); got != "NoSuchKey" {
		t.Errorf("a deletion without version left %q", got)
	}
	v.wantBlobs(0)
}

// What was replaced can no longer be opened, and goes with its recording.
func TestDeleteReplaced(t *testing.T) {
	v := newVault(t)
	v.bucketOf("replace", gateway.OverwriteReplace)
	old := v.mustPut("replace", "call", "old")
	current := v.mustPut("replace", "call", "new")
	if got := v.get("replace", "call", old); got != "NoSuchVersion" {
		t.Errorf("GetObject of what was replaced: %q", got)
	}
	_, err := v.aws(v.reader).DeleteObject(t.Context(), &s3.DeleteObjectInput{
		Bucket: aws.String("replace"), Key: aws.String("call"), VersionId: aws.String(current),
	})
	if err != nil {
		t.Error(err)
	}
	v.wantBlobs(0)
}

func TestDeleteObjects(t *testing.T) {
	v := newVault(t)
	var all []types.ObjectIdentifier
	names := []string{"a", "b/c", "é & <x>", "e\tf", "q?x"}
	for _, name := range names {
		v.mustPut(calls, name, "content")
		all = append(all, types.ObjectIdentifier{Key: aws.String(name)})
	}
	wrong := []types.ObjectIdentifier{
		{Key: aws.String("absent")},
		{Key: aws.String("a"), VersionId: aws.String("x")},
		{Key: aws.String(strings.Repeat("n", 1025))},
		{Key: aws.String("a"), ETag: aws.String("e")},
		{Key: aws.String("a"), VersionId: aws.String(recording.NewVersion().String())},
	}
	client := v.aws(v.reader)
	remove := func(objects []types.ObjectIdentifier, quiet bool) *s3.DeleteObjectsOutput {
		t.Helper()
		out, err := client.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{
			Bucket: aws.String(calls), Delete: &types.Delete{Objects: objects, Quiet: aws.Bool(quiet)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := remove(wrong, false)
	var codes []string
	for _, e := range out.Errors {
		codes = append(codes, aws.ToString(e.Code))
	}
	if !slices.Equal(codes, []string{"InvalidArgument", "KeyTooLongError", "NotImplemented"}) || len(out.Deleted) != 2 {
		t.Errorf("errors %q, %d deleted", codes, len(out.Deleted))
	}
	if got := v.names(); len(got) != len(names) {
		t.Errorf("left %q of %q", got, names)
	}
	if out := remove(all[:2], true); len(out.Deleted)+len(out.Errors) > 0 {
		t.Errorf("a quiet deletion answered %+v", out)
	}
	var deleted []string
	for _, d := range remove(all, false).Deleted {
		deleted = append(deleted, aws.ToString(d.Key))
	}
	if !slices.Equal(deleted, names) {
		t.Errorf("deleted %q, want %q", deleted, names)
	}
	v.wantBlobs(0)
}

func TestMinioDeletesMany(t *testing.T) {
	v := newVault(t)
	queue := make(chan minio.ObjectInfo)
	go func() {
		defer close(queue)
		for i := range 50 {
			name := fmt.Sprintf("%02d", i)
			v.mustPut(calls, name, name)
			queue <- minio.ObjectInfo{Key: name}
		}
	}()
	for e := range v.minio(v.reader).RemoveObjects(t.Context(), calls, queue, minio.RemoveObjectsOptions{}) {
		t.Errorf("%s: %v", e.ObjectName, e.Err)
	}
	v.wantBlobs(0)
}

// A recorder, and a reader of another prefix, erase nothing.
func TestDeleteIsRefused(t *testing.T) {
	v := newVault(t)
	version := v.mustPut(calls, "a/call", "content")
	key := func(k gateway.NewKey) pair {
		access, secret := v.Key("acme", k)
		return pair{access, secret}
	}
	for who, p := range map[string]pair{
		"recorder":     v.recorder,
		"reads only":   key(gateway.NewKey{Kind: policy.Reader, Bucket: calls}),
		"other prefix": key(gateway.NewKey{Kind: policy.Reader, Bucket: calls, Prefix: "b/", Write: true}),
	} {
		for what, remove := range map[string]func(*s3.Client) error{
			"DeleteObject": func(c *s3.Client) error {
				_, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(calls), Key: aws.String("a/call")})
				return err
			},
			"DeleteObject of a version": func(c *s3.Client) error {
				_, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(calls), Key: aws.String("a/call"), VersionId: aws.String(version)})
				return err
			},
			"DeleteObjects": func(c *s3.Client) error {
				_, err := c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String(calls), Delete: &types.Delete{
					Objects: []types.ObjectIdentifier{{Key: aws.String("a/call")}},
				}})
				return err
			},
		} {
			if c, status := code(remove(v.aws(p))); c != "AccessDenied" || status != 403 {
				t.Errorf("%s, %s: %s %d, want AccessDenied 403", who, what, c, status)
			}
		}
	}
	mixed, err := v.aws(key(gateway.NewKey{Kind: policy.Reader, Bucket: calls, Prefix: "b/", Write: true})).DeleteObjects(t.Context(), &s3.DeleteObjectsInput{
		Bucket: aws.String(calls), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("a/call")}, {Key: aws.String("b/call")}}},
	})
	if err != nil || len(mixed.Errors) != 1 || aws.ToString(mixed.Errors[0].Code) != "AccessDenied" || len(mixed.Deleted) != 1 {
		t.Errorf("DeleteObjects of one's own and another's = %+v, %v", mixed, err)
	}
	if got := v.get(calls, "a/call", ""); got != "content" {
		t.Errorf("GetObject after the refusals: %q", got)
	}
}

func TestVersionsAreNamed(t *testing.T) {
	v := newVault(t)
	version := v.mustPut(calls, "call", "x")
	head, err := v.aws(v.reader).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(calls), Key: aws.String("call"), VersionId: aws.String(version)})
	if err != nil || aws.ToString(head.VersionId) != version || len(version) != 32 {
		t.Errorf("HeadObject = %+v, %v; want version %s", head, err, version)
	}
	_, err = v.aws(v.reader).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(calls), Key: aws.String("call"), VersionId: aws.String(recording.NewVersion().String())})
	if _, status := code(err); status != 404 {
		t.Errorf("HeadObject of an unknown version: %v", err)
	}
}

func TestListVersions(t *testing.T) {
	v := newVault(t)
	want := map[string]string{}
	for _, name := range []string{"a", "b/1", "b/2", "c/1", "d"} {
		want[name] = v.mustPut(calls, name, name)
	}
	pages := s3.NewListObjectVersionsPaginator(v.aws(v.reader), &s3.ListObjectVersionsInput{Bucket: aws.String(calls), MaxKeys: aws.Int32(2)})
	var got []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range page.Versions {
			got = append(got, aws.ToString(in.Key))
			if aws.ToString(in.VersionId) != want[aws.ToString(in.Key)] || !aws.ToBool(in.IsLatest) {
				t.Errorf("listed %+v, want version %s", in, want[aws.ToString(in.Key)])
			}
		}
	}
	if !slices.Equal(got, []string{"a", "b/1", "b/2", "c/1", "d"}) {
		t.Errorf("listed %q", got)
	}
	if got := v.marked("versions", "key-marker", "NextKeyMarker"); !slices.Equal(got, []string{"a", "b/", "c/", "d"}) {
		t.Errorf("with a delimiter, one at a time: %q", got)
	}
}

func TestListV1(t *testing.T) {
	v := newVault(t)
	for _, name := range []string{"a", "b/1", "b/2", "c/1", "d"} {
		v.mustPut(calls, name, name)
	}
	if got := v.marked("", "marker", "NextMarker"); !slices.Equal(got, []string{"a", "b/", "c/", "d"}) {
		t.Errorf("with a delimiter, one at a time: %q", got)
	}
	core := v.minio(v.reader)
	page, err := core.ListObjects(calls, "", "a", "", 2)
	if err != nil || len(page.Contents) != 2 || page.Contents[0].Key != "b/1" || page.Contents[1].Key != "b/2" || !page.IsTruncated || page.NextMarker != "" {
		t.Errorf("ListObjects without a delimiter = %+v, %v", page, err)
	}
	for what, c := range map[string]struct {
		prefix, marker, delimiter string
		want                      []string
	}{
		"all":                 {"", "", "", []string{"a", "b/1", "b/2", "c/1", "d"}},
		"after a directory":   {"", "b/", "", []string{"b/1", "b/2", "c/1", "d"}},
		"marker is prefix":    {"b/", "b/", "/", []string{"b/1", "b/2"}},
		"marker in directory": {"b/", "b/1", "/", []string{"b/2"}},
		"past the end":        {"", "z", "/", nil},
	} {
		page, err := core.ListObjects(calls, c.prefix, c.marker, c.delimiter, 10)
		var got []string
		for _, o := range page.Contents {
			got = append(got, o.Key)
		}
		if err != nil || !slices.Equal(got, c.want) || page.IsTruncated {
			t.Errorf("%s: %q, %v; want %q", what, got, err, c.want)
		}
	}
}

func TestDeletionsAreLogged(t *testing.T) {
	v := newVault(t)
	version := v.mustPut(calls, "call", "x")
	client := v.aws(v.reader)
	_, absent := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(calls), Key: aws.String("absent")})
	_, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(calls), Key: aws.String("call"), VersionId: aws.String(version)})
	if err := errors.Join(absent, err); err != nil {
		t.Fatal(err)
	}
	_, _ = v.aws(v.recorder).DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(calls), Key: aws.String("call")})
	records, err := v.Catalog.Events(t.Context(), v.Caller(v.reader.key).Tenant, time.Unix(0, 0), time.Now().Add(time.Hour), 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		if r.Action == "erase" {
			got = append(got, fmt.Sprintf("%s %s %s %t", r.Who[:5], r.Outcome, r.Reason, r.Version.String() == version))
		}
	}
	want := []string{"LETHE allowed  false", "LETHE allowed  true", "LETHE denied wrong-kind false"}
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// What is held is refused plainly, alone or among others.
func TestDeleteOfWhatIsHeld(t *testing.T) {
	v := newVault(t)
	v.bucketOf("held", gateway.OverwriteNever)
	v.mustPut("held", "a", "kept")
	v.mustPut("held", "b", "gone")
	_, err := v.Hold(t.Context(), v.Operator(), "acme", gateway.HoldRequest{Bucket: "held", Name: "a", Reason: "case"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.aws(v.reader).DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("held"), Key: aws.String("a")})
	if c, status := code(err); c != "AccessDenied" || status != 403 || !strings.Contains(err.Error(), "hold") {
		t.Errorf("DeleteObject: %v", err)
	}
	out, err := v.aws(v.reader).DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("held"), Delete: &types.Delete{
		Objects: []types.ObjectIdentifier{{Key: aws.String("a")}, {Key: aws.String("b")}},
	}})
	if err != nil || len(out.Deleted) != 1 || len(out.Errors) != 1 || aws.ToString(out.Errors[0].Code) != "AccessDenied" {
		t.Errorf("DeleteObjects: %+v, %v", out, err)
	}
	if got := v.get("held", "a", ""); got != "kept" {
		t.Errorf("GetObject(a) = %s", got)
	}
}
