package config

import (
	"slices"
	"strings"
)

// didYouMean names the key that a misspelt one most likely means, or what there
// is in its section.
func didYouMean(path string) string {
	if near := nearest(path); near != "" {
		return "; did you mean " + near + "?"
	}
	parent := path[:max(0, strings.LastIndex(path, delimiter))]
	return "; there is " + strings.Join(below(parent), ", ")
}

// below names the keys and sections directly below a section.
func below(path string) (names []string) {
	for _, k := range keys {
		rest, under := strings.CutPrefix(k.Path, join(path, ""))
		if path == "" {
			rest, under = k.Path, true
		}
		name, _, _ := strings.Cut(rest, delimiter)
		if under && k.SecretIn == "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// nearest finds the key or section that is close enough to path to be meant:
// by its letters, or by its last part standing elsewhere, or by its flag.
func nearest(path string) string {
	best, least := "", 2+len(path)/4
	for _, k := range keys {
		if k.SecretIn != "" {
			continue
		}
		for at := k.Path; at != ""; at = at[:max(0, strings.LastIndex(at, delimiter))] {
			if d := distance(spelt(path), spelt(at)); d < least {
				best, least = at, d
			}
		}
	}
	if best != "" {
		return best
	}
	last := path[strings.LastIndex(path, delimiter)+1:]
	for _, k := range keys {
		if k.Flag == last || strings.HasSuffix(k.Path, delimiter+last) {
			return k.Path
		}
	}
	return ""
}

// spelt leaves out what people write in different ways.
func spelt(path string) string {
	return strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(path))
}

// distance is how many letters must be put in, left out or replaced to make b
// of a (Levenshtein's).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
