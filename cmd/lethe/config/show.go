package config

import "strconv"

// A Setting is the value of a key, and where it was given.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"` // secrets are hidden; "" is not set
	From  string `json:"from"`  // FILE:LINE, variable or flag, or "default"
}

// List gives every setting, in the order of the reference.
func (s *Settings) List() []Setting {
	all := make([]Setting, len(keys))
	for i, k := range keys {
		all[i] = Setting{Key: k.Path, Value: k.shown(s.written[k.Path]), From: s.origins[k.Path].String()}
	}
	return all
}

// String is the place as a person finds it.
func (o origin) String() string {
	switch o.layer {
	case fromDefault:
		return "default"
	case fromFile:
		return o.from + ":" + strconv.Itoa(o.line)
	}
	return o.from
}
