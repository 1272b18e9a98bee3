package s3api

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// Uploads in parts. Source: Amazon S3 API Reference, CreateMultipartUpload,
// UploadPart, CompleteMultipartUpload, AbortMultipartUpload; Amazon S3 User
// Guide, "Checking object integrity", for what a checksum of parts is.

// createHeaders are PutObject's, and what says which checksum parts come with.
var createHeaders = putHeaders.and(allowed{
	"x-amz-checksum-algorithm": nil,
	"x-amz-checksum-type":      {compositeType, wholeType},
})

// completeHeaders speak of the recording that the parts make.
var completeHeaders = allowed{
	"x-amz-mp-object-size": nil,
	"x-amz-checksum-type":  {compositeType, wholeType},
}

// The types of a checksum of a recording in parts.
const (
	compositeType = "COMPOSITE"   // of the parts' checksums
	wholeType     = "FULL_OBJECT" // of all bytes
)

// maxPartList bounds the document that names the parts to be joined.
const maxPartList = 4 << 20

type initiateResult struct {
	XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
	Bucket   recording.Bucket
	Key      text
	UploadID string `xml:"UploadId"`
}

// createUpload begins an upload in parts: CreateMultipartUpload.
func (f *Front) createUpload(w http.ResponseWriter, r *http.Request, in verified) error {
	if err := unconditional(r.Header); err != nil {
		return err
	}
	d, err := describedIn(r.Header, in.target)
	if err != nil {
		return err
	}
	if d.Checksum, d.FullChecksum, err = partChecksum(r.Header); err != nil {
		return err
	}
	id, err := f.gateway.CreateUpload(r.Context(), in.caller, d)
	if err != nil {
		return err
	}
	if d.Checksum != "" {
		w.Header().Set("X-Amz-Checksum-Algorithm", strings.ToUpper(d.Checksum))
		w.Header().Set("X-Amz-Checksum-Type", checksumType(d.FullChecksum))
	}
	return writeXML(w, http.StatusOK, initiateResult{Bucket: id.Bucket, Key: text(id.Name), UploadID: id.Version.String()})
}

// partChecksum reads which checksum the parts of an upload come with, and
// whether the whole has one of all its bytes.
func partChecksum(h http.Header) (digest string, full bool, err error) {
	name, of := h.Get("X-Amz-Checksum-Algorithm"), h.Get("X-Amz-Checksum-Type")
	if name == "" && of == "" {
		return "", false, nil
	}
	digest = strings.ToLower(name)
	switch {
	case digest == "crc64nvme" && of != compositeType:
		return digest, true, nil
	case digest == "crc32" || digest == "crc32c":
		return digest, of == wholeType, nil
	case (digest == "sha1" || digest == "sha256") && of != wholeType:
		return digest, false, nil
	}
	return "", false, errPartChecksum
}

func checksumType(full bool) string {
	if full {
		return wholeType
	}
	return compositeType
}

// uploadID reads which upload a request is about. An id that cannot be one
// names no upload.
func (in verified) uploadID() (gateway.UploadID, error) {
	v, err := recording.ParseVersion(in.query.Get("uploadId"))
	if err != nil {
		return gateway.UploadID{}, recording.ErrNoUpload
	}
	return gateway.UploadID{Bucket: in.bucket, Name: in.name, Version: v}, nil
}

// uploadPart stores one part: UploadPart.
func (f *Front) uploadPart(w http.ResponseWriter, r *http.Request, in verified) error {
	if err := unconditional(r.Header); err != nil {
		return err
	}
	id, err := in.uploadID()
	if err != nil {
		return err
	}
	number, ok := position(in.query.Get("partNumber"))
	if !ok || number < 1 || number > recording.MaxPart {
		return recording.ErrPartNumber
	}
	part, err := f.gateway.PutPart(r.Context(), in.caller, gateway.PartUpload{
		UploadID: id, Number: int(number), Sent: in.sent(), Checksum: in.body.declaredChecksum(),
	})
	if err != nil {
		return in.body.cause(err)
	}
	w.Header().Set("Etag", quote(part.ETag))
	for _, c := range checksums {
		if sum := base64OfHex(in.body.declared()[c.digest]); sum != "" {
			w.Header().Set(c.header, sum)
		}
	}
	return nil
}

// base64OfHex gives a digest as S3 writes it, "" for none.
func base64OfHex(digest string) string {
	sum, err := hex.DecodeString(digest)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(sum)
}

// checksumElements are the checksums of a part or a recording in a document.
type checksumElements struct {
	ChecksumCRC32     string `xml:",omitempty"`
	ChecksumCRC32C    string `xml:",omitempty"`
	ChecksumCRC64NVME string `xml:",omitempty"`
	ChecksumSHA1      string `xml:",omitempty"`
	ChecksumSHA256    string `xml:",omitempty"`
}

func (e *checksumElements) byDigest() map[string]*string {
	return map[string]*string{
		"crc32": &e.ChecksumCRC32, "crc32c": &e.ChecksumCRC32C, "crc64nvme": &e.ChecksumCRC64NVME,
		"sha1": &e.ChecksumSHA1, "sha256": &e.ChecksumSHA256,
	}
}

// set writes the digests that are known.
func (e *checksumElements) set(d recording.Digests) {
	for name, element := range e.byDigest() {
		*element = base64OfHex(d[name])
	}
}

// digests reads the elements that are there.
func (e *checksumElements) digests() (recording.Digests, error) {
	out := recording.Digests{}
	for name, element := range e.byDigest() {
		if *element == "" {
			continue
		}
		sum, ok := decodeDigest([]string{*element}, gateway.NewDigest(name).Size())
		if !ok {
			return nil, errChecksum
		}
		out[name] = hex.EncodeToString(sum)
	}
	return out, nil
}

type completeRequest struct {
	XMLName xml.Name `xml:"CompleteMultipartUpload"`
	Part    []struct {
		PartNumber int
		ETag       string
		checksumElements
	}
}

type completeResult struct {
	XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
	Location string
	Bucket   recording.Bucket
	Key      text
	ETag     string
	checksumElements
	ChecksumType string `xml:",omitempty"`
}

// completeUpload joins parts to a recording: CompleteMultipartUpload.
func (f *Front) completeUpload(w http.ResponseWriter, r *http.Request, in verified) error {
	all, err := completion(r.Header, in)
	if err != nil {
		return err
	}
	info, err := f.gateway.CompleteUpload(r.Context(), in.caller, all)
	if err != nil {
		return in.body.cause(err)
	}
	in.about(info.ID)
	result := completeResult{Location: urlOf(r), Bucket: in.bucket, Key: text(in.name), ETag: quote(info.ETag)}
	sums, of := knownChecksums(info)
	for name, element := range result.byDigest() {
		*element = sums[name]
	}
	result.ChecksumType = of
	identify(w.Header(), info)
	w.Header().Del("Etag") // it stands in the document
	return writeXML(w, http.StatusOK, result)
}

// urlOf is where a client has sent a request.
func urlOf(r *http.Request) string {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host + r.URL.EscapedPath()
}

// completion reads which parts to join, and what the client expects of the whole.
func completion(h http.Header, in verified) (gateway.Completion, error) {
	all := gateway.Completion{Size: -1, Class: in.class, OnlyNew: h.Get("If-None-Match") == anyTag}
	var err error
	if all.UploadID, err = in.uploadID(); err != nil {
		return all, err
	}
	if err := putCondition(h); err != nil {
		return all, err
	}
	var doc completeRequest
	if err := in.document(maxPartList, &doc); err != nil {
		return all, err
	}
	if len(doc.Part) == 0 || len(doc.Part) > recording.MaxPart {
		return all, errMalformedXML
	}
	for _, p := range doc.Part {
		name := gateway.PartName{Number: p.PartNumber, ETag: strings.Trim(p.ETag, `"`)}
		if name.Digests, err = p.digests(); err != nil {
			return all, err
		}
		all.Parts = append(all.Parts, name)
	}
	return all, expected(h, &all)
}

// expected reads what the headers say of the whole: its size, and its checksum,
// which with a dash and the number of parts behind it is one of the parts'.
func expected(h http.Header, all *gateway.Completion) error {
	if size := h.Values("X-Amz-Mp-Object-Size"); len(size) > 0 {
		n, ok := position(size[0])
		if !ok || len(size) > 1 {
			return errChecksum
		}
		all.Size = n
	}
	all.Digests, all.Composite = recording.Digests{}, recording.Digests{}
	for _, c := range checksums {
		values := h.Values(c.header)
		if len(values) == 0 {
			continue
		}
		value, of, dashed := strings.Cut(values[0], "-")
		sum, ok := decodeDigest([]string{value}, gateway.NewDigest(c.digest).Size())
		if n, counted := position(of); !ok || len(values) > 1 || dashed && !(counted && n == int64(len(all.Parts))) {
			return errChecksum
		}
		into := all.Digests
		if dashed || h.Get("X-Amz-Checksum-Type") == compositeType {
			into = all.Composite
		}
		into[c.digest] = hex.EncodeToString(sum)
	}
	return nil
}

// knownChecksums gives a recording's checksums as S3 writes them, by digest,
// and their type. One that came whole has those it was sent with; one that came
// in parts has that with which the upload was begun.
func knownChecksums(info recording.Info) (sums map[string]string, of string) {
	sums = map[string]string{}
	known, suffix := info.Digests, ""
	if name := info.Facts.Checksum; info.Parts > 0 && !info.Facts.FullChecksum {
		known, suffix = recording.Digests{name: info.Composite[name]}, "-"+strconv.Itoa(info.Parts)
	}
	for _, c := range checksums {
		if sum := base64OfHex(known[c.digest]); sum != "" {
			sums[c.digest] = sum + suffix
			of = checksumType(suffix == "")
		}
	}
	return sums, of
}

// abortUpload gives up an upload: AbortMultipartUpload.
func (f *Front) abortUpload(w http.ResponseWriter, r *http.Request, in verified) error {
	id, err := in.uploadID()
	if err != nil {
		return err
	}
	if err := f.gateway.AbortUpload(r.Context(), in.caller, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
