// Package blind looks for what nothing that is stored may show.
package blind

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
