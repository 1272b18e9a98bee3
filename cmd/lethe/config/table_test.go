package config

import (
	"regexp"
	"strings"
	"testing"
)

// Every row is whole, and no two rows meet.
func TestTable(t *testing.T) {
	path := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$`)
	seen := map[string]bool{}
	once := func(name string) {
		if name != "" && seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	for _, k := range keys {
		once(k.Path)
		once(k.Env)
		if k.Flag != k.Path {
			once(k.Flag)
		}
		if !path.MatchString(k.Path) || section(k.Path) {
			t.Errorf("%s: not the path of a key", k.Path)
		}
		if !strings.HasPrefix(k.Env, envPrefix) {
			t.Errorf("%s: no variable", k.Path)
		}
		if k.Doc == "" || strings.HasSuffix(k.Doc, ".") || strings.ContainsAny(k.Doc, "`|") {
			t.Errorf("%s: described as %q", k.Path, k.Doc)
		}
		if err := k.setDefault(k.Is.bind(new(Config))); err != nil {
			t.Errorf("%s: its default: %v", k.Path, err)
		}
		if in, ok := keyAt(k.SecretIn); k.SecretIn != "" && (!ok || !in.Is.file || k.Flag != "") {
			t.Errorf("%s: a secret has no flag, and a file that can hold it", k.Path)
		}
	}
}

// No two rows fill the same field.
func TestFieldsAreApart(t *testing.T) {
	c, at := new(Config), map[any]string{}
	for _, k := range keys {
		var field any
		switch f := k.Is.bind(c).(type) {
		case listField:
			field = f.at
		case interface{ target() any }:
			field = f.target()
		}
		if field == nil || at[field] != "" {
			t.Errorf("%s and %s fill %v", k.Path, at[field], field)
		}
		at[field] = k.Path
	}
}
