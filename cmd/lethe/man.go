package main

import (
	"cmp"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand is hidden: whoever packages this program runs it, through make man.
func (p *program) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages",
		Long:    "Man writes a manual page for each command into DIR, which it makes if need be.",
		Example: "  lethe man /usr/local/share/man/man1",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: work(func(c *cobra.Command, args []string) error {
			dir := args[0]
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			root := c.Root()
			root.DisableAutoGenTag = true // pages of one revision are the same whenever they are written
			if err := doc.GenManTree(root, manHeader(), dir); err != nil {
				return err
			}
			return p.answer(struct {
				Pages string `json:"pages"`
			}{dir}, table{{"pages", dir}})
		}),
	}
}

// manHeader dates pages as the revision they are of.
func manHeader() *doc.GenManHeader {
	h := &doc.GenManHeader{Section: "1", Source: "Lethe " + cmp.Or(thisBuild().Version, "devel"), Manual: "Lethe"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if at, err := time.Parse(time.RFC3339, s.Value); err == nil {
				h.Date = &at
			}
		}
	}
	return h
}
