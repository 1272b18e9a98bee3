package bench

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// options say what is measured, and for how long.
type options struct {
	Cases    string        `json:"cases"`  // a regular expression of names
	Sides    string        `json:"sides"`  // names, with commas between
	Rounds   int           `json:"rounds"` // each measures every case on every side once
	Duration time.Duration `json:"duration_ns"`
	Seed     uint64        `json:"seed"`
	Profiles string        `json:"profiles,omitempty"` // directory
}

// shortCases are those that docs/performance.md has targets for, and the rate
// of small recordings.
const shortCases = `^((put|get)-(1MiB|16MiB) x8|range-64KiB x1|put-4KiB x8)$`

var (
	cases    = flag.String("cases", ".", "which cases, as a regular expression of their names; \"short\" for those with targets")
	sides    = flag.String("sides", "direct,lethe,embedded", "which sides, with commas between")
	rounds   = flag.Int("rounds", 5, "how often each case is measured on each side")
	duration = flag.Duration("duration", 2*time.Second, "how long each case is measured on each side, in each round")
	seed     = flag.Uint64("seed", 1, "draws contents and offsets, and which side is first")
	results  = flag.String("results", "", "file that gets the results as JSON")
	profiles = flag.String("profiles", "", "directory that gets a CPU and an allocation profile of Lethe for each case, taken in the last round")
)

// BenchmarkLethe is the whole run. It is one iteration: -benchtime 1x.
func BenchmarkLethe(b *testing.B) {
	o := options{Cases: *cases, Sides: *sides, Rounds: *rounds, Duration: *duration, Seed: *seed, Profiles: *profiles}
	if o.Cases == "short" {
		o.Cases = shortCases
	}
	r := measure(b, o)
	r.print(os.Stdout)
	if *results != "" {
		keep(b, *results, r)
	}
}

// TestReport runs a little of everything and looks at the form of what comes
// out: no time is judged here.
func TestReport(t *testing.T) {
	o := options{Cases: `^(put-64KiB|get-64KiB|range-64KiB) x(1|8)$`, Sides: "direct,lethe,embedded", Rounds: 2, Duration: 50 * time.Millisecond, Seed: 1, Profiles: t.TempDir()}
	want := measure(t, o)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 6 {
		t.Fatalf("%d cases in the report, want 6", len(r.Results))
	}
	for _, result := range r.Results {
		checkResult(t, o, result)
	}
	if found, err := filepath.Glob(filepath.Join(o.Profiles, "*.pprof")); err != nil || len(found) != 2*2*6 { // of two sides
		t.Errorf("profiles: %v, %v", found, err)
	}
	var table strings.Builder
	r.print(&table)
	for _, pattern := range []string{`client +minio-go`, `put-64KiB x1 `, `range-64KiB x8 `, `CPU seconds per GB`, `peak memory`, `a 64 KiB range adds`} {
		if !regexp.MustCompile(pattern).MatchString(table.String()) {
			t.Errorf("nothing like %q in the table:\n%s", pattern, table.String())
		}
	}
}

// checkResult checks that a case has what a reader looks for.
func checkResult(t *testing.T, o options, r result) {
	t.Helper()
	processes := map[string][]string{
		"direct": {"minio"}, "lethe": {"lethe", "minio", "postgres", "vault"}, "embedded": {"lethe"},
	}
	for name, want := range processes {
		s, ok := r.Sides[name]
		if !ok || len(s.Rounds) != o.Rounds {
			t.Errorf("%s: %d rounds of %s, want %d", r.Case, len(s.Rounds), name, o.Rounds)
			continue
		}
		if s.Throughput.Min <= 0 || s.Throughput.Median < s.Throughput.Min || s.Throughput.Max < s.Throughput.Median || s.P50 <= 0 || s.P99 < s.P50 || s.Requests < o.Rounds {
			t.Errorf("%s %s: throughput %+v, p50 %v, p99 %v, %d requests", r.Case, name, s.Throughput, s.P50, s.P99, s.Requests)
		}
		for _, p := range want {
			if s.PeakMemory[p] == 0 {
				t.Errorf("%s %s: no memory of %s", r.Case, name, p)
			}
			if _, ok := s.CPUPerGB[p]; !ok {
				t.Errorf("%s %s: no processor time of %s", r.Case, name, p)
			}
		}
		if s.CPUPerGB["client"] <= 0 {
			t.Errorf("%s %s: no processor time of the client", r.Case, name)
		}
		if (s.VaultPer1000 != nil) != (name == "lethe") {
			t.Errorf("%s %s: requests to Vault: %v", r.Case, name, s.VaultPer1000)
		}
	}
	if r.Ratio == nil || r.Ratio.Min <= 0 || r.Added == nil {
		t.Errorf("%s: ratio %v, added latency %v", r.Case, r.Ratio, r.Added)
	}
}
