package recording

import (
	"maps"
	"strings"
	"time"
)

// Facts is what a recorder says of a recording when it begins to upload it.
// All of it is personal data: it is sealed under the recording's key, blind
// indexed where it is searched, and erased with its recording.
type Facts struct {
	Bucket      Bucket            `json:"bucket"`
	Name        Name              `json:"name"`
	ContentType string            `json:"content_type,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`  // Cache-Control and its like, given back as they came
	Metadata    map[string]string `json:"metadata,omitempty"` // user metadata, given back as it came
	Subjects    []Subject         `json:"subjects,omitempty"` // the first decides the subject slot
	Call        string            `json:"call,omitempty"`
	Agent       string            `json:"agent,omitempty"`
	Queue       string            `json:"queue,omitempty"`
	Direction   string            `json:"direction,omitempty"`
	Purpose     string            `json:"purpose,omitempty"`
	LegalBasis  string            `json:"legal_basis,omitempty"`
	Consent     string            `json:"consent,omitempty"`
	Notice      string            `json:"notice,omitempty"`
	StartedAt   string            `json:"started_at,omitempty"`
	Language    string            `json:"language,omitempty"`
	Recorder    string            `json:"recorder"` // the access key that put it
	CreatedAt   time.Time         `json:"created_at"`

	// The slot of the recordings tree under which its version is filed: these are no
	// facts of the version as it was filed before. Zero in blobs of earlier releases.
	Slot uint64 `json:"slot,omitempty"`

	// Of an upload in parts: the digest that each must come with, "" for none,
	// and whether the recording's is that of all its bytes (true) or of its
	// parts' digests.
	Checksum     string `json:"checksum,omitempty"`
	FullChecksum bool   `json:"full_checksum,omitempty"`
}

// Subject is a data subject as a recorder names them: a telephone number in
// E.164 where it is one, else the text as given.
type Subject string

// Digests are what was computed over the body, lower-case hex by algorithm
// ("sha256", "md5", "crc32" …). They confirm content, so they live sealed and
// are erased with their recording.
type Digests map[string]string

// EndFacts is what is known only once the body has ended.
type EndFacts struct {
	Size    int64   `json:"size"`
	Digests Digests `json:"digests"`
	Class   Class   `json:"class"`

	// When the source had ended, and later than what then stood under the name was
	// committed: the order of versions, for whoever has nothing but blobs. Zero in
	// blobs of earlier releases.
	EndedAt time.Time `json:"ended_at,omitzero"`
	OnlyNew bool      `json:"only_new,omitempty"` // it was to be refused if anything stood under the name

	ETag string `json:"etag,omitempty"` // of a part: what its uploader was told

	// Of a recording that came in parts.
	Parts     int     `json:"parts,omitempty"`     // how many
	PartList  string  `json:"part_list,omitempty"` // SHA-256 of the list of them, in hex
	Composite Digests `json:"composite,omitempty"` // digests of the parts' digests, in their order
	Named     string  `json:"named,omitempty"`     // tells how its uploader named them from every other way
}

// factKeys maps the metadata a plain S3 client sends, after x-amz-meta-, to
// the fact it sets.
var factKeys = map[string]func(*Facts) *string{
	"lethe-call":        func(f *Facts) *string { return &f.Call },
	"lethe-agent":       func(f *Facts) *string { return &f.Agent },
	"lethe-queue":       func(f *Facts) *string { return &f.Queue },
	"lethe-direction":   func(f *Facts) *string { return &f.Direction },
	"lethe-purpose":     func(f *Facts) *string { return &f.Purpose },
	"lethe-legal-basis": func(f *Facts) *string { return &f.LegalBasis },
	"lethe-consent":     func(f *Facts) *string { return &f.Consent },
	"lethe-notice":      func(f *Facts) *string { return &f.Notice },
	"lethe-started-at":  func(f *Facts) *string { return &f.StartedAt },
	"lethe-language":    func(f *Facts) *string { return &f.Language },
}

// subjectKey is the metadata that names data subjects, separated by commas.
const subjectKey = "lethe-subject"

// ReadMetadata sets the facts that user metadata gives and keeps all of it.
func (f *Facts) ReadMetadata(m map[string]string) {
	f.Metadata = m
	for key, field := range factKeys {
		if v, ok := m[key]; ok {
			*field(f) = v
		}
	}
	f.Subjects = ParseSubjects(m[subjectKey])
}

// Correct has the facts tell of others, and so the user metadata.
func (f *Facts) Correct(subjects []Subject) {
	names := make([]string, len(subjects))
	for i, s := range subjects {
		names[i] = string(s)
	}
	f.Subjects = subjects
	f.Metadata = maps.Clone(f.Metadata)
	if f.Metadata == nil {
		f.Metadata = map[string]string{}
	}
	f.Metadata[subjectKey] = strings.Join(names, ",")
}
