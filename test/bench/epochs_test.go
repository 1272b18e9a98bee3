package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// epochOptions say what of the erasures is measured.
type epochOptions struct {
	Slots    []int64 `json:"slots"`  // allocated: the sizes of a vault
	Many     int     `json:"many"`   // erased in one epoch, and recordings of one subject
	Rows     int64   `json:"rows"`   // of recordings in the catalog, at most
	Sides    string  `json:"sides"`  // lethe, embedded
	Rounds   int     `json:"rounds"` // each measures every case once
	Seed     uint64  `json:"seed"`
	Profiles string  `json:"profiles,omitempty"`
}

// shareBefore is how many slots there are for one that was punctured before.
const shareBefore = 100

var (
	slots = flag.String("slots", "10000,1000000,10000000", "epochs: how many slots a vault has allocated, with commas between")
	many  = flag.Int("many", 10_000, "epochs: how many recordings are erased in one epoch, or with one subject")
	rows  = flag.Int64("rows", 1_000_000, "epochs: how many recordings the catalog has, at most")
)

// BenchmarkEpochs measures erasures. It is one iteration: -benchtime 1x.
func BenchmarkEpochs(b *testing.B) {
	o := epochOptions{Many: *many, Rows: *rows, Sides: *sides, Rounds: *rounds, Seed: *seed, Profiles: *profiles}
	for text := range strings.SplitSeq(*slots, ",") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		o.Slots = append(o.Slots, n)
	}
	r := measureEpochs(b, o)
	r.print(os.Stdout)
	if *results != "" {
		keep(b, *results, r)
	}
}

// keep writes a report as JSON.
func keep(t testing.TB, path string, report any) {
	t.Helper()
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestEpochReport runs a little of everything and looks at what comes out: no time
// is judged here, but every count is.
func TestEpochReport(t *testing.T) {
	o := epochOptions{Slots: []int64{500, 20_000}, Many: 200, Rows: 2_000, Sides: "lethe,embedded", Rounds: 2, Seed: 1} // rounds in two tenants, and in one
	r := measureEpochs(t, o)
	if len(r.Results) != 2*2*3 {
		t.Fatalf("%d results, want one for each side, size and case", len(r.Results))
	}
	punctured := map[string]int{oneErasure: 1, manyErasures: o.Many, oneSubject: 1}
	for _, one := range r.Results {
		name := fmt.Sprint(one.Side, " ", one.Slots, " ", one.Case)
		if one.Punctured != punctured[one.Case] {
			t.Errorf("%s: %d slots in the epoch, want %d", name, one.Punctured, punctured[one.Case])
		}
		if one.Took <= 0 || one.CPU[own] <= 0 || one.Tree <= 0 || one.Certified <= 0 || one.Peak <= 0 {
			t.Errorf("%s: took %v, CPU %v, tree %v, certified %v, peak %d", name, one.Took, one.CPU, one.Tree, one.Certified, one.Peak)
		}
		if one.Written < 1000 || one.Store["create"] != 2 {
			t.Errorf("%s: %d bytes in %v, want a pack and a head", name, one.Written, one.Store)
		}
		if one.Side == "lethe" && !onceEach(one.Vault) || one.Side == "embedded" && len(one.Vault) > 0 {
			t.Errorf("%s: requests to Vault %v", name, one.Vault)
		}
	}
	var table strings.Builder
	r.print(&table)
	for _, part := range []string{"one erasure", "200 erasures", "one subject", "rotate", "20000 slots", "embedded"} {
		if !strings.Contains(table.String(), part) {
			t.Errorf("no %q in the table:\n%s", part, table.String())
		}
	}
}
