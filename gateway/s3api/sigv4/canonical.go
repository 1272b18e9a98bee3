package sigv4

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// canonical gives the canonical requests that an honest client may have
// signed for the target that was received.
//
// AWS defines one: every byte of the decoded path and query is encoded anew,
// and the query is sorted. But aws-sdk-go-v2 signs the path exactly as it
// sends it, and minio-go the query, which differ where the client spelled
// something otherwise ("+" or "%2F" in a path, a query sorted before it was
// encoded). So the target as sent is tried too.
//
// This gives nobody a second meaning to choose from. Encoding is the inverse
// of decoding, so whenever one signature fits two targets, as sent or encoded
// anew, the two decode to the same path and the same parameters, and only what
// is decoded is ever acted upon. (The order of a repeated parameter is under no
// signature at all, so the front takes no parameter twice.)
func (q Request) canonical() ([]string, error) {
	rawPath, rawQuery, _ := strings.Cut(q.head.RequestURI, "?")
	if q.Presigned() {
		rawQuery = withoutSignature(rawQuery)
	}
	path, err := standardPath(rawPath)
	if err != nil {
		return nil, err
	}
	query, err := standardQuery(rawQuery)
	if err != nil {
		return nil, err
	}
	headers, err := q.canonicalHeaders()
	if err != nil {
		return nil, err
	}
	form := func(path, query string) string {
		return strings.Join([]string{
			q.head.Method, path, query, headers, strings.Join(q.SignedHeaders, ";"), q.PayloadHash,
		}, "\n")
	}
	forms := []string{form(path, query)}
	if path != rawPath || query != rawQuery {
		forms = append(forms, form(rawPath, rawQuery))
	}
	return forms, nil
}

// standardPath decodes and encodes once, and resolves neither "//" nor "..",
// which are parts of a name in S3.
func standardPath(raw string) (string, error) {
	path, err := url.PathUnescape(raw)
	if err != nil || !strings.HasPrefix(path, "/") {
		return "", ErrURI
	}
	return EscapePath(path), nil
}

// standardQuery sorts by name, then by value, after encoding.
func standardQuery(raw string) (string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", ErrURI
	}
	type parameter struct{ name, value string }
	var parameters []parameter
	for name, vs := range values {
		for _, v := range vs {
			parameters = append(parameters, parameter{escapeQuery(name), escapeQuery(v)})
		}
	}
	slices.SortFunc(parameters, func(a, b parameter) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	var out strings.Builder
	for i, p := range parameters {
		if i > 0 {
			out.WriteByte('&')
		}
		out.WriteString(p.name + "=" + p.value)
	}
	return out.String(), nil
}

// canonicalHeaders lists the signed headers with their values. A header that
// is listed and not there is ErrSignature: it is not the same as an empty one.
func (q Request) canonicalHeaders() (string, error) {
	var out strings.Builder
	for _, name := range q.SignedHeaders {
		values := q.head.Header.Values(name)
		if name == "host" {
			values = []string{q.head.Host}
		}
		if len(values) == 0 {
			return "", ErrSignature
		}
		out.WriteString(name + ":")
		for i, v := range values {
			if i > 0 {
				out.WriteByte(',')
			}
			out.WriteString(fold(v))
		}
		out.WriteByte('\n')
	}
	return out.String(), nil
}

// fold trims spaces and makes every inner run of them one.
func fold(value string) string {
	value = strings.Trim(value, " ")
	for strings.Contains(value, "  ") {
		value = strings.ReplaceAll(value, "  ", " ")
	}
	return value
}

// EscapePath writes every byte of s as %XX, except RFC 3986's unreserved
// characters and "/", which is AWS's UriEncode for the names of objects.
func EscapePath(s string) string { return escape(s, "-_.~/") }

func escapeQuery(s string) string { return escape(s, "-_.~") }

// escape keeps ASCII letters, digits and the characters of keep.
func escape(s, keep string) string {
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	out.Grow(len(s))
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if alphanumeric || strings.IndexByte(keep, c) >= 0 {
			out.WriteByte(c)
			continue
		}
		out.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return out.String()
}
