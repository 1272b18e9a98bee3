package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
)

// table is what a person is shown: rows of cells.
type table [][]string

// answer prints what a command found out: v as JSON on one line, or t.
func (p *program) answer(v any, t table) error {
	if p.json {
		return printJSON(p.out, v)
	}
	if p.quiet {
		return nil
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, row := range t {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// quietFlag adds the flag with which a transfer says nothing unless it fails.
func (p *program) quietFlag(c *cobra.Command) {
	c.Flags().BoolVarP(&p.quiet, "quiet", "q", false, "print neither progress nor a summary")
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printable quotes what could steer a terminal: names come from strangers.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
