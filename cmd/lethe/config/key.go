package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// A Key is one setting.
type Key struct {
	Path    string // in the file, with dots between the sections
	Flag    string // of lethe serve, without dashes; "" for none
	Env     string // "" for none
	Default string // as it would be written; "" is the kind's zero
	Is      kind
	Doc     string // begins in lower case and has no full stop at its end

	// SecretIn is the path of the key that names a file for what this key would
	// hold in clear. A key that has it is refused in the configuration file.
	SecretIn string
}

// kind is what a key's value is, how it is written, and which field it fills.
type kind struct {
	name string                      // for the reference
	bind func(*Config) pflag.Value   // the field, which Set fills
	hide func(written string) string // what may be shown of a value; nil is all
	file bool                        // the value names a file that is read
}

// shown is what may be printed of a value of the key.
func (k Key) shown(written string) string {
	switch {
	case written == "":
		return ""
	case k.SecretIn != "":
		return hidden
	case k.Is.hide != nil:
		return k.Is.hide(written)
	}
	return written
}

// names are all the ways to give the key, for a person who has to choose one.
func (k Key) names() string {
	var ways []string
	if k.SecretIn == "" {
		ways = append(ways, k.Path)
	}
	if k.Flag != "" {
		ways = append(ways, "--"+k.Flag)
	}
	if k.Env != "" {
		ways = append(ways, k.Env)
	}
	return strings.Join(ways, ", ")
}

// keyAt finds a key by its path.
func keyAt(path string) (Key, bool) {
	for _, k := range keys {
		if k.Path == path {
			return k, true
		}
	}
	return Key{}, false
}

// section reports whether keys lie below path.
func section(path string) bool {
	for _, k := range keys {
		if strings.HasPrefix(k.Path, path+".") {
			return true
		}
	}
	return false
}
