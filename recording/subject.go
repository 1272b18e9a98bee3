package recording

import (
	"slices"
	"strings"
)

// ParseSubjects reads data subjects separated by commas, normalised and
// without repetition, in the order given.
func ParseSubjects(s string) []Subject {
	var out []Subject
	for part := range strings.SplitSeq(s, ",") {
		sub := NormalizeSubject(part)
		if sub != "" && !slices.Contains(out, sub) {
			out = append(out, sub)
		}
	}
	return out
}

// NormalizeSubject brings a telephone number to E.164 (ITU-T E.164: "+" and at
// most 15 digits) so that the same caller always gives the same index: "00"
// becomes "+", separators and a tel: or sip: scheme go, a SIP host goes. A
// number without a country code, and anything else, is kept as text, trimmed.
func NormalizeSubject(s string) Subject {
	s = strings.TrimSpace(s)
	number := s
	for _, scheme := range []string{"tel:", "sips:", "sip:"} {
		if len(number) > len(scheme) && strings.EqualFold(number[:len(scheme)], scheme) {
			number = number[len(scheme):]
			break
		}
	}
	number, _, _ = strings.Cut(number, "@")
	number, _, _ = strings.Cut(number, ";")
	if n, ok := digits(number); ok {
		return Subject(n)
	}
	return Subject(s)
}

// digits drops separators from a dialled number that names its country.
func digits(s string) (string, bool) {
	n := strings.NewReplacer(" ", "", "-", "", ".", "", "(0)", "", "(", "", ")", "", "/", "").Replace(s)
	if rest, ok := strings.CutPrefix(n, "00"); ok {
		n = "+" + rest
	}
	d, ok := strings.CutPrefix(n, "+")
	if !ok || len(d) < 5 || len(d) > 15 || strings.Trim(d, "0123456789") != "" {
		return "", false
	}
	return n, true
}
