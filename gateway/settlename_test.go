package gateway_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
)

// What a name stands for after a rebuild: see gateway.SettleName for the words. The last
// is what the version is to be, if anything.
func TestSettleName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what string
		mode gateway.Overwrite
		of   []string
	}{
		{"one", gateway.OverwriteNever, []string{"a 1 2 *"}},
		{"the later is current", gateway.OverwriteVersion, []string{"b 3 4 *", "a 1 2"}},
		{"by its end and not its beginning", gateway.OverwriteVersion, []string{"a 1 9 *", "b 3 4"}},
		{"the later replaces", gateway.OverwriteReplace, []string{"a 1 2 -", "b 3 4 -", "c 5 6 *"}},
		{"but not another recording", gateway.OverwriteReplace, []string{"a 1 2", "b 3 4 r2 *"}},
		{"unless it came in parts", gateway.OverwriteReplace, []string{"a 1 2 -", "b 3 4 r2 parts *"}},
		{"what was replaced stays so", gateway.OverwriteReplace, []string{"a 1 2 *", "b 3 4 replaced -"}},
		{"what does not open has no name", gateway.OverwriteVersion, []string{"a 1 2 *", "b 3 4 shut"}},
		{"two at once of which one was refused", gateway.OverwriteNever, []string{"a 1 4 *", "b 2 5 ?"}},
		{"the name was found free", gateway.OverwriteNever, []string{"a 1 2 ?", "b 3 4 *"}},
		{"found free twice", gateway.OverwriteNever, []string{"a 1 2 ?", "b 3 4 ?", "c 5 6 *"}},
		{"only if new, where others replace", gateway.OverwriteReplace, []string{"a 1 4 *", "b 2 5 new ?"}},
		{"and replaced in turn", gateway.OverwriteReplace, []string{"a 1 4 -", "b 2 5 new ?", "c 6 7 *"}},
	} {
		want := map[string]string{}
		var of []string
		for _, text := range test.of {
			version, is := text, ""
			if strings.ContainsAny(text, "*?") || strings.HasSuffix(text, "-") {
				version, is = text[:len(text)-1], text[len(text)-1:]
			}
			of, want[text[:1]] = append(of, version), is
		}
		if got := gateway.SettleName(test.mode, of); !maps.Equal(got, want) {
			t.Errorf("%s: %q, want %q", test.what, got, want)
		}
	}
}
