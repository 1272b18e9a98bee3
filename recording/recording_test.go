package recording_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/recording"
)

func TestParseBucket(t *testing.T) {
	for name, ok := range map[string]bool{
		"calls": true, "abc": true, "a-b.c-9": true, strings.Repeat("a", 63): true, "1.2.3": true, "1.2.3.4a": true,
		"": false, "ab": false, strings.Repeat("a", 64): false, "Calls": false, "-abc": false, "abc-": false, ".abc": false,
		"a..b": false, "192.168.5.4": false, "a_b": false, "a/b": false, "a b": false, "a\x00b": false, "ümlaut": false,
		"xn--abc": false, "sthree-abc": false, "abc-s3alias": false, "abc--ol-s3": false, "abc.mrap": false,
	} {
		if _, err := recording.ParseBucket(name); (err == nil) != ok || err != nil && !errors.Is(err, recording.ErrBucketName) {
			t.Errorf("ParseBucket(%q): %v, want ok %v", name, err, ok)
		}
	}
}

func TestParseName(t *testing.T) {
	for name, want := range map[string]error{
		"a": nil, "a/b//c/../d": nil, "+&%?#": nil, "é\n\t": nil, strings.Repeat("é", 512): nil, strings.Repeat("a", 1024): nil,
		"":                        recording.ErrNameInvalid,
		"a\x00":                   recording.ErrNameInvalid,
		"\xff":                    recording.ErrNameInvalid,
		strings.Repeat("a", 1025): recording.ErrNameTooLong,
		strings.Repeat("é", 513):  recording.ErrNameTooLong,
	} {
		if _, err := recording.ParseName(name); !errors.Is(err, want) {
			t.Errorf("ParseName(%.20q): %v, want %v", name, err, want)
		}
	}
}

func TestParseMetadata(t *testing.T) {
	for _, c := range []struct {
		m    map[string]string
		want error
	}{
		{nil, nil},
		{map[string]string{"k": strings.Repeat("v", 2047)}, nil},
		{map[string]string{"k": strings.Repeat("v", 2048)}, recording.ErrMetadataTooLarge},
		{map[string]string{"a": strings.Repeat("v", 1023), "b": strings.Repeat("v", 1024)}, recording.ErrMetadataTooLarge},
		{map[string]string{"k": "\xff"}, recording.ErrMetadataInvalid},
		{map[string]string{"": "v"}, recording.ErrMetadataInvalid},
	} {
		if _, err := recording.ParseMetadata(c.m); !errors.Is(err, c.want) {
			t.Errorf("ParseMetadata of %d entries: %v, want %v", len(c.m), err, c.want)
		}
	}
}

func TestSubjectsAreNormalised(t *testing.T) {
	for in, want := range map[string][]recording.Subject{
		"":                            nil,
		" , ,":                        nil,
		"+49 (30) 901-820":            {"+4930901820"},
		"0049 30 901820":              {"+4930901820"},
		"+49 (0)30 901820":            {"+4930901820"},
		"tel:+49-30-901820":           {"+4930901820"},
		"sip:+4930901820@pbx.example": {"+4930901820"},
		"SIPS:+4930901820@pbx;x=y":    {"+4930901820"},
		"+4930901820,0049 30 901820":  {"+4930901820"},
		"+4930901820, +442079460000":  {"+4930901820", "+442079460000"},
		"030 901820":                  {"030 901820"}, // no country: as given
		"customer 4711":               {"customer 4711"},
		"sip:alice@example.org":       {"sip:alice@example.org"},
		"+1234567890123456":           {"+1234567890123456"}, // longer than E.164
		"+12ab":                       {"+12ab"},
	} {
		if got := recording.ParseSubjects(in); !slices.Equal(got, want) {
			t.Errorf("ParseSubjects(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMetadataGivesFacts(t *testing.T) {
	var f recording.Facts
	m := map[string]string{
		"lethe-subject": "+4930901820", "lethe-call": "c", "lethe-agent": "a", "lethe-queue": "q", "lethe-direction": "inbound",
		"lethe-purpose": "p", "lethe-legal-basis": "l", "lethe-consent": "yes", "lethe-notice": "n", "lethe-started-at": "s",
		"lethe-language": "de", "other": "kept",
	}
	f.ReadMetadata(m)
	want := recording.Facts{
		Metadata: m, Subjects: []recording.Subject{"+4930901820"}, Call: "c", Agent: "a", Queue: "q", Direction: "inbound",
		Purpose: "p", LegalBasis: "l", Consent: "yes", Notice: "n", StartedAt: "s", Language: "de",
	}
	if f.Call != want.Call || f.Agent != want.Agent || f.Queue != want.Queue || f.Direction != want.Direction ||
		f.Purpose != want.Purpose || f.LegalBasis != want.LegalBasis || f.Consent != want.Consent || f.Notice != want.Notice ||
		f.StartedAt != want.StartedAt || f.Language != want.Language || !slices.Equal(f.Subjects, want.Subjects) || f.Metadata["other"] != "kept" {
		t.Errorf("facts = %+v, want %+v", f, want)
	}
}

func TestTenantText(t *testing.T) {
	id := recording.NewTenant()
	if got, err := recording.ParseTenant(id.String()); err != nil || got != id || len(id.String()) != 26 {
		t.Errorf("ParseTenant(%q) = %v, %v", id, got, err)
	}
	for _, s := range []string{"", "a", strings.ToUpper(id.String()), id.String() + "a", strings.Repeat("z", 26), strings.Repeat("1", 26)} {
		if got, err := recording.ParseTenant(s); err == nil && got.String() != s {
			t.Errorf("ParseTenant(%q) = %v, which is written otherwise", s, got)
		}
	}
}

func TestClasses(t *testing.T) {
	if !recording.ClassA.AtLeast(recording.ClassB) || !recording.ClassB.AtLeast(recording.ClassB) || recording.ClassC.AtLeast(recording.ClassB) {
		t.Error("A is stronger than B, and B than C")
	}
	if _, err := recording.ParseClass("E"); !errors.Is(err, recording.ErrClassInvalid) {
		t.Errorf("ParseClass(E): %v", err)
	}
}

func TestNamesStayOutOfLogs(t *testing.T) {
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "name", recording.Name("smith.wav"))
	if strings.Contains(out.String(), "smith") {
		t.Errorf("log shows a name: %s", out.String())
	}
}
