package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// print gives the run to a person.
func (r report) print(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "\nLethe %s, %s, %d processors (%s), Linux %s, %s\n", m.Commit, r.Began.UTC().Format("2006-01-02 15:04 UTC"), m.Processors, m.Processor, m.Kernel, m.Go)
	fmt.Fprintf(w, "%d rounds of %v for each case and side, seed %d, %v in all\n\n", r.Options.Rounds, r.Options.Duration, r.Options.Seed, r.Took.Round(time.Second))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(r.Client)) {
		fmt.Fprintf(t, "%s\t%s\n", name, r.Client[name])
	}
	t.Flush()
	fmt.Fprint(w, "\nThroughput in MB/s (10^6 bytes) and its ratio to direct (least, median and most of the rounds); latency in ms.\n\n")
	r.table(w, "case\tdirect\tlethe\tratio lethe/direct\tp50 direct\tlethe\tp99 direct\tlethe\tadded at p50\tembedded\tratio\tp50\tp99", result.speed)
	fmt.Fprint(w, "\nRequests a second, and requests to Vault for 1,000 of them.\n\n")
	r.table(w, "case\tdirect\tlethe\tembedded\tVault", result.rates)
	fmt.Fprint(w, "\nCPU seconds per GB (10^9 bytes of bodies), by process.\n\n")
	r.table(w, "case\tdirect: client\tminio\tlethe: client\tlethe\tminio\tpostgres\tvault\tembedded: client\tlethe", result.processor)
	fmt.Fprint(w, "\nThe most resident memory of a process in MiB (VmHWM; of PostgreSQL, that of its largest process): peak memory.\n\n")
	r.table(w, "case\tdirect: minio\tlethe: lethe\tminio\tpostgres\tvault\tembedded: lethe", result.memory)
	r.printTargets(w)
}

func (r report) table(w io.Writer, heads string, row func(result) []string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, heads+"\t")
	for _, one := range r.Results {
		fmt.Fprintln(t, strings.Join(append([]string{one.Case + " "}, row(one)...), "\t")+"\t")
	}
	t.Flush()
}

const absent = "-"

func (r result) speed() (row []string) {
	for _, side := range []string{"direct", "lethe"} {
		row = append(row, r.of(side, func(s summary) string { return mega(s.Throughput.Median) }))
	}
	row = append(row, ratio(r.Ratio))
	for _, value := range []func(summary) time.Duration{func(s summary) time.Duration { return s.P50 }, func(s summary) time.Duration { return s.P99 }} {
		for _, side := range []string{"direct", "lethe"} {
			row = append(row, r.of(side, func(s summary) string { return milli(float64(value(s))) }))
		}
	}
	added := absent
	if r.Added != nil {
		added = milli(r.Added.Median)
	}
	return append(row, added,
		r.of("embedded", func(s summary) string { return mega(s.Throughput.Median) }), ratio(r.Embedded),
		r.of("embedded", func(s summary) string { return milli(float64(s.P50)) }),
		r.of("embedded", func(s summary) string { return milli(float64(s.P99)) }))
}

func (r result) rates() (row []string) {
	for _, side := range []string{"direct", "lethe", "embedded"} {
		row = append(row, r.of(side, func(s summary) string { return fmt.Sprintf("%.0f", s.Rate.Median) }))
	}
	return append(row, r.of("lethe", func(s summary) string { return fmt.Sprintf("%.1f", *s.VaultPer1000) }))
}

func (r result) processor() (row []string) {
	for _, at := range [][2]string{{"direct", "client"}, {"direct", "minio"}, {"lethe", "client"}, {"lethe", "lethe"}, {"lethe", "minio"},
		{"lethe", "postgres"}, {"lethe", "vault"}, {"embedded", "client"}, {"embedded", "lethe"}} {
		row = append(row, r.of(at[0], func(s summary) string { return fmt.Sprintf("%.2f", s.CPUPerGB[at[1]]) }))
	}
	return row
}

func (r result) memory() (row []string) {
	for _, at := range [][2]string{{"direct", "minio"}, {"lethe", "lethe"}, {"lethe", "minio"}, {"lethe", "postgres"}, {"lethe", "vault"}, {"embedded", "lethe"}} {
		row = append(row, r.of(at[0], func(s summary) string { return fmt.Sprint(s.PeakMemory[at[1]] >> 20) }))
	}
	return row
}

// of gives a cell of a side that was measured.
func (r result) of(side string, cell func(summary) string) string {
	s, ok := r.Sides[side]
	if !ok {
		return absent
	}
	return cell(s)
}

func mega(bytes float64) string { return fmt.Sprintf("%.1f", bytes/1e6) }

func milli(nanoseconds float64) string { return fmt.Sprintf("%.2f", nanoseconds/1e6) }

func ratio(s *spread) string {
	if s == nil {
		return absent
	}
	return fmt.Sprintf("%.2f %.2f %.2f", s.Min, s.Median, s.Max)
}
