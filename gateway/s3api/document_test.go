package s3api_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/recording"
)

// listed is a document with what documents have: nesting, repetition, text.
type listed struct {
	Quiet bool
	Items []struct{ Key, VersionId string } `xml:"Object"`
}

const (
	oneKey    = `<Delete><Object><Key>a</Key></Object></Delete>`
	namespace = `xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`
)

func TestDocumentsAreRead(t *testing.T) {
	for name, doc := range map[string]string{
		"plain":        oneKey,
		"declaration":  `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + oneKey + "\n",
		"namespace":    strings.Replace(oneKey, "<Delete", "<Delete "+namespace, 1),
		"prefix":       `<s:Delete xmlns:s="http://s3.amazonaws.com/doc/2006-03-01/"><s:Object><s:Key>a</s:Key></s:Object></s:Delete>`,
		"comment":      `<!-- x --><Delete><Object><!-- y --><Key>a</Key></Object></Delete><!-- z -->`,
		"cdata":        `<Delete><Object><Key><![CDATA[a]]></Key></Object></Delete>`,
		"space":        "<Delete>\r\n\t<Object> <Key>a</Key> </Object>\n</Delete>",
		"unknown":      `<Delete><New><Thing/></New><Object><Key>a</Key></Object></Delete>`,
		"reference":    `<Delete><Object><Key>&#x61;</Key></Object></Delete>`,
		"as deep":      `<Delete><Object><Key>a</Key></Object>` + nest(15) + `</Delete>`,
		"xsi":          `<Delete xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><Object xsi:type="O"><Key>a</Key></Object></Delete>`,
		"many objects": `<Delete><Object><Key>a</Key></Object>` + strings.Repeat("<X/>", 99_000) + `</Delete>`,
	} {
		var got listed
		if err := s3api.ParseDocument([]byte(doc), &got); err != nil || len(got.Items) != 1 || got.Items[0].Key != "a" {
			t.Errorf("%s: %+v, %v; want one key, a", name, got, err)
		}
	}
}

// nest gives elements within each other.
func nest(deep int) string { return strings.Repeat("<n>", deep) + strings.Repeat("</n>", deep) }

func TestDocumentsAreRefused(t *testing.T) {
	for name, doc := range map[string]string{
		"empty":              "",
		"space":              " \n",
		"text":               "hello",
		"declaration only":   `<?xml version="1.0"?>`,
		"another root":       `<Other/>`,
		"unclosed":           `<Delete><Object>`,
		"crossed":            `<Delete><Object></Delete></Object>`,
		"doctype":            `<!DOCTYPE Delete>` + oneKey,
		"entity":             `<!DOCTYPE d [<!ENTITY e "a">]><Delete><Object><Key>&e;</Key></Object></Delete>`,
		"external entity":    `<!DOCTYPE d SYSTEM "file:///etc/passwd">` + oneKey,
		"unknown entity":     `<Delete><Object><Key>&nbsp;</Key></Object></Delete>`,
		"directive inside":   `<Delete><!ELEMENT x></Delete>`,
		"instruction":        `<?php x?>` + oneKey,
		"instruction inside": `<Delete><?xml-stylesheet href="x"?></Delete>`,
		"late declaration":   ` <?xml version="1.0"?>` + oneKey,
		"two declarations":   `<?xml version="1.0"?><?xml version="1.0"?>` + oneKey,
		"XML 1.1":            `<?xml version="1.1"?>` + oneKey,
		"latin 1":            `<?xml version="1.0" encoding="ISO-8859-1"?>` + oneKey,
		"not UTF-8":          "<Delete><Object><Key>\xff</Key></Object></Delete>",
		"UTF-16":             "\xff\xfe<\x00D\x00/\x00>\x00",
		"NUL":                "<Delete><Object><Key>a\x00</Key></Object></Delete>",
		"NUL reference":      "<Delete><Object><Key>&#0;</Key></Object></Delete>",
		"two roots":          oneKey + oneKey,
		"trailing text":      oneKey + "x",
		"trailing tag":       oneKey + "<",
		"leading text":       "x" + oneKey,
		"too deep":           `<Delete>` + nest(16) + `</Delete>`,
		"other namespace":    `<Delete xmlns="http://example.org/"></Delete>`,
		"no such prefix":     `<Delete><x:Object/></Delete>`,
		"long text":          `<Delete><Object><Key>` + strings.Repeat("a", 20<<10) + `</Key></Object></Delete>`,
		"many attributes":    `<Delete ` + strings.Repeat(`a="" `, 10_000) + `/>`,
		"many elements":      `<Delete>` + strings.Repeat("<X/>", 100_001) + `</Delete>`,
		"not a boolean":      `<Delete><Quiet>perhaps</Quiet></Delete>`,
	} {
		got := struct {
			XMLName struct{} `xml:"Delete"`
			listed
		}{}
		if err := s3api.ParseDocument([]byte(doc), &got); err != s3api.ErrMalformedXML {
			t.Errorf("%s: %v, want %v", name, err, s3api.ErrMalformedXML)
		}
	}
}

// What is wrong with the body comes before what is wrong with the document.
func TestDocumentIsVerifiedBeforeItIsDecoded(t *testing.T) {
	for name, c := range map[string]struct {
		body, hash string
		lines      []string
		most       int64
		want       error
	}{
		"right":        {oneKey, hexSHA256(oneKey), nil, int64(len(oneKey)), nil},
		"too large":    {oneKey, hexSHA256(oneKey), nil, int64(len(oneKey)) - 1, s3api.ErrMalformedXML},
		"another hash": {oneKey, hexSHA256("x"), nil, 1 << 20, s3api.ErrPayloadHash},
		"another MD5":  {oneKey, hexSHA256(oneKey), []string{"Content-MD5: " + trueChecksums["Content-MD5"]}, 1 << 20, recording.ErrBadDigest},
		"another CRC":  {oneKey, "UNSIGNED-PAYLOAD", []string{"x-amz-checksum-crc32: " + trueChecksums["x-amz-checksum-crc32"]}, 1 << 20, recording.ErrBadDigest},
		"both wrong":   {"<", hexSHA256("x"), nil, 1 << 20, s3api.ErrPayloadHash},
		"empty":        {"", hexSHA256(""), nil, 1 << 20, s3api.ErrMalformedXML},
	} {
		var got listed
		err := s3api.ReadDocument(put(t, c.body, c.lines...), c.hash, c.most, &got)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil && len(got.Items) > 0 {
			t.Errorf("%s: refused, and decoded %+v", name, got)
		}
	}
}

func TestDocumentCutShort(t *testing.T) {
	r := put(t, oneKey)
	r.Body = io.NopCloser(strings.NewReader(oneKey[:20]))
	if err := s3api.ReadDocument(r, hexSHA256(oneKey), 1<<20, &listed{}); !errors.Is(err, recording.ErrShortBody) {
		t.Errorf("%v, want %v", err, recording.ErrShortBody)
	}
}

// maxHeap bounds what a document of 4 MiB, the largest, may take: GATES.md C2.
const maxHeap = 64 << 20

func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		oneKey, `<?xml version="1.0"?>` + oneKey, `<!DOCTYPE d [<!ENTITY e "a">]><d>&e;</d>`, nest(17), "<a b='>'/>", "<![CDATA[", "<!--",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got listed
		if err := s3api.ParseDocument(b, &got); err != nil && err != s3api.ErrMalformedXML {
			t.Errorf("ParseDocument = %v", err)
		}
	})
}

// The memory a document takes does not grow beyond what its size allows.
func TestDocumentsTakeLittleMemory(t *testing.T) {
	const size = 4 << 20
	for name, doc := range map[string]string{
		"attributes": "<Delete " + strings.Repeat(`a="" `, size/5) + "/>",
		"namespaces": "<Delete " + strings.Repeat(`xmlns:a="b" `, size/12) + "/>",
		"elements":   "<Delete>" + strings.Repeat("<Object/>", size/9) + "</Delete>",
		"depth":      strings.Repeat("<a>", size/3),
		"text":       "<Delete>" + strings.Repeat("a", size) + "</Delete>",
		"comment":    "<!--" + strings.Repeat("a", size) + "--><Delete/>",
		"references": "<Delete>" + strings.Repeat("&#97;", size/5) + "</Delete>",
		"parts":      "<Delete>" + strings.Repeat("<Object><Key>a</Key></Object>", 49_999) + "</Delete>",
	} {
		var before, after runtime.MemStats
		input := []byte(doc)
		runtime.ReadMemStats(&before)
		var got listed
		err := s3api.ParseDocument(input, &got)
		runtime.ReadMemStats(&after)
		if err == nil != (name == "parts") {
			t.Errorf("%s: %v", name, err)
		}
		if grown := after.Sys - before.Sys; grown > maxHeap {
			t.Errorf("%s: took %d MiB of memory, want at most %d", name, grown>>20, maxHeap>>20)
		}
	}
}
