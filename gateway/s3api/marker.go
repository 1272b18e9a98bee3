package s3api

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// The listings whose pages begin after a name that the client gives back. That
// name stood on the page before, so it tells nobody anything new.
var (
	markerParameters   = []string{"prefix", "delimiter", "marker", "max-keys", "encoding-type"}
	versionsParameters = []string{"prefix", "delimiter", "key-marker", "version-id-marker", "max-keys", "encoding-type"}
)

// listObjectsResult is ListObjects' document.
type listObjectsResult struct {
	XMLName        xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name           recording.Bucket
	Prefix         text
	Marker         text
	NextMarker     *text `xml:",omitempty"`
	MaxKeys        int
	Delimiter      *text  `xml:",omitempty"`
	EncodingType   string `xml:",omitempty"`
	IsTruncated    bool
	Contents       []listEntry
	CommonPrefixes []commonPrefix
}

// listVersionsResult is ListObjectVersions' document.
type listVersionsResult struct {
	XMLName             xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListVersionsResult"`
	Name                recording.Bucket
	Prefix              text
	KeyMarker           text
	VersionIDMarker     string `xml:"VersionIdMarker"`
	NextKeyMarker       *text  `xml:",omitempty"`
	NextVersionIDMarker string `xml:"NextVersionIdMarker,omitempty"`
	MaxKeys             int
	Delimiter           *text  `xml:",omitempty"`
	EncodingType        string `xml:",omitempty"`
	IsTruncated         bool
	Versions            []versionEntry `xml:"Version"`
	CommonPrefixes      []commonPrefix
}

type versionEntry struct {
	listEntry
	VersionID string `xml:"VersionId"`
	IsLatest  bool
}

// listObjectsV1 gives one page of a bucket's names: ListObjects.
func (f *Front) listObjectsV1(w http.ResponseWriter, r *http.Request, in verified) error {
	req, err := parseMarker(in.query, "marker")
	if err != nil {
		return err
	}
	l, err := f.list(r, in, req)
	if err != nil {
		return err
	}
	d := listObjectsResult{
		Name:           in.bucket,
		Prefix:         req.encode(req.Prefix),
		Marker:         req.encode(req.After),
		MaxKeys:        req.Max,
		Delimiter:      req.optional(req.Delimiter),
		EncodingType:   req.encoding,
		IsTruncated:    l.Next != "",
		Contents:       req.contents(in, l),
		CommonPrefixes: req.prefixes(l),
	}
	if d.IsTruncated && req.Delimiter != "" { // without one, clients take the last key
		d.NextMarker = req.optional(last(l))
	}
	return writeXML(w, http.StatusOK, d)
}

// listVersions gives one page of a bucket's current versions: ListObjectVersions.
func (f *Front) listVersions(w http.ResponseWriter, r *http.Request, in verified) error {
	req, err := parseVersions(in.query)
	if err != nil {
		return err
	}
	l, err := f.list(r, in, req)
	if err != nil {
		return err
	}
	d := listVersionsResult{
		Name:            in.bucket,
		Prefix:          req.encode(req.Prefix),
		KeyMarker:       req.encode(req.After),
		VersionIDMarker: in.query.Get("version-id-marker"),
		MaxKeys:         req.Max,
		Delimiter:       req.optional(req.Delimiter),
		EncodingType:    req.encoding,
		IsTruncated:     l.Next != "",
		CommonPrefixes:  req.prefixes(l),
	}
	for i, e := range req.contents(in, l) {
		d.Versions = append(d.Versions, versionEntry{e, l.Recordings[i].Version.String(), true})
	}
	if d.IsTruncated {
		d.NextKeyMarker = req.optional(last(l))
		if n := len(l.Recordings); n > 0 && string(l.Recordings[n-1].Name) == last(l) {
			d.NextVersionIDMarker = l.Recordings[n-1].Version.String()
		}
	}
	return writeXML(w, http.StatusOK, d)
}

// parseMarker reads a listing whose pages begin after what a parameter names:
// a name, or a common prefix that the page before ended with.
func parseMarker(q url.Values, marker string) (listRequest, error) {
	req, err := parsePage(q, marker, "max-keys")
	req.owner = true
	rest, below := strings.CutPrefix(req.After, req.Prefix)
	if below && req.Delimiter != "" {
		_, more, found := strings.Cut(rest, req.Delimiter)
		req.RolledUp = found && more == ""
	}
	return req, err
}

// parseVersions reads ListObjectVersions' query. A name has one version here,
// so what follows that version follows the name.
func parseVersions(q url.Values) (listRequest, error) {
	req, err := parseMarker(q, "key-marker")
	if err != nil {
		return req, err
	}
	version := q.Get("version-id-marker")
	if version == "" {
		return req, nil
	}
	if req.After == "" {
		return req, errListArgument
	}
	_, err = parseVersion(version)
	return req, err
}

// last gives what a page ends with, in the order of names.
func last(l gateway.Listing) string {
	var out string
	if n := len(l.Recordings); n > 0 {
		out = string(l.Recordings[n-1].Name)
	}
	if n := len(l.Prefixes); n > 0 {
		out = max(out, l.Prefixes[n-1])
	}
	return out
}
