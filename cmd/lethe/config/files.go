package config

import (
	"errors"
	"io/fs"
	"os"
)

// CheckFiles tries to read every file that a setting names, and reports
// Problems. Another user than the server's may find others.
func (s *Settings) CheckFiles() error {
	var found Problems
	for _, k := range keys {
		if !k.Is.file || s.written[k.Path] == "" {
			continue
		}
		if why := unreadable(s.written[k.Path]); why != "" {
			found = append(found, s.problem(k.Path, "%s: %s", s.written[k.Path], why))
		}
	}
	return found.or()
}

// unreadable says why a file gives nothing; "" if it gives something.
func unreadable(path string) string {
	b, err := os.ReadFile(path)
	defer clear(b) // it may be a secret
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	if err == nil && len(b) == 0 {
		return "it is empty"
	}
	return ""
}
