package s3api

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"unicode/utf8"
)

// The bounds of a document that a client sends.
const (
	maxDocument = 1 << 20  // bytes, unless an operation says otherwise
	maxDepth    = 16       // elements within each other
	maxElements = 100_000  // in all; 10,000 parts with all that is known of each are half of it
	maxToken    = 16 << 10 // bytes of one tag, text or comment; a key is 1024 before it is escaped
)

// xmlns is S3's namespace. Not every client names it.
const xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"

// document reads the body to its verified end, at most so many bytes of it,
// and decodes it into a struct whose tags name elements without a namespace.
// errMalformedXML: it is not one well-formed document within the bounds. What
// is wrong with the body itself comes first: nothing is decoded unless it is
// what the client declared and signed.
func (in verified) document(most int64, into any) error {
	if in.body.size > most {
		return errMalformedXML
	}
	b, err := io.ReadAll(in.body)
	if err != nil {
		return err
	}
	return parseDocument(b, into)
}

// parseDocument decodes what checkDocument accepts. The decoder's own errors
// quote the document, so they go no further.
func parseDocument(b []byte, into any) error {
	if !utf8.Valid(b) || !checkDocument(b) || xml.Unmarshal(b, into) != nil {
		return errMalformedXML
	}
	return nil
}

// checkDocument goes through a document once, token by token, without keeping
// any, so that what is decoded after it is known to be small and plain: one
// root, no declaration but the XML declaration, no instruction, no namespace
// but S3's. So there are no entities either but those of XML itself.
func checkDocument(b []byte) bool {
	source := &tokenSource{r: bytes.NewReader(b)}
	d := xml.NewDecoder(source)
	var c documentChecker
	for {
		source.left = maxToken
		first := d.InputOffset() == 0
		token, err := d.Token()
		if err == io.EOF {
			return c.elements > 0 // the decoder has seen to it that all are closed
		}
		if err != nil || !c.accepts(token, first) {
			return false
		}
	}
}

// documentChecker knows where in a document it is.
type documentChecker struct {
	depth    int
	elements int
}

func (c *documentChecker) accepts(token xml.Token, first bool) bool {
	switch token := token.(type) {
	case xml.StartElement:
		if c.depth == 0 && c.elements > 0 { // a second root
			return false
		}
		c.depth++
		c.elements++
		return c.depth <= maxDepth && c.elements <= maxElements && isS3(token.Name)
	case xml.EndElement:
		c.depth--
		return true
	case xml.CharData:
		return c.depth > 0 || len(bytes.TrimSpace(token)) == 0
	case xml.Comment:
		return true
	case xml.ProcInst:
		return first && token.Target == "xml"
	}
	return false // a directive
}

func isS3(n xml.Name) bool { return n.Space == "" || n.Space == xmlns }

var errTokenTooLong = errors.New("s3api: element, text or comment in a document is too long")

// tokenSource gives at most left bytes, which bounds what the decoder holds
// of one token.
type tokenSource struct {
	r    *bytes.Reader
	left int
}

func (s *tokenSource) ReadByte() (byte, error) {
	if s.left--; s.left < 0 {
		return 0, errTokenTooLong
	}
	return s.r.ReadByte()
}

// Read makes it a Reader; the decoder reads by the byte.
func (s *tokenSource) Read(p []byte) (int, error) {
	b, err := s.ReadByte()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	p[0] = b
	return 1, nil
}
