package bench

import (
	"fmt"
	"io"
	"time"
)

// target is what docs/performance.md promises of a case.
type target struct {
	what   string
	of     string
	value  func(result) *spread
	within func(median float64) bool
	show   func(float64) string
}

var targets = []target{
	throughput("put-1MiB x8"), throughput("put-16MiB x8"), throughput("get-1MiB x8"), throughput("get-16MiB x8"),
	{
		what: "a 64 KiB range adds at most 2 ms at p50", of: "range-64KiB x1",
		value:  func(r result) *spread { return r.Added },
		within: func(median float64) bool { return median <= float64(2*time.Millisecond) },
		show:   func(v float64) string { return milli(v) + " ms" },
	},
}

func throughput(of string) target {
	return target{
		what: of + ": throughput lethe/direct at least 0.5", of: of,
		value:  func(r result) *spread { return r.Ratio },
		within: func(median float64) bool { return median >= 0.5 },
		show:   func(v float64) string { return fmt.Sprintf("%.2f", v) },
	}
}

// verdict is a target of a case that was measured.
type verdict struct {
	Target string `json:"target"`
	Got    spread `json:"got"`
	Met    bool   `json:"met"` // by the median
	text   string
}

func (r report) judge() (out []verdict) {
	for _, t := range targets {
		for _, one := range r.Results {
			if got := t.value(one); one.Case == t.of && got != nil {
				out = append(out, verdict{t.what, *got, t.within(got.Median),
					fmt.Sprintf("%s (%s to %s)", t.show(got.Median), t.show(got.Min), t.show(got.Max))})
			}
		}
	}
	return out
}

func (r report) printTargets(w io.Writer) {
	fmt.Fprint(w, "\nTargets, by the median of the rounds.\n\n")
	for _, v := range r.judge() {
		word := "MISSED"
		if v.Met {
			word = "met"
		}
		fmt.Fprintf(w, "  %-6s  %s: %s\n", word, v.Target, v.text)
	}
}
