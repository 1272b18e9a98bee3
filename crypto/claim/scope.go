package claim

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lethe-vault/lethe/recording"
)

// ErrScope is of a scope that has not the parts its kind has, no more and no less.
var ErrScope = errors.New("not a whole scope of an erasure")

// ErrCommitment is of a salt and a scope that are not those of a certificate.
var ErrCommitment = errors.New("the certificate is about something else, or the salt is not its own")

// Kind is what an erasure was asked for.
type Kind string

// The kinds of scope.
const (
	OfRecording Kind = "recording"
	OfVersion   Kind = "version" // of a recording
	OfSubject   Kind = "subject"
	OfDay       Kind = "day"
	OfTenant    Kind = "tenant"
)

var kinds = []Kind{OfRecording, OfVersion, OfSubject, OfDay, OfTenant}

// Scope is what an erasure was asked for. A certificate holds a commitment to it
// only: names and numbers are personal data. Each kind has the fields that name
// it, and no others.
type Scope struct {
	Kind    Kind
	Bucket  string // of a recording and of a version
	Name    string // likewise
	Version string // of a version: 32 hex digits
	Subject string // of a subject: normalised, as recording.NormalizeSubject has it
	Class   string // of a day: the retention, as 90d
	Date    string // of a day: when it expires, as 2026-12-31
	Tenant  string // of a tenant: its id
}

// JSON gives the scope as its commitment has it: the fields of its kind by RFC
// 8785, so that each scope has one form.
func (s Scope) JSON() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var b strings.Builder
	before := byte('{')
	for _, m := range s.members() {
		if m[1] == "" {
			continue
		}
		b.WriteByte(before)
		before = ','
		quote(&b, m[0])
		b.WriteByte(':')
		quote(&b, m[1])
	}
	return []byte(b.String() + "}"), nil
}

// members are all fields by their names in JSON, in the order of those.
func (s Scope) members() [][2]string {
	return [][2]string{
		{"bucket", s.Bucket}, {"class", s.Class}, {"date", s.Date}, {"name", s.Name},
		{"scope", string(s.Kind)}, {"subject", s.Subject}, {"tenant", s.Tenant}, {"version", s.Version},
	}
}

// fields are those that each kind has.
var fields = map[Kind][]string{
	OfRecording: {"bucket", "name"},
	OfVersion:   {"bucket", "name", "version"},
	OfSubject:   {"subject"},
	OfDay:       {"class", "date"},
	OfTenant:    {"tenant"},
}

func (s Scope) check() error {
	has, known := fields[s.Kind]
	if !known {
		return fmt.Errorf("%w: no such kind", ErrScope)
	}
	for _, m := range s.members() {
		if m[0] == "scope" {
			continue
		}
		if (m[1] != "") != slices.Contains(has, m[0]) || !utf8.ValidString(m[1]) {
			return fmt.Errorf("%w: %s of a %s", ErrScope, m[0], s.Kind)
		}
	}
	return s.checkForms()
}

// classForm is a retention of a whole number of days.
var classForm = regexp.MustCompile(`^[1-9][0-9]*d$`)

// checkForms refuses what could be written in more than one way.
func (s Scope) checkForms() error {
	_, badDate := time.Parse(time.DateOnly, s.Date)
	_, badTenant := recording.ParseTenant(s.Tenant)
	switch {
	case s.Version != "" && !isHex(s.Version, 16):
		return fmt.Errorf("%w: a version has 32 hex digits", ErrScope)
	case s.Class != "" && !classForm.MatchString(s.Class):
		return fmt.Errorf("%w: a retention is written as 90d", ErrScope)
	case s.Date != "" && badDate != nil:
		return fmt.Errorf("%w: a date is written as 2026-12-31", ErrScope)
	case s.Tenant != "" && badTenant != nil:
		return fmt.Errorf("%w: a tenant is given by its id", ErrScope)
	}
	return nil
}

// quote writes a string as RFC 8785 section 3.2.2.2 has it.
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		short := strings.IndexRune("\b\t\n\f\r\"\\", r)
		switch {
		case short >= 0:
			b.WriteByte('\\')
			b.WriteByte(`btnfr"\`[short])
		case r < ' ':
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// Salt hides what a commitment is to. It is drawn for one erasure, given once to
// whoever asked for it, and kept nowhere.
type Salt [32]byte

// String gives 64 characters of hex.
func (s Salt) String() string { return hex.EncodeToString(s[:]) }

// ParseSalt reads what String wrote, in either case.
func ParseSalt(s string) (salt Salt, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(salt) {
		return salt, fmt.Errorf("a salt has %d hex digits", 2*len(salt))
	}
	return Salt(b), nil
}

// Commitment binds a certificate to a scope: SHA-256 of the label, the salt and
// the scope's JSON.
func Commitment(salt Salt, s Scope) ([32]byte, error) {
	text, err := s.JSON()
	if err != nil {
		return [32]byte{}, err
	}
	h := sha256.New()
	h.Write([]byte(labelScope))
	h.Write(salt[:])
	h.Write(text)
	return [32]byte(h.Sum(nil)), nil
}

// OpenCommitment reports ErrCommitment unless c was made of this salt and scope.
func (c Committed) OpenCommitment(salt Salt, s Scope) error {
	made, err := Commitment(salt, s)
	if err != nil {
		return err
	}
	stated, err := hex.DecodeString(c.Commitment)
	if err != nil || c.Kind != s.Kind || subtle.ConstantTimeCompare(made[:], stated) != 1 {
		return ErrCommitment
	}
	return nil
}
