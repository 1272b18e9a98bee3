package sigv4_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	miniosigner "github.com/minio/minio-go/v7/pkg/signer"
	"pgregory.net/rapid"

	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
)

// hasher is what minio-go's signer hashes with.
type hasher struct{ hash.Hash }

func (hasher) Close() {}

// The example of the S3 API Reference, "Signature Calculations for the
// Authorization Header: Transferring Payload in Multiple Chunks": 65 KiB of
// "a" in a chunk of 64 KiB and one of 1 KiB.
func TestPublishedChunks(t *testing.T) {
	q := sigv4.Request{
		Authorization: sigv4.Authorization{
			Scope:     sigv4.Scope{Date: "20130524", Region: "us-east-1"},
			Signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
		},
		At: exampleTime,
	}
	chain := q.Chain(exampleSecret)
	for _, c := range []struct {
		size      int
		signature string
	}{
		{64 << 10, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"},
		{1 << 10, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"},
		{0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"},
	} {
		sum := sha256.Sum256(bytes.Repeat([]byte("a"), c.size))
		if err := chain.Chunk(c.signature, sum[:]); err != nil {
			t.Errorf("chunk of %d bytes: %v", c.size, err)
		}
		if err := chain.Chunk(c.signature, sum[:]); !errors.Is(err, sigv4.ErrSignature) {
			t.Errorf("chunk of %d bytes again: %v, want %v", c.size, err, sigv4.ErrSignature)
		}
	}
}

// signedStream is a body as minio-go signs it, cut into what Chain verifies.
type signedStream struct {
	request *http.Request
	links   []link
}

type link struct {
	signature string
	sum       []byte
	trailer   bool
}

// streamMinio draws a body of up to three chunks, and perhaps a trailer.
func streamMinio(t *rapid.T) signedStream {
	content := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.IntRange(1, 150_000).Draw(t, "size"))
	r, err := http.NewRequest("PUT", "http://"+host+minioPath(t), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "trailer") {
		r.Trailer = http.Header{"X-Amz-Checksum-Crc32": {rapid.StringMatching(`[A-Za-z0-9+/]{6}==`).Draw(t, "crc")}}
	}
	r = miniosigner.StreamingSignV4(r, exampleKey, exampleSecret, "", "eu-central-1", int64(len(content)), time.Now().UTC(), hasher{sha256.New()})
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	s := signedStream{request: r, links: cut(t, body)}
	r.Body, r.RequestURI = nil, r.URL.RequestURI()
	return s
}

// cut reads chunks and trailer as minio-go frames them.
func cut(t *rapid.T, body []byte) (links []link) {
	r := bufio.NewReader(bytes.NewReader(body))
	for last := false; !last; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		digits, signature, _ := strings.Cut(strings.TrimSpace(line), ";chunk-signature=")
		size, err := strconv.ParseInt(digits, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, size)
		io.ReadFull(r, data)
		sum := sha256.Sum256(data)
		links = append(links, link{signature, sum[:], false})
		if last = size == 0; !last {
			r.Discard(2)
		}
	}
	tail, _ := io.ReadAll(r)
	lines, signature, signed := strings.Cut(string(tail), "\r\nx-amz-trailer-signature:")
	if signed {
		sum := sha256.Sum256([]byte(lines))
		links = append(links, link{strings.TrimSpace(signature), sum[:], true})
	}
	return links
}

// verify reports the first error of the request and of its body.
func (s signedStream) verify() error {
	q, err := sigv4.Parse(s.request)
	if err != nil {
		return err
	}
	if err := q.Verify(exampleSecret, time.Now()); err != nil {
		return err
	}
	chain := q.Chain(exampleSecret)
	for _, l := range s.links {
		check := chain.Chunk
		if l.trailer {
			check = chain.Trailer
		}
		if err := check(l.signature, l.sum); err != nil {
			return err
		}
	}
	return nil
}

func TestChunksSignedByMinioAreAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := streamMinio(t).verify(); err != nil {
			t.Fatal(err)
		}
	})
}

// One link is changed, dropped, repeated or moved; none of it is accepted.
func TestMutantChunksAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := streamMinio(t)
		at := rapid.IntRange(0, len(s.links)-1).Draw(t, "link")
		l := &s.links[at]
		switch rapid.IntRange(0, 4).Draw(t, "mutation") {
		case 0:
			l.sum[rapid.IntRange(0, 31).Draw(t, "byte")] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
		case 1:
			b, err := hex.DecodeString(l.signature)
			if err != nil {
				t.Fatal(err)
			}
			b[rapid.IntRange(0, 31).Draw(t, "byte")] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
			l.signature = hex.EncodeToString(b)
		case 2:
			l.trailer = !l.trailer
		case 3: // repeated
			s.links = append(s.links[:at+1], s.links[at:]...)
		case 4: // dropped, which only what follows can show
			if at == len(s.links)-1 {
				return
			}
			s.links = append(s.links[:at], s.links[at+1:]...)
		}
		if err := s.verify(); !errors.Is(err, sigv4.ErrSignature) {
			t.Fatalf("%v, want %v", err, sigv4.ErrSignature)
		}
	})
}
