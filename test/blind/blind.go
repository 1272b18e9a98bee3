// Package blind looks for what nothing that is stored may show.
package blind

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io/fs"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// AddText adds a text to what is looked for: plain, in hex and in base64.
func AddText(needles map[string][]byte, text string) { AddBytes(needles, text, text) }

// AddBytes adds bytes, plain, in hex and in base64.
func AddBytes(needles map[string][]byte, name, b string) {
	needles[name] = []byte(b)
	needles[name+" in hex"] = []byte(hex.EncodeToString([]byte(b)))
	for shift := range 3 { // base64 at any alignment, without its ragged ends
		b64 := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + b))
		if inner := strings.TrimRight(b64, "="); len(inner) > 10 {
			needles[fmt.Sprintf("%s in base64 at %d", name, shift)] = []byte(inner[4 : len(inner)-2])
		}
	}
}

// AddEscaped adds the forms that a text takes where something quotes it: in a URL, in
// JSON, XML or Go's syntax, as a header's name, and as the bytes of an array that fmt
// or a stack trace prints.
func AddEscaped(needles map[string][]byte, name, text string) {
	add := func(form, escaped string) {
		if escaped != text {
			needles[name+" "+form] = []byte(escaped)
		}
	}
	add("in a path", url.PathEscape(text))
	add("in a query", url.QueryEscape(text))
	add("in a query, of lower-case hex", lowerEscapes(url.QueryEscape(text)))
	add("in Go", inner(strconv.Quote(text)))
	add("in Go's ASCII", inner(strconv.QuoteToASCII(text)))
	quoted, err := json.Marshal(text) // which escapes what HTML would take for a tag
	if err != nil {
		panic(err) // cannot be: it is a string
	}
	add("in JSON", inner(string(quoted)))
	var x bytes.Buffer
	if err := xml.EscapeText(&x, []byte(text)); err != nil {
		panic(err) // cannot be: a buffer takes all
	}
	add("in XML", x.String())
	add("as a header's name", textproto.CanonicalMIMEHeaderKey(text))
	add("in upper-case hex", strings.ToUpper(hex.EncodeToString([]byte(text))))
	add("as bytes", strings.Trim(fmt.Sprint([]byte(text)), "[]"))
	var words []string
	for _, b := range []byte(text)[:min(len(text), tracedBytes)] {
		words = append(words, fmt.Sprintf("%#x", b))
	}
	add("in a stack trace", strings.Join(words, ", "))
}

// tracedBytes are fewer than Go's stack traces show of an array.
const tracedBytes = 5

func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

var escapes = regexp.MustCompile("%[0-9A-F]{2}")

func lowerEscapes(s string) string { return escapes.ReplaceAllStringFunc(s, strings.ToLower) }

// Search looks for needles in the contents and names of a file or tree.
func Search(place string, needles map[string][]byte) (searched int64, err error) {
	err = filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) { // a running server tidies up
			return nil
		}
		if err != nil {
			return err
		}
		content := []byte(path)
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			content = append(content, b...)
		}
		searched += int64(len(content))
		for what, needle := range needles {
			if bytes.Contains(content, needle) {
				return fmt.Errorf("%s is readable in %s", what, path)
			}
		}
		return nil
	})
	return searched, err
}
