package config

import (
	"fmt"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

const (
	delimiter = "."
	envPrefix = "LETHE_"
)

// Source is where settings are looked for.
type Source struct {
	File    string          // "" for none
	Environ func() []string // as os.Environ
	Flags   *pflag.FlagSet  // with the flags that AddFlags adds; nil for none
}

// Settings are a Config, and where each part of it was given.
type Settings struct {
	Config
	origins map[string]origin // by path; no entry is the default
	written map[string]string // by path, what was given or is the default
}

// origin is where a key was given.
type origin struct {
	layer layer
	from  string // file, flag or variable
	line  int    // in a file
}

// layer is a kind of origin; later ones win.
type layer int

const (
	fromDefault layer = iota
	fromFile
	fromEnv
	fromFlag
)

// Load finds every setting and checks what can be checked without opening
// anything. It reports Problems, all at once, if what was given cannot be used.
func Load(from Source) (*Settings, error) {
	s := &Settings{origins: map[string]origin{}, written: map[string]string{}}
	all := koanf.New(delimiter)
	var found Problems
	for _, read := range []func(*koanf.Koanf, Source) (Problems, error){readDefaults, s.readFile, s.readEnv, s.readFlags} {
		problems, err := read(all, from)
		if err != nil {
			return nil, err
		}
		found = append(found, problems...)
	}
	found = append(found, s.fill(all)...)
	if len(found) == 0 { // what keys must agree on makes no sense of values that are not there
		found = s.check()
	}
	return s, found.or()
}

func readDefaults(all *koanf.Koanf, _ Source) (Problems, error) {
	defaults := map[string]any{}
	for _, k := range keys {
		defaults[k.Path] = k.Default
	}
	return nil, all.Load(confmap.Provider(defaults, delimiter), nil)
}

// readFile takes what the file holds of known keys.
func (s *Settings) readFile(all *koanf.Koanf, from Source) (Problems, error) {
	if from.File == "" {
		return nil, nil
	}
	d, err := readDocument(from.File)
	if err != nil {
		return nil, err
	}
	for path, line := range d.lines {
		s.origins[path] = origin{fromFile, from.File, line}
	}
	return d.problems, all.Load(confmap.Provider(d.values, delimiter), nil)
}

// readEnv takes the variables of known keys. An empty one is not given.
func (s *Settings) readEnv(all *koanf.Koanf, from Source) (Problems, error) {
	path := map[string]string{}
	for _, k := range keys {
		if k.Env != "" {
			path[k.Env] = k.Path
		}
	}
	return nil, all.Load(env.Provider(delimiter, env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: from.Environ,
		TransformFunc: func(name, value string) (string, any) {
			p := path[name]
			if value == "" || p == "" {
				return "", nil
			}
			s.origins[p] = origin{layer: fromEnv, from: name}
			return p, value
		},
	}), nil)
}

// readFlags takes the flags that were given.
func (s *Settings) readFlags(all *koanf.Koanf, from Source) (Problems, error) {
	given := map[string]any{}
	for _, k := range keys {
		if k.Flag == "" || from.Flags == nil || !from.Flags.Changed(k.Flag) {
			continue
		}
		given[k.Path] = from.Flags.Lookup(k.Flag).Value.String()
		s.origins[k.Path] = origin{layer: fromFlag, from: "--" + k.Flag}
	}
	return nil, all.Load(confmap.Provider(given, delimiter), nil)
}

// fill sets every field of the Config from what was written.
func (s *Settings) fill(all *koanf.Koanf) (found Problems) {
	for _, k := range keys {
		written := all.String(k.Path)
		if items, ok := all.Get(k.Path).([]string); ok {
			written = strings.Join(items, ",")
		}
		s.written[k.Path] = written
		if written == "" {
			if k.Default != "" {
				found = append(found, s.problem(k.Path, "empty; leave it out for %s", k.Default))
			}
			continue
		}
		if err := k.Is.bind(&s.Config).Set(written); err != nil {
			found = append(found, s.problem(k.Path, "%q: %v", k.shown(written), err))
		}
	}
	return found
}

// problem says what is wrong with a key, wherever it was given.
func (s *Settings) problem(path, format string, args ...any) Problem {
	at := s.origins[path]
	return Problem{Key: path, From: at.from, Line: at.line, Problem: fmt.Sprintf(format, args...)}
}
