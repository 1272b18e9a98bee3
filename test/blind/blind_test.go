package blind_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/lethe-vault/lethe/test/blind"
)

const text = `Zeppelín "Winifred" <4912345>`

// array takes its bytes by value, and gives what a stack trace shows of them.
//
//go:noinline
func array(b [16]byte) string {
	trace := make([]byte, 1<<16)
	return string(trace[:runtime.Stack(trace, false)]) + string(b[:0])
}

// Whatever hides a text in one of the forms that are looked for is found out.
func TestSearch(t *testing.T) {
	needles := map[string][]byte{}
	blind.AddText(needles, text)
	blind.AddEscaped(needles, "text", text)
	quoted, err := json.Marshal(map[string]string{"error": text})
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	blind.AddEscaped(needles, "header", "zeppelin-winifred")
	header.Set("zeppelin-winifred", "1")
	for name, hidden := range map[string]string{
		"plain":       text,
		"hex":         hex.EncodeToString([]byte("?" + text)),
		"base64":      base64.StdEncoding.EncodeToString([]byte("??" + text)),
		"path":        "/" + url.PathEscape(text) + "/",
		"query":       url.Values{"q": {text}}.Encode(),
		"JSON":        string(quoted),
		"%q":          fmt.Sprintf("%q", text),
		"%+q":         fmt.Sprintf("%+q", text),
		"%X":          fmt.Sprintf("%X", text),
		"bytes":       fmt.Sprint([]byte("?" + text)),
		"header":      fmt.Sprint(header),
		"stack trace": array([16]byte([]byte(text)[:16])),
	} {
		place := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(place, []byte("before "+hidden+" after"), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := blind.Search(place, needles); err == nil {
			t.Errorf("%s: nothing is found in %d bytes: %s", name, n, hidden)
		}
	}
	if n, err := blind.Search("blind_test.go", map[string][]byte{"no": []byte("No" + "where")}); n == 0 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
