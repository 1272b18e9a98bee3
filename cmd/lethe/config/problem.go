package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A Problem is one thing that is wrong with the settings, and what to do.
type Problem struct {
	Key     string `json:"key,omitempty"` // path
	From    string `json:"from"`          // FILE, --FLAG or variable in which it stands; "" if nothing was given
	Line    int    `json:"line,omitempty"`
	Problem string `json:"problem"`
}

// Error says all of it on one line.
func (p Problem) Error() string {
	var parts []string
	if at := p.at(); at != "" {
		parts = append(parts, at)
	}
	if p.Key != "" {
		parts = append(parts, p.Key)
	}
	return strings.Join(append(parts, p.Problem), ": ")
}

func (p Problem) at() string {
	if p.Line == 0 {
		return p.From
	}
	return p.From + ":" + strconv.Itoa(p.Line)
}

// Problems are all that is wrong, in the order of the file.
type Problems []Problem

// Error gives each problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// or gives nil where there is no problem.
func (ps Problems) or() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Line, b.Line))
	})
	return ps
}
