package s3api

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"log/slog"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

var deleteParameters = []string{versionParameter}

// deleteObject erases a recording, or one version of it: DeleteObject. What is not
// there is gone: 204 as well. The answer has the id of the erasure, the one that did
// it before if that is known, under which the REST API tells how far it is and gives
// its certificate; and the salt of that certificate, which is told here or never.
func (f *Front) deleteObject(w http.ResponseWriter, r *http.Request, in verified) error {
	if err := unconditional(r.Header); err != nil {
		return err
	}
	version, err := in.version()
	if err != nil {
		return err
	}
	found, err := f.gateway.Erase(r.Context(), in.caller, gateway.Erasure{
		Bucket: in.bucket, Name: in.name, Version: version, All: !in.query.Has(versionParameter),
	})
	if err != nil {
		return err
	}
	if which := cmp.Or(version, found.Version); which != (recording.Version{}) {
		w.Header().Set(versionHeader, which.String())
	}
	if found.Erasure != (recording.ErasureID{}) {
		w.Header().Set("X-Lethe-Erasure", found.Erasure.String())
	}
	if found.Salt != (gateway.Erased{}).Salt {
		w.Header().Set("X-Lethe-Erasure-Salt", found.Salt.String())
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// unconditional refuses conditions that an operation would otherwise ignore.
func unconditional(h http.Header) error {
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if h.Get(name) != "" {
			return errNotImplemented
		}
	}
	return nil
}

// The bounds of one DeleteObjects.
const (
	maxDeletions = 1000
	deleteAtOnce = 8
)

// deletion is DeleteObjects' request.
type deletion struct {
	XMLName xml.Name        `xml:"Delete"`
	Quiet   bool            // answer with errors alone
	Objects []deletionEntry `xml:"Object"`
}

type deletionEntry struct {
	Key       string
	VersionID string `xml:"VersionId"`

	// Conditions, which are refused.
	ETag, LastModifiedTime, Size *string
}

// deleteResult is DeleteObjects' document.
type deleteResult struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
	Deleted []deletedEntry
	Errors  []deletionError `xml:"Error"`
}

type deletedEntry struct {
	Key       text
	VersionID text `xml:"VersionId,omitempty"`
}

type deletionError struct {
	deletedEntry
	Code    string
	Message string
}

// deleteObjects erases many recordings, each by itself: DeleteObjects. One that
// cannot be erased is an error of its own, but a request of which nothing was
// permitted, or whose bucket there is not, is refused as a whole.
func (f *Front) deleteObjects(w http.ResponseWriter, r *http.Request, in verified) error {
	var d deletion
	if err := in.document(maxDocument, &d); err != nil {
		return err
	}
	if len(d.Objects) == 0 || len(d.Objects) > maxDeletions {
		return errMalformedXML
	}
	failed := f.deleteEach(r.Context(), in, d.Objects)
	if err := refusedWhole(failed); err != nil {
		return err
	}
	for _, err := range failed {
		in.entry.Met(err)
		if err != nil && ours(r, err) {
			f.log.LogAttrs(r.Context(), slog.LevelError, "request failed in part", slog.String("request_id", in.entry.ID),
				slog.String("operation", in.entry.Answer.Operation), slog.Any("error", err))
		}
	}
	return writeXML(w, http.StatusOK, d.document(failed))
}

// deleteEach gives what became of each, in their order.
func (f *Front) deleteEach(ctx context.Context, in verified, objects []deletionEntry) []error {
	failed := make([]error, len(objects))
	var group errgroup.Group
	group.SetLimit(deleteAtOnce)
	for i, o := range objects {
		group.Go(func() error {
			failed[i] = fault.Contain(func() error { return f.deleteOne(ctx, in, o) })
			return nil
		})
	}
	group.Wait() // none of them fails it
	return failed
}

func (f *Front) deleteOne(ctx context.Context, in verified, o deletionEntry) error {
	if o.ETag != nil || o.LastModifiedTime != nil || o.Size != nil {
		return errNotImplemented
	}
	what := gateway.Erasure{Bucket: in.bucket, All: o.VersionID == ""}
	var err error
	if what.Name, err = recording.ParseName(o.Key); err != nil {
		return err
	}
	if !what.All {
		if what.Version, err = parseVersion(o.VersionID); err != nil {
			return err
		}
	}
	_, err = f.gateway.Erase(ctx, in.caller, what)
	return err
}

// refusedWhole gives why nothing of a request was done, if that is the
// request's own fault and not that of single keys.
func refusedWhole(failed []error) error {
	for _, err := range failed {
		if errors.Is(err, recording.ErrNoBucket) {
			return err
		}
	}
	for _, err := range failed {
		if !errors.Is(err, recording.ErrDenied) {
			return nil
		}
	}
	return failed[0]
}

func (d deletion) document(failed []error) (result deleteResult) {
	for i, o := range d.Objects {
		entry := deletedEntry{Key: text(o.Key), VersionID: text(o.VersionID)}
		switch err := failed[i]; {
		case err != nil:
			e := render(err)
			result.Errors = append(result.Errors, deletionError{entry, e.code, e.message})
		case !d.Quiet:
			result.Deleted = append(result.Deleted, entry)
		}
	}
	return result
}
