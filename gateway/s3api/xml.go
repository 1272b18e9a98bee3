package s3api

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// writeXML answers with a document.
func writeXML(w http.ResponseWriter, status int, document any) error {
	b, err := xml.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(xml.Header)+len(b)))
	w.WriteHeader(status)
	_, err = w.Write(append([]byte(xml.Header), b...))
	return err
}

// text is character data that may hold what XML 1.0 cannot. encoding/xml would
// put U+FFFD in its place and so name another recording; text writes a numeric
// reference, as S3 does, which a client either reads back exactly or refuses.
// A client that wants any name asks for encoding-type=url.
type text string

// MarshalXML writes the element with t in it.
func (t text) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	return e.EncodeElement(struct {
		Escaped string `xml:",innerxml"`
	}{t.escaped()}, start)
}

func (t text) escaped() string {
	var out strings.Builder
	for _, c := range string(t) {
		switch {
		case c == '&', c == '<', c == '>', c == '"', c == '\'',
			c < ' ', c == 0xFFFE, c == 0xFFFF:
			fmt.Fprintf(&out, "&#x%X;", c)
		default:
			out.WriteRune(c)
		}
	}
	return out.String()
}

// timestamp is a time as S3's documents write it.
type timestamp time.Time

// MarshalText gives RFC 3339 in UTC with milliseconds.
func (t timestamp) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format("2006-01-02T15:04:05.000Z")), nil
}
