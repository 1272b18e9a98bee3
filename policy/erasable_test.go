package policy_test

import (
	"testing"

	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

func TestErasable(t *testing.T) {
	first, second := recording.NewHoldID(), recording.NewHoldID()
	for _, c := range []struct {
		holds  []policy.Hold
		ground policy.Ground
		hold   recording.HoldID
	}{
		{nil, policy.NoGround, recording.HoldID{}},
		{[]policy.Hold{{ID: first}}, policy.RecordingHeld, first},
		{[]policy.Hold{{ID: first, OfSubject: true}}, policy.SubjectHeld, first},
		{[]policy.Hold{{ID: first}, {ID: second, OfSubject: true}}, policy.RecordingHeld, first},
	} {
		if ground, hold := policy.Erasable(c.holds); ground != c.ground || hold != c.hold {
			t.Errorf("Erasable(%v) = %q, %v; want %q, %v", c.holds, ground, hold, c.ground, c.hold)
		}
	}
}
