package bench

import (
	"fmt"
	"time"
)

// epochVerdict is a promise of docs/performance.md about erasures.
type epochVerdict struct {
	Target string `json:"target"`
	Got    string `json:"got"`
	Met    bool   `json:"met"`
}

// The promises.
const (
	treeOfOne   = time.Millisecond
	cpuOfMany   = 2 * time.Second
	growthOfOne = 1.5 // from the smallest size to the largest
	// growthOfMany is from the size before, which has a tenth of the slots: the more
	// room there is, the fewer pages many slots share, until each has 8 of its own.
	growthOfMany = 2.0
)

// changing are the requests that an epoch makes once each.
var changing = []string{"rotate", "encrypt", "config", "trim"}

func onceEach(vault map[string]int) bool {
	for _, kind := range changing {
		if vault[kind] != 1 {
			return false
		}
	}
	return true
}

func (r epochReport) judge() (out []epochVerdict) {
	for _, side := range r.sides() {
		one, subject, many := r.of(side, oneErasure), r.of(side, oneSubject), r.of(side, manyErasures)
		out = append(out,
			under(side+": the tree of one erasure takes under 1 ms of CPU", one, epochResult.tree, treeOfOne),
			under(fmt.Sprintf("%s: an epoch of %d erasures takes Lethe under 2 s of CPU", side, r.Options.Many), many, epochResult.cpu, cpuOfMany))
		if len(one[0].Vault) > 0 {
			out = append(out, oncePerEpoch(side, append(append(one, subject...), many...)))
		}
		for _, of := range [][]epochResult{one, subject} {
			out = append(out, flat(side+": "+of[0].Case, of, of[0], growthOfOne)...)
		}
		if len(many) > 1 {
			out = append(out, flat(fmt.Sprintf("%s: %d erasures", side, r.Options.Many), many, many[len(many)-2], growthOfMany)...)
		}
	}
	return out
}

func (r epochReport) sides() (out []string) {
	for _, one := range r.Results {
		if len(out) == 0 || out[len(out)-1] != one.Side {
			out = append(out, one.Side)
		}
	}
	return out
}

func (r epochReport) of(side, name string) (out []epochResult) {
	for _, one := range r.Results {
		if one.Side == side && one.Case == name {
			out = append(out, one)
		}
	}
	return out
}

func under(what string, of []epochResult, value func(epochResult) float64, limit time.Duration) epochVerdict {
	most := 0.0
	for _, r := range of {
		most = max(most, value(r))
	}
	return epochVerdict{what, milli(most) + " ms", most < float64(limit)}
}

func oncePerEpoch(side string, of []epochResult) epochVerdict {
	v := epochVerdict{side + ": an epoch asks Vault for one rotate, encrypt, config and trim", "so it was", true}
	for _, r := range of {
		if !onceEach(r.Vault) {
			v.Met, v.Got = false, fmt.Sprintf("%s of %d slots: %v", r.Case, r.Slots, r.Vault)
		}
	}
	return v
}

// flat says by how much the largest size costs more than another.
func flat(what string, of []epochResult, than epochResult, limit float64) (out []epochVerdict) {
	last := of[len(of)-1]
	if last.Slots == than.Slots {
		return nil
	}
	for _, cost := range []struct {
		name  string
		value func(epochResult) float64
	}{{"bytes", epochResult.written}, {"requests to the store", epochResult.requests}, {"CPU", epochResult.cpu}} {
		got := cost.value(last) / cost.value(than)
		out = append(out, epochVerdict{
			fmt.Sprintf("%s: %s at %d slots over %d at most %.1f", what, cost.name, last.Slots, than.Slots, limit), fmt.Sprintf("%.2f", got), got <= limit,
		})
	}
	return out
}
