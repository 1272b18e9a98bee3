package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// epochReport is the JSON of a run. Times are in nanoseconds, sizes in bytes.
type epochReport struct {
	Began   time.Time      `json:"began"`
	Took    time.Duration  `json:"took_ns"`
	Machine machine        `json:"machine"`
	Options epochOptions   `json:"options"`
	Results []epochResult  `json:"results"`
	Targets []epochVerdict `json:"targets"`
}

// epochResult is a case of a size on one side. Times are the least of the epochs
// measured, since a busy machine only adds to them; counts are the most.
type epochResult struct {
	Side      string                   `json:"side"`
	Slots     int64                    `json:"slots"`
	Case      string                   `json:"case"`
	Before    int64                    `json:"punctured_before"`
	Punctured int                      `json:"punctured"`
	Epochs    int                      `json:"epochs"` // measured
	Asked     time.Duration            `json:"asked_ns"`
	Took      time.Duration            `json:"took_ns"`
	TookMost  time.Duration            `json:"took_most_ns"`
	CPU       map[string]time.Duration `json:"cpu_ns"` // by process; of others than lethe in steps of 10 ms
	Tree      time.Duration            `json:"tree_cpu_ns"`
	Certified time.Duration            `json:"certificate_ns"`
	Settled   time.Duration            `json:"settled_ns"`
	Written   int64                    `json:"written"`
	Store     map[string]int           `json:"store"`
	Vault     map[string]int           `json:"vault"`
	Peak      int64                    `json:"peak_memory"`
}

func newEpochResult(side string, slots int64, name string, samples []epochSample) epochResult {
	r := epochResult{Side: side, Slots: slots, Case: name, Epochs: len(samples), CPU: map[string]time.Duration{}, Store: map[string]int{}, Vault: map[string]int{}}
	for i, s := range samples {
		least(&r.Asked, s.asked, i)
		least(&r.Took, s.took, i)
		least(&r.Tree, s.tree, i)
		least(&r.Certified, s.certified, i)
		least(&r.Settled, s.settled, i)
		for process, used := range s.cpu {
			was := r.CPU[process]
			least(&was, used, i)
			r.CPU[process] = was
		}
		most(r.Store, s.store)
		most(r.Vault, s.vault)
		r.TookMost, r.Before, r.Punctured = max(r.TookMost, s.took), max(r.Before, s.before), max(r.Punctured, s.slots)
		r.Written, r.Peak = max(r.Written, s.written), max(r.Peak, s.peak[own])
	}
	return r
}

// least makes a the lesser of the i-th value and those before.
func least(a *time.Duration, b time.Duration, i int) {
	if i == 0 || b < *a {
		*a = b
	}
}

func most(of, counts map[string]int) {
	for what, n := range counts {
		of[what] = max(of[what], n)
	}
}

// print gives the run to a person.
func (r epochReport) print(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "\nLethe %s, %s, %d processors (%s), Linux %s, %s\n", m.Commit, r.Began.UTC().Format("2006-01-02 15:04 UTC"), m.Processors, m.Processor, m.Kernel, m.Go)
	fmt.Fprintf(w, "Epochs: %d rounds of each case, seed %d, at most %d recordings in the catalog, %v in all\n", r.Options.Rounds, r.Options.Seed, r.Options.Rows, r.Took.Round(time.Second))
	fmt.Fprint(w, "\nThe least time of all epochs of a case, in ms, until what was erased is out of reach; CPU in ms by process.\n\n")
	r.table(w, "side\tslots\tpunctured before\tcase\tepochs\tanswered\tepoch\tmost\tCPU: tree\tlethe\tpostgres\tminio\tvault\ta certificate\trows settled\t", epochResult.times)
	fmt.Fprint(w, "\nWhat the store is given and asked, Vault's requests by kind, and the most resident memory.\n\n")
	r.table(w, "side\tslots\tcase\tslots in the epoch\tkB written\tcreate\topen\tVault: rotate\tencrypt\tconfig\ttrim\tread\tdecrypt\tMiB\t", epochResult.counts)
	fmt.Fprint(w, "\nRatios to the size before.\n\n")
	r.table(w, "side\tslots\tcase\tepoch\tCPU: tree\tlethe\twritten\tstore requests\tVault requests\t", r.ratios)
	fmt.Fprint(w, "\nTargets.\n\n")
	for _, v := range r.Targets {
		word := "MISSED"
		if v.Met {
			word = "met"
		}
		fmt.Fprintf(w, "  %-6s  %s: %s\n", word, v.Target, v.Got)
	}
}

func (r epochReport) table(w io.Writer, heads string, row func(epochResult) []string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, heads)
	for _, one := range r.Results {
		if cells := row(one); cells != nil {
			fmt.Fprintln(t, strings.Join(cells, "\t")+"\t")
		}
	}
	t.Flush()
}

func (r epochResult) what() string {
	if r.Case == manyErasures {
		return fmt.Sprint(r.Punctured, " erasures")
	}
	return r.Case
}

func (r epochResult) times() []string {
	row := []string{r.Side, fmt.Sprint(r.Slots, " slots"), fmt.Sprint(r.Before), r.what(), fmt.Sprint(r.Epochs)}
	for _, d := range []time.Duration{r.Asked, r.Took, r.TookMost, r.Tree, r.CPU[own], r.CPU["postgres"], r.CPU["minio"], r.CPU["vault"], r.Certified, r.Settled} {
		row = append(row, fmt.Sprintf("%.1f", float64(d)/1e6))
	}
	row[8] = milli(float64(r.Tree))
	return row
}

func (r epochResult) counts() []string {
	row := []string{r.Side, fmt.Sprint(r.Slots, " slots"), r.what(), fmt.Sprint(r.Punctured), fmt.Sprintf("%.1f", float64(r.Written)/1e3), fmt.Sprint(r.Store["create"]), fmt.Sprint(r.Store["open"])}
	for _, kind := range []string{"rotate", "encrypt", "config", "trim", "read", "decrypt"} {
		row = append(row, fmt.Sprint(r.Vault[kind]))
	}
	return append(row, fmt.Sprint(r.Peak>>20))
}

// ratios compares with the same case of the next smaller size, if there is one.
func (r epochReport) ratios(one epochResult) []string {
	before := r.smaller(one)
	if before == nil {
		return nil
	}
	row := []string{one.Side, fmt.Sprint(one.Slots, " slots"), one.Case}
	for _, of := range []func(epochResult) float64{epochResult.took, epochResult.tree, epochResult.cpu, epochResult.written, epochResult.requests, epochResult.asked} {
		cell := absent
		if of(*before) > 0 {
			cell = fmt.Sprintf("%.2f", of(one)/of(*before))
		}
		row = append(row, cell)
	}
	return row
}

func (r epochReport) smaller(one epochResult) *epochResult {
	for i := len(r.Results) - 1; i >= 0; i-- {
		if o := &r.Results[i]; o.Side == one.Side && o.Case == one.Case && o.Slots < one.Slots {
			return o
		}
	}
	return nil
}

func (r epochResult) took() float64     { return float64(r.Took) }
func (r epochResult) tree() float64     { return float64(r.Tree) }
func (r epochResult) cpu() float64      { return float64(r.CPU[own]) }
func (r epochResult) written() float64  { return float64(r.Written) }
func (r epochResult) requests() float64 { return float64(sumOf(r.Store)) }
func (r epochResult) asked() float64    { return float64(sumOf(r.Vault)) }

func sumOf(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
