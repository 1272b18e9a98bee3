package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// listField is a list: one text with commas, or several. What is given replaces
// the default; a flag that is repeated adds.
type listField struct {
	at    *[]string
	check func(string) error
	given *bool
}

// Set takes one text with commas.
func (f listField) Set(written string) error {
	if !*f.given {
		*f.at, *f.given = nil, true
	}
	for item := range strings.SplitSeq(written, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		if err := f.check(item); err != nil {
			return err
		}
		*f.at = append(*f.at, item)
	}
	return nil
}

func (f listField) String() string {
	if f.at == nil { // pflag asks a zero value
		return ""
	}
	return strings.Join(*f.at, ",")
}

// Type names the kind of value.
func (listField) Type() string { return "strings" }

func list(at func(*Config) *[]string) kind {
	return listKind("list", at, func(string) error { return nil })
}

// someOf is a list of some of a few words, and not an empty one.
func someOf(at func(*Config) *[]string, words ...string) kind {
	return listKind("list of "+strings.Join(words, ", "), at, func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("there is no %q; write some of %s", s, strings.Join(words, ", "))
		}
		return nil
	})
}

func listKind(name string, at func(*Config) *[]string, check func(string) error) kind {
	return kind{name: name, bind: func(c *Config) pflag.Value { return listField{at(c), check, new(bool)} }}
}
