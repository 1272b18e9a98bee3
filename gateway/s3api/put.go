package s3api

import (
	"net/http"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// putObject stores a recording: PutObject.
func (f *Front) putObject(w http.ResponseWriter, r *http.Request, in verified) error {
	u, err := newUpload(r.Header, in)
	if err != nil {
		return err
	}
	info, err := f.gateway.Put(r.Context(), in.caller, u)
	if err != nil {
		return in.body.cause(err)
	}
	in.about(info.ID)
	h := w.Header()
	identify(h, info)
	setChecksums(h, recording.Info{Digests: in.body.declared()})
	return nil
}

func newUpload(h http.Header, in verified) (gateway.Upload, error) {
	if err := putCondition(h); err != nil {
		return gateway.Upload{}, err
	}
	described, err := describedIn(h, in.target)
	return gateway.Upload{
		Description: described,
		Sent:        in.sent(),
		OnlyNew:     h.Get("If-None-Match") == anyTag,
	}, err
}

// describedIn reads what a request says of the recording it begins to upload.
func describedIn(h http.Header, at target) (gateway.Description, error) {
	stored, metadata := collect(h)
	metadata, err := recording.ParseMetadata(metadata)
	return gateway.Description{
		Bucket:      at.bucket,
		Name:        at.name,
		ContentType: h.Get("Content-Type"),
		Headers:     stored,
		Metadata:    metadata,
	}, err
}

// sent is the request's body as a recording, or as a part of one.
func (in verified) sent() gateway.Sent {
	return gateway.Sent{Size: in.body.size, Body: in.body, SHA256: in.body.declaredSHA256(), Class: in.class}
}

// anyTag is the entity tag that every recording has.
const anyTag = "*"

// putCondition accepts "If-None-Match: *": put only under a new name. S3 knows
// no other value; If-Match would replace.
func putCondition(h http.Header) error {
	none := h.Values("If-None-Match")
	if len(none) > 1 || len(none) == 1 && none[0] != anyTag {
		return errNotImplemented
	}
	for _, name := range []string{"If-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if h.Get(name) != "" {
			return errNotImplemented
		}
	}
	return nil
}

// identify says which recording an answer is about.
func identify(h http.Header, info recording.Info) {
	h.Set("Etag", quote(info.ETag))
	h.Set(versionHeader, info.Version.String())
	h.Set("X-Lethe-Recording", info.ID.String())
	h.Set("X-Lethe-Class", string(info.Class))
}

// quote gives an entity tag as RFC 9110 section 8.8.3 writes it.
func quote(etag string) string { return `"` + etag + `"` }
