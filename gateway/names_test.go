package gateway_test

import (
	"errors"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// Whoever writes the database shows no recording under another's name: the index of
// a name is in clear, the name is sealed.
func TestRowsOfAnotherNameAreRefused(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	for i, name := range []recording.Name{"a", "b"} {
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, name, sound(uint64(i), 1000))); err != nil {
			t.Fatal(err)
		}
	}
	parts := begin(t, f, recorder, "c")
	if _, err := complete(f, recorder, parts, mustPutPart(t, f, recorder, parts, 1, sound(2, 1000))); err != nil {
		t.Fatal(err)
	}
	b, err := f.Stat(t.Context(), reader, calls, "b")
	if err != nil {
		t.Fatal(err)
	}
	const of = `(SELECT name_index FROM versions WHERE version = $1)`
	execute(t, f.Dir, `UPDATE versions SET is_current = FALSE WHERE version = $1`, b.Version[:])
	execute(t, f.Dir, `UPDATE versions SET name_index = `+of+` WHERE version <> $1 AND is_current AND parts = 0`, b.Version[:])
	for what, act := range map[string]func() error{
		"Open": func() error { _, err := f.Open(t.Context(), reader, calls, "b"); return err },
		"Stat": func() error { _, err := f.Stat(t.Context(), reader, calls, "b"); return err },
		"Put": func() error {
			_, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "b", sound(0, 1000)))
			return err
		},
	} {
		if err := act(); !errors.Is(err, recording.ErrIntegrity) {
			t.Errorf("%s: %v, want ErrIntegrity", what, err)
		}
	}
	execute(t, f.Dir, `UPDATE versions SET name_index = `+of+`, is_current = FALSE WHERE version = $2`, b.Version[:], parts.Version[:])
	moved := parts
	moved.Name = "b"
	if _, err := complete(f, recorder, moved); !errors.Is(err, recording.ErrIntegrity) {
		t.Errorf("CompleteUpload again: %v, want ErrIntegrity", err)
	}
}
