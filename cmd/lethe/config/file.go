package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is what a file says: a value of text or a list for each known key,
// and the line it stands on.
type document struct {
	file     string
	values   map[string]any
	lines    map[string]int
	problems Problems
}

// readDocument reads a file, and says all that is wrong with its form.
func readDocument(path string) (*document, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	d := &document{file: path, values: map[string]any{}, lines: map[string]int{}}
	from := yaml.NewDecoder(bytes.NewReader(b))
	var root, second yaml.Node
	switch err := from.Decode(&root); {
	case errors.Is(err, io.EOF):
		return d, nil // says nothing
	case err != nil:
		d.misread(err)
		return d, nil
	}
	if !errors.Is(from.Decode(&second), io.EOF) {
		d.blame("", second.Line, "a second document; leave out the line ---")
	}
	d.section("", root.Content[0])
	return d, nil
}

// atLine finds the line that the parser names in its errors.
var atLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// misread says why the file is not YAML.
func (d *document) misread(err error) {
	line := 0
	if m := atLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1]) // "" is 0: not known
	}
	d.blame("", line, "not YAML: %s", atLine.ReplaceAllString(err.Error(), ""))
}

func (d *document) blame(path string, line int, format string, args ...any) {
	d.problems = append(d.problems, Problem{Key: path, From: d.file, Line: line, Problem: fmt.Sprintf(format, args...)})
}

// section takes what stands below path; "" is the whole file.
func (d *document) section(path string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		if n.Tag != "!!null" {
			d.blame(path, n.Line, "a section; write below it: %s", strings.Join(below(path), ", "))
		}
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		at := join(path, name.Value)
		if before, again := seen[name.Value]; again {
			d.blame(at, name.Line, "given on line %d already; leave one out", before)
			continue
		}
		seen[name.Value] = name.Line
		d.entry(at, name.Line, value)
	}
}

// entry takes what stands at a path, if it is one of ours.
func (d *document) entry(path string, line int, n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	k, known := keyAt(path)
	switch {
	case known && k.SecretIn != "":
		d.blame(path, line, "a secret does not belong in this file; put it in a file that only the server may read, and name that in %s", k.SecretIn)
	case known:
		d.value(path, line, n)
	case section(path):
		d.section(path, n)
	default:
		d.blame(path, line, "there is no such key%s", didYouMean(path))
	}
}

// value takes the value of a key: a text, or a list of them.
func (d *document) value(path string, line int, n *yaml.Node) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return // not given
	case n.Kind == yaml.ScalarNode:
		d.values[path] = n.Value
	case n.Kind == yaml.SequenceNode && isList(path):
		items := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				d.blame(path, item.Line, "item %d is not a text", i+1)
				return
			}
			items[i] = item.Value
		}
		d.values[path] = items
	case n.Kind == yaml.SequenceNode:
		d.blame(path, line, "takes one value and not a list")
		return
	default:
		d.blame(path, line, "takes a value and has no keys below it")
		return
	}
	d.lines[path] = line
}

func isList(path string) bool {
	k, _ := keyAt(path)
	_, is := k.Is.bind(new(Config)).(listField)
	return is
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + delimiter + name
}
