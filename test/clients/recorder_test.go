package clients

import (
	"path/filepath"
	"testing"

	"github.com/lethe-vault/lethe/test/system"
	"github.com/lethe-vault/lethe/test/telephony"
)

// TestRecorder has every client record with a key that may only write. What
// it has written it cannot read, and others can.
func TestRecorder(t *testing.T) {
	call := telephony.Short(t, t.TempDir())[1]
	s := system.Secure(t)
	lethe(t, s, nil, "tenant", "create", tenant)
	for _, k := range kinds {
		at := newSite(t, s, "calls-"+k.name)
		pbx := asRecorder(t, s, at)
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			recorder, name := k.record(t, pbx), names[0]
			if err := recorder.put(t.Context(), call.Path, name); err != nil {
				t.Fatalf("put: %v", err)
			}
			if err := recorder.get(t.Context(), name, filepath.Join(t.TempDir(), "stolen.wav")); err == nil {
				t.Error("a recorder's key reads")
			}
			expectContent(t, k.connect(t, at), name, call)
		})
	}
}
