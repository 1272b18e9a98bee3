package s3api

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lethe-vault/lethe/recording"
)

// getObject gives a recording or a range of it: GetObject.
func (f *Front) getObject(w http.ResponseWriter, r *http.Request, in verified) error {
	version, err := in.version()
	if err != nil {
		return err
	}
	rec, err := f.gateway.OpenVersion(r.Context(), in.caller, in.bucket, in.name, version)
	if err != nil {
		return err
	}
	defer rec.Close()
	in.about(rec.Info.ID)
	chosen, err := choose(r, in.query, rec.Info)
	if err != nil {
		return err
	}
	if chosen.status == http.StatusNotModified {
		chosen.writeHead(w, r, rec.Info)
		return nil
	}
	body, err := rec.Range(r.Context(), chosen.span.off, chosen.span.n)
	if err != nil {
		return err
	}
	defer body.Close()
	chosen.writeHead(w, r, rec.Info)
	n, err := io.Copy(toClient{w}, body)
	if err == nil && n != chosen.span.n {
		err = recording.ErrIntegrity
	}
	return err
}

// toClient marks what fails on the client's side of a copy.
type toClient struct{ io.Writer }

func (c toClient) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errClientGone, err)
	}
	return n, err
}

// headObject tells of a recording what getObject's headers would: HeadObject.
func (f *Front) headObject(w http.ResponseWriter, r *http.Request, in verified) error {
	version, err := in.version()
	if err != nil {
		return err
	}
	info, err := f.gateway.StatVersion(r.Context(), in.caller, in.bucket, in.name, version)
	if err != nil {
		return err
	}
	in.about(info.ID)
	chosen, err := choose(r, in.query, info)
	if err != nil {
		return err
	}
	chosen.writeHead(w, r, info)
	return nil
}

// selection is the answer to a request for a recording that may be seen.
type selection struct {
	status int // 200, 206 or 304
	span   span
	parts  int // how many there are, if one was asked for
}

// choose applies conditions first and the range or part after, as RFC 9110
// section 13.2.2 has it. It reports errPrecondition, errNoSuchPart or an
// unsatisfiable range.
func choose(r *http.Request, query url.Values, info recording.Info) (selection, error) {
	whole := selection{status: http.StatusOK, span: span{0, info.Size}}
	modified, err := evaluate(r.Header, info)
	if err != nil {
		return selection{}, err
	}
	if !modified {
		return selection{status: http.StatusNotModified}, nil
	}
	if query.Has("partNumber") {
		return choosePart(r, query.Get("partNumber"), info)
	}
	if !rangeApplies(r.Header, info) {
		return whole, nil
	}
	part, ok, err := parseRange(r.Header.Get("Range"), info.Size)
	if err != nil || !ok {
		return whole, err
	}
	return selection{status: http.StatusPartialContent, span: part}, nil
}

// choosePart finds the n-th part of a recording; one that came whole is its
// only part. S3 counts the parts of the list, whatever numbers they were sent
// with.
func choosePart(r *http.Request, number string, info recording.Info) (selection, error) {
	if r.Header.Get("Range") != "" {
		return selection{}, errPartAndRange
	}
	sizes := info.PartSizes
	if info.Parts == 0 {
		sizes = []int64{info.Size}
	}
	n, ok := position(number)
	if !ok || n < 1 || n > recording.MaxPart {
		return selection{}, recording.ErrPartNumber
	}
	if n > int64(len(sizes)) {
		return selection{}, errNoSuchPart
	}
	at := span{n: sizes[n-1]}
	for _, size := range sizes[:n-1] {
		at.off += size
	}
	status := http.StatusPartialContent
	if at.n == 0 { // no Content-Range can say so
		status = http.StatusOK
	}
	return selection{status, at, info.Parts}, nil
}

// writeHead writes the status and all headers.
func (s selection) writeHead(w http.ResponseWriter, r *http.Request, info recording.Info) {
	h := w.Header()
	describe(h, info)
	override(h, r.URL.Query())
	switch s.status {
	case http.StatusPartialContent:
		h.Set("Content-Range", s.span.contentRange(info.Size))
	case http.StatusOK:
		if wantsChecksums(r) && s.span.n == info.Size {
			setChecksums(h, info)
		}
	}
	if s.parts > 0 {
		h.Set("X-Amz-Mp-Parts-Count", strconv.Itoa(s.parts))
	}
	if s.status != http.StatusNotModified {
		h.Set("Content-Length", strconv.FormatInt(s.span.n, 10))
	}
	w.WriteHeader(s.status)
}

// describe sets what is known of a recording, as its recorder gave it.
func describe(h http.Header, info recording.Info) {
	for name, value := range info.Facts.Headers {
		h.Set(name, value)
	}
	for key, value := range info.Facts.Metadata {
		h[metadataPrefix+key] = []string{value} // S3 gives these names in lower case
	}
	identify(h, info)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Last-Modified", info.CreatedAt.UTC().Format(http.TimeFormat))
	h.Set("Content-Type", "binary/octet-stream")
	if info.Facts.ContentType != "" {
		h.Set("Content-Type", info.Facts.ContentType)
	}
}
