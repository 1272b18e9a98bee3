package config

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// AddFlags adds the flags of all keys that have one. Load reads them.
func AddFlags(f *pflag.FlagSet) {
	unread := new(Config) // what flags alone say; Load fills another from all sources
	for _, k := range keys {
		if k.Flag == "" {
			continue
		}
		v := k.Is.bind(unread)
		if err := k.setDefault(v); err != nil {
			panic("config: default of " + k.Path + ": " + err.Error()) // a row of the table is wrong; every test meets it
		}
		added := f.VarPF(v, k.Flag, "", k.usage())
		if v.Type() == "bool" {
			added.NoOptDefVal = "true"
		}
	}
}

// setDefault sets the default. To a list it is not yet given.
func (k Key) setDefault(v pflag.Value) error {
	if k.Default == "" {
		return nil
	}
	err := v.Set(k.Default)
	if l, ok := v.(listField); ok {
		*l.given = false
	}
	return err
}

func (k Key) usage() string {
	if k.Env == "" {
		return k.Doc
	}
	return k.Doc + " (" + k.Env + ")"
}

// WithoutFlag describes the keys that have no flag, for the help of serve.
func WithoutFlag() string {
	var b strings.Builder
	for _, k := range keys {
		if k.Flag == "" {
			fmt.Fprintf(&b, "  %-40s %s\n", k.Env, k.Doc)
		}
	}
	return b.String()
}
