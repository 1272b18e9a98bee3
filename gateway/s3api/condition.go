package s3api

import (
	"net/http"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// evaluate applies the conditions of a GET or HEAD in the order of RFC 9110
// section 13.2.2. modified is false if the client has this very recording
// already; errPrecondition if it wanted another one. A date that cannot be
// read is no condition (sections 13.1.3 and 13.1.4).
func evaluate(h http.Header, info recording.Info) (modified bool, err error) {
	created := info.CreatedAt.Truncate(time.Second)
	if match := h.Values("If-Match"); len(match) > 0 {
		if !anyMatches(match, info.ETag, strong) {
			return false, errPrecondition
		}
	} else if since, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil && created.After(since) {
		return false, errPrecondition
	}
	if none := h.Values("If-None-Match"); len(none) > 0 {
		return !anyMatches(none, info.ETag, weak), nil
	}
	since, err := http.ParseTime(h.Get("If-Modified-Since"))
	return err != nil || created.After(since), nil
}

// comparison is one of the two of RFC 9110 section 8.8.3.2.
type comparison bool

const (
	strong comparison = false
	weak   comparison = true
)

// anyMatches looks for a tag in a list of tags, or for "*". Our tags have no
// comma or quote in them, so a list may be cut at commas. S3 clients leave out
// the quotes at times; S3 does not mind.
func anyMatches(lists []string, etag string, how comparison) bool {
	for candidate := range strings.SplitSeq(strings.Join(lists, ","), ",") {
		candidate = strings.TrimSpace(candidate)
		if how == weak {
			candidate = strings.TrimPrefix(candidate, "W/")
		}
		if candidate == "*" || candidate == quote(etag) || candidate == etag {
			return true
		}
	}
	return false
}

// rangeApplies evaluates If-Range: RFC 9110 section 13.1.5.
func rangeApplies(h http.Header, info recording.Info) bool {
	condition := h.Get("If-Range")
	if condition == "" {
		return true
	}
	if at, err := http.ParseTime(condition); err == nil {
		return at.Equal(info.CreatedAt.Truncate(time.Second))
	}
	return condition == quote(info.ETag)
}
