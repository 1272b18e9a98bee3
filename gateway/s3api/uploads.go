package s3api

import (
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// Listings of uploads in parts and of their parts. Source: Amazon S3 API
// Reference, ListParts and ListMultipartUploads.

var (
	partsParameters   = []string{"max-parts", "part-number-marker", "encoding-type"}
	uploadsParameters = []string{"prefix", "delimiter", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"}
)

type listPartsResult struct {
	XMLName              xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListPartsResult"`
	Bucket               recording.Bucket
	Key                  text
	UploadID             string `xml:"UploadId"`
	Initiator            initiator
	Owner                owner
	StorageClass         string
	PartNumberMarker     int
	NextPartNumberMarker int `xml:",omitempty"`
	MaxParts             int
	EncodingType         string `xml:",omitempty"`
	IsTruncated          bool
	ChecksumAlgorithm    string `xml:",omitempty"`
	ChecksumType         string `xml:",omitempty"`
	Part                 []partEntry
}

type initiator struct{ ID string }

type partEntry struct {
	PartNumber   int
	LastModified timestamp
	ETag         string
	Size         int64
	checksumElements
}

// listParts gives the parts of an upload that are stored: ListParts.
func (f *Front) listParts(w http.ResponseWriter, r *http.Request, in verified) error {
	id, err := in.uploadID()
	if err != nil {
		return err
	}
	most, err := bounded(in.query, "max-parts")
	if err != nil {
		return err
	}
	encode, encoding, err := keyEncoding(in.query)
	if err != nil {
		return err
	}
	after, ok := position("0" + in.query.Get("part-number-marker"))
	if !ok {
		return errListArgument
	}
	stored, err := f.gateway.Parts(r.Context(), in.caller, id)
	if err != nil {
		return err
	}
	result := listPartsResult{
		Bucket: id.Bucket, Key: encode(string(id.Name)), UploadID: id.Version.String(),
		Initiator: initiator{in.caller.Who}, Owner: ownerOf(in), StorageClass: "STANDARD",
		PartNumberMarker: int(min(after, recording.MaxPart)), MaxParts: most, EncodingType: encoding,
	}
	if stored.Checksum != "" {
		result.ChecksumAlgorithm, result.ChecksumType = strings.ToUpper(stored.Checksum), checksumType(stored.FullChecksum)
	}
	result.fill(stored.Parts)
	return writeXML(w, http.StatusOK, result)
}

// fill takes the parts after the marker, as many as there is room for. A page
// without room is the last: none could follow it.
func (l *listPartsResult) fill(parts []gateway.PartInfo) {
	if l.MaxParts == 0 {
		return
	}
	for _, p := range parts {
		if p.Number <= l.PartNumberMarker {
			continue
		}
		if len(l.Part) == l.MaxParts {
			l.IsTruncated = true
			return
		}
		e := partEntry{PartNumber: p.Number, LastModified: timestamp(p.StoredAt), ETag: quote(p.ETag), Size: p.Size}
		if name := strings.ToLower(l.ChecksumAlgorithm); name != "" {
			e.set(recording.Digests{name: p.Digests[name]})
		}
		l.Part = append(l.Part, e)
		l.NextPartNumberMarker = p.Number
	}
}

type listUploadsResult struct {
	XMLName            xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
	Bucket             recording.Bucket
	KeyMarker          text
	UploadIDMarker     string `xml:"UploadIdMarker"`
	NextKeyMarker      text   `xml:",omitempty"`
	NextUploadIDMarker string `xml:"NextUploadIdMarker,omitempty"`
	Prefix             text
	Delimiter          text   `xml:",omitempty"`
	EncodingType       string `xml:",omitempty"`
	MaxUploads         int
	IsTruncated        bool
	Upload             []uploadEntry
	CommonPrefixes     []commonPrefix
}

type uploadEntry struct {
	Key               text
	UploadID          string `xml:"UploadId"`
	Initiator         initiator
	Owner             owner
	StorageClass      string
	Initiated         timestamp
	ChecksumAlgorithm string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
}

// listUploads gives the uploads in a bucket that have not ended:
// ListMultipartUploads.
func (f *Front) listUploads(w http.ResponseWriter, r *http.Request, in verified) error {
	req, err := parsePage(in.query, "key-marker", "max-uploads")
	if err != nil {
		return err
	}
	open, err := f.gateway.Uploads(r.Context(), in.caller, in.bucket, req.Prefix)
	if err != nil {
		return err
	}
	after := uploadMarker{req.After, in.query.Get("upload-id-marker")}
	page := uploadPage{listRequest: req, owner: ownerOf(in), result: &listUploadsResult{
		Bucket: in.bucket, KeyMarker: req.encode(after.key), UploadIDMarker: after.id, Prefix: req.encode(req.Prefix),
		Delimiter: req.encode(req.Delimiter), EncodingType: req.encoding, MaxUploads: req.Max,
	}}
	page.fill(after.rest(open))
	return writeXML(w, http.StatusOK, page.result)
}

// uploadMarker is where a page of uploads begins: after one upload of a name,
// or after all of them.
type uploadMarker struct{ key, id string }

// rest gives the uploads after the marker. One that ended meanwhile was the
// first of its name that is left out or all are.
func (m uploadMarker) rest(open []gateway.OpenUpload) []gateway.OpenUpload {
	at := 0
	for i, u := range open {
		switch name := string(u.Name); {
		case name < m.key, name == m.key && m.id == "":
			at = i + 1
		case name == m.key && u.Version.String() == m.id:
			return open[i+1:]
		}
	}
	return open[at:]
}

// uploadPage fills a page of uploads and common prefixes.
type uploadPage struct {
	listRequest
	owner  owner
	result *listUploadsResult
	last   string // common prefix that was taken last
}

// fill takes uploads as listPartsResult.fill takes parts.
func (p *uploadPage) fill(open []gateway.OpenUpload) {
	if p.result.MaxUploads == 0 {
		return
	}
	for _, u := range open {
		common, rolled := p.commonPrefix(string(u.Name))
		if rolled && common == p.last {
			p.result.NextKeyMarker, p.result.NextUploadIDMarker = p.encode(string(u.Name)), u.Version.String()
			continue
		}
		if len(p.result.Upload)+len(p.result.CommonPrefixes) == p.result.MaxUploads {
			p.result.IsTruncated = true
			return
		}
		p.result.NextKeyMarker, p.result.NextUploadIDMarker = p.encode(string(u.Name)), u.Version.String()
		if rolled {
			p.last = common
			p.result.CommonPrefixes = append(p.result.CommonPrefixes, commonPrefix{p.encode(common)})
			continue
		}
		p.result.Upload = append(p.result.Upload, p.entry(u))
	}
	p.result.NextKeyMarker, p.result.NextUploadIDMarker = "", "" // nothing follows
}

func (p *uploadPage) commonPrefix(name string) (string, bool) {
	if p.Delimiter == "" {
		return "", false
	}
	before, _, found := strings.Cut(name[len(p.Prefix):], p.Delimiter)
	return p.Prefix + before + p.Delimiter, found
}

func (p *uploadPage) entry(u gateway.OpenUpload) uploadEntry {
	e := uploadEntry{
		Key: p.encode(string(u.Name)), UploadID: u.Version.String(), Initiator: initiator{u.Recorder},
		Owner: p.owner, StorageClass: "STANDARD", Initiated: timestamp(u.CreatedAt),
	}
	if u.Checksum != "" {
		e.ChecksumAlgorithm, e.ChecksumType = strings.ToUpper(u.Checksum), checksumType(u.FullChecksum)
	}
	return e
}
