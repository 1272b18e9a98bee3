package s3api

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/lethe-vault/lethe/recording"
)

// span is n bytes from off.
type span struct{ off, n int64 }

// contentRange gives the Content-Range of a part of size bytes.
func (s span) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", s.off, s.off+s.n-1, size)
}

// unsatisfiable is a range that begins past the end of size bytes.
type unsatisfiable struct{ size int64 }

func (unsatisfiable) Error() string { return recording.ErrRange.Error() }

// contentRange gives the Content-Range of a refusal: RFC 9110 section 14.4.
func (u unsatisfiable) contentRange() string { return fmt.Sprintf("bytes */%d", u.size) }

func (unsatisfiable) Unwrap() error { return recording.ErrRange }

// parseRange reads a Range header for a recording of size bytes. ok is false
// if it is to be ignored: absent, another unit, malformed, or several ranges
// at once, which S3 answers with the whole. A range that is right but lies
// outside is unsatisfiable. Source: RFC 9110 section 14.1.2, and what Amazon
// S3 does where that leaves a choice.
func parseRange(header string, size int64) (s span, ok bool, err error) {
	unit, set, _ := strings.Cut(header, "=")
	first, last, isRange := strings.Cut(strings.TrimSpace(set), "-")
	if !strings.EqualFold(unit, "bytes") || !isRange {
		return span{}, false, nil
	}
	from, hasFrom := position(first)
	to, hasTo := position(last)
	switch {
	case first == "" && hasTo: // -n, the last n bytes
		from, to = max(0, size-to), size-1
	case hasFrom && last == "": // a-
		to = size - 1
	case hasFrom && hasTo && from <= to: // a-b
		to = min(to, size-1)
	default:
		return span{}, false, nil
	}
	if from >= size {
		return span{}, false, unsatisfiable{size}
	}
	return span{from, to - from + 1}, true, nil
}

// position reads a decimal number. What exceeds an int64 lies past every end.
func position(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}
