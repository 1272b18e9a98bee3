package bench

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is the JSON of a run. Times are in nanoseconds, memory in bytes,
// throughput in bytes a second.
type report struct {
	Began   time.Time         `json:"began"`
	Took    time.Duration     `json:"took_ns"`
	Machine machine           `json:"machine"`
	Client  map[string]string `json:"client"`
	Options options           `json:"options"`
	Results []result          `json:"results"`
	Targets []verdict         `json:"targets"`
}

type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	Commit     string `json:"commit"`
}

// result is a case. What compares Lethe with the store itself is nil unless
// both sides were measured.
type result struct {
	Case     string             `json:"case"`
	Clients  int                `json:"clients"`
	Size     int64              `json:"size"`
	Sides    map[string]summary `json:"sides"`
	Ratio    *spread            `json:"ratio"`          // throughput lethe / direct
	Added    *spread            `json:"added_p50_ns"`   // latency lethe - direct
	Embedded *spread            `json:"embedded_ratio"` // throughput embedded / direct
}

// spread is of the rounds.
type spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// summary is a case on one side, over all rounds.
type summary struct {
	Requests     int                      `json:"requests"`
	Throughput   spread                   `json:"throughput"`
	Rate         spread                   `json:"requests_per_second"`
	P50          time.Duration            `json:"p50_ns"`
	P99          time.Duration            `json:"p99_ns"`
	CPUPerGB     map[string]float64       `json:"cpu_seconds_per_gb"`
	CPUPerReq    map[string]time.Duration `json:"cpu_per_request_ns"`
	PeakMemory   map[string]int64         `json:"peak_memory"`
	VaultPer1000 *float64                 `json:"vault_requests_per_1000"`
	Rounds       []roundResult            `json:"rounds"`
}

type roundResult struct {
	Requests   int           `json:"requests"`
	Throughput float64       `json:"throughput"`
	P50        time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
}

func newReport(o options, began time.Time, all []workload, samples map[workload]map[string][]sample) report {
	r := report{Began: began, Took: time.Since(began), Machine: thisMachine(), Client: clientSettings(), Options: o}
	for _, w := range all {
		r.Results = append(r.Results, newResult(w, samples[w]))
	}
	r.Targets = r.judge()
	return r
}

func newResult(w workload, samples map[string][]sample) result {
	r := result{Case: w.String(), Clients: w.clients, Size: w.size, Sides: map[string]summary{}}
	for name, rounds := range samples {
		r.Sides[name] = summarise(rounds)
	}
	r.Ratio = r.compare("lethe", roundResult.over)
	r.Added = r.compare("lethe", roundResult.later)
	r.Embedded = r.compare("embedded", roundResult.over)
	return r
}

func (r roundResult) over(direct roundResult) float64  { return r.Throughput / direct.Throughput }
func (r roundResult) later(direct roundResult) float64 { return float64(r.P50 - direct.P50) }

// compare gives the spread of a comparison with direct, round by round.
func (r result) compare(side string, how func(round, direct roundResult) float64) *spread {
	measured, direct := r.Sides[side].Rounds, r.Sides["direct"].Rounds
	if len(measured) == 0 || len(direct) == 0 {
		return nil
	}
	var values []float64
	for i, round := range measured {
		values = append(values, how(round, direct[i]))
	}
	s := spreadOf(values)
	return &s
}

func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	middle := (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	return spread{v[0], middle, v[len(v)-1]}
}

func summarise(rounds []sample) summary {
	s := summary{CPUPerGB: map[string]float64{}, CPUPerReq: map[string]time.Duration{}, PeakMemory: map[string]int64{}}
	var latencies []time.Duration
	var throughput, rate []float64
	var bytes int64
	cpu, asked := map[string]time.Duration{}, 0
	for _, r := range rounds {
		in := sorted(r.latencies)
		one := roundResult{r.requests, float64(r.bytes) / r.took.Seconds(), quantile(in, 0.5), quantile(in, 0.99)}
		s.Rounds = append(s.Rounds, one)
		throughput, rate = append(throughput, one.Throughput), append(rate, float64(r.requests)/r.took.Seconds())
		latencies = append(latencies, in...)
		s.Requests += r.requests
		bytes += r.bytes
		asked += r.vault
		for name, used := range r.cpu {
			cpu[name] += used
		}
		for name, peak := range r.peak {
			s.PeakMemory[name] = max(s.PeakMemory[name], peak)
		}
	}
	in := sorted(latencies)
	s.Throughput, s.Rate, s.P50, s.P99 = spreadOf(throughput), spreadOf(rate), quantile(in, 0.5), quantile(in, 0.99)
	for name, used := range cpu {
		s.CPUPerGB[name] = used.Seconds() / (float64(bytes) / 1e9)
		s.CPUPerReq[name] = used / time.Duration(s.Requests)
	}
	if _, ok := cpu["vault"]; ok {
		per := float64(asked) * 1000 / float64(s.Requests)
		s.VaultPer1000 = &per
	}
	return s
}

func thisMachine() machine {
	m := machine{Processors: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.Processor = strings.TrimSpace(value)
			}
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(b))
	}
	return m
}

// minioVersion is that of the client library, which a test binary does not know.
func minioVersion() string {
	out, _ := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/minio/minio-go/v7").Output()
	return strings.TrimSpace(string(out))
}
