package policy

import "github.com/lethe-vault/lethe/recording"

// Ground is why something may not be erased.
type Ground string

// The grounds of a refusal; Erasure is allowed on NoGround.
const (
	NoGround      Ground = ""
	RecordingHeld Ground = "recording-held" // a recording that it would take
	SubjectHeld   Ground = "subject-held"   // someone of whom it would take recordings
)

// Hold is a hold that bears on what is to be erased: one of a recording that would
// go, or of a subject of whom such a recording tells.
type Hold struct {
	ID        recording.HoldID
	OfSubject bool
}

// Erasable decides whether something may be erased on which these holds bear. It
// gives the ground on which it may not, and the hold that it goes back to.
//
// A retention day is not asked about: what is held moves out of it before.
func Erasable(holds []Hold) (Ground, recording.HoldID) {
	if len(holds) == 0 {
		return NoGround, recording.HoldID{}
	}
	first := holds[0]
	if first.OfSubject {
		return SubjectHeld, first.ID
	}
	return RecordingHeld, first.ID
}

// Correctable decides whether a recording on which these holds bear may come to tell of
// others: not out of a hold on someone. One on the recording itself stays on it.
func Correctable(holds []Hold) (Ground, recording.HoldID) {
	for _, h := range holds {
		if h.OfSubject {
			return SubjectHeld, h.ID
		}
	}
	return NoGround, recording.HoldID{}
}
