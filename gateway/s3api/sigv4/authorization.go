package sigv4

import (
	"fmt"
	"strings"
)

// Authorization is what an Authorization header, or a presigned query, holds.
type Authorization struct {
	AccessKey     string
	Scope         Scope
	SignedHeaders []string // lower-case, strictly ascending, at least one
	Signature     string   // 64 lower-case hex digits
}

// Scope is what a signing key is derived for. The service is always "s3".
type Scope struct {
	Date   string // YYYYMMDD
	Region string // whatever region the client believes in
}

// String gives the scope as it stands in the string to sign.
func (s Scope) String() string {
	return strings.Join([]string{s.Date, s.Region, service, terminator}, "/")
}

// String gives the header in the form the AWS SDKs write.
func (a Authorization) String() string {
	return algorithm + " Credential=" + a.AccessKey + "/" + a.Scope.String() +
		", SignedHeaders=" + strings.Join(a.SignedHeaders, ";") + ", Signature=" + a.Signature
}

// ParseAuthorization reads an Authorization header: the algorithm, then
// Credential, SignedHeaders and Signature, each once, in any order, separated
// by commas and optional spaces. It reports ErrV2, ErrAlgorithm or ErrMalformed.
func ParseAuthorization(header string) (Authorization, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	switch scheme {
	case algorithm:
	case "AWS":
		return Authorization{}, ErrV2
	default:
		return Authorization{}, ErrAlgorithm
	}
	fields, err := parseFields(rest)
	if err != nil {
		return Authorization{}, err
	}
	var a Authorization
	if a.AccessKey, a.Scope, err = parseCredential(fields["Credential"]); err != nil {
		return Authorization{}, err
	}
	if a.SignedHeaders, err = parseSignedHeaders(fields["SignedHeaders"]); err != nil {
		return Authorization{}, err
	}
	a.Signature = fields["Signature"]
	if !isSignature(a.Signature) {
		return Authorization{}, fmt.Errorf("%w: signature is not 64 hex digits", ErrMalformed)
	}
	return a, nil
}

// isSignature reports whether s is 64 lower-case hex digits.
func isSignature(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func parseFields(s string) (map[string]string, error) {
	fields := make(map[string]string, 3)
	for part := range strings.SplitSeq(s, ",") {
		name, value, ok := strings.Cut(strings.Trim(part, " "), "=")
		_, repeated := fields[name]
		known := name == "Credential" || name == "SignedHeaders" || name == "Signature"
		if !ok || repeated || !known {
			return nil, fmt.Errorf("%w: want Credential, SignedHeaders and Signature once each", ErrMalformed)
		}
		fields[name] = value
	}
	return fields, nil
}

// parseCredential reads ACCESSKEY/YYYYMMDD/REGION/s3/aws4_request.
func parseCredential(s string) (accessKey string, scope Scope, err error) {
	p := strings.Split(s, "/")
	if len(p) != 5 || p[3] != service || p[4] != terminator {
		return "", Scope{}, fmt.Errorf("%w: credential is not KEY/DATE/REGION/s3/aws4_request", ErrMalformed)
	}
	for _, word := range p[:3] {
		if !isToken(word) {
			return "", Scope{}, fmt.Errorf("%w: credential has an empty or unprintable part", ErrMalformed)
		}
	}
	return p[0], Scope{Date: p[1], Region: p[2]}, nil
}

// parseSignedHeaders demands the order the canonical request needs, so that
// there is one way to write a list.
func parseSignedHeaders(s string) ([]string, error) {
	names := strings.Split(s, ";")
	for i, name := range names {
		if !isToken(name) || name != strings.ToLower(name) || i > 0 && names[i-1] >= name {
			return nil, fmt.Errorf("%w: signed headers are not lower-case, sorted and unique", ErrMalformed)
		}
	}
	return names, nil
}

// isToken reports whether s is one or more visible ASCII characters.
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
