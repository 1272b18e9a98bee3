package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/spf13/cobra"
)

// receipt is what put prints of a recording that is stored.
type receipt struct {
	Bucket    string `json:"bucket"`
	Name      string `json:"name"`
	Recording string `json:"recording"`
	Version   string `json:"version,omitempty"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"` // lower-case hex
	ETag      string `json:"etag"`
	Class     string `json:"class"` // A to D
}

// facts are what put says of a recording besides its bytes.
type facts struct {
	subjects      []string
	call, purpose string
}

// metadata gives the facts as the user metadata a plain S3 client sends.
func (f facts) metadata() map[string]string {
	m := make(map[string]string)
	for key, value := range map[string]string{
		"lethe-subject": strings.Join(f.subjects, ","),
		"lethe-call":    f.call,
		"lethe-purpose": f.purpose,
	} {
		if value != "" {
			m[key] = value
		}
	}
	return m
}

func (p *program) putCommand() *cobra.Command {
	var bucket, name, key string
	var given facts
	c := &cobra.Command{
		Use: "put FILE --bucket B --name N", Short: "Store a recording",
		Long: `Put stores a file as a recording, with the keys of a recorder or of a reader that
may write (--access-key and --secret-key, or LETHE_ACCESS_KEY and
LETHE_SECRET_KEY), and prints its receipt. FILE is - for standard input, whose
length need not be known: what exceeds 16 MiB is sent in parts, and the memory
taken stays the same.

When put has ended with status 0, the recording is durable. When it has not, put
it again: the same content under the same name is stored once.

What is said of a recording by --subject, --call and --purpose is sealed under
its key and erased with it.`,
		Example: `  lethe put call.wav --bucket calls --name 2026/11/23/call.wav --subject +12025550143
  sox in.wav -t wav - tempo 1.1 | lethe put - --bucket calls --name faster.wav`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(c *cobra.Command, args []string) error {
			if key != "" {
				return errors.New("signed claims come with a later version; put it without --sign")
			}
			to, err := newPlace(bucket, name)
			if err != nil {
				return err
			}
			return p.put(c.Context(), args[0], to, given)
		}),
	}
	f := c.Flags()
	f.StringVar(&bucket, "bucket", "", "the bucket (required)")
	f.StringVar(&name, "name", "", "the recording's name in its bucket (required)")
	f.StringArrayVar(&given.subjects, "subject", nil, "whose voice it is: a telephone number or another name; the flag may be repeated, and several separated by commas")
	f.StringVar(&given.call, "call", "", "the call it belongs to")
	f.StringVar(&given.purpose, "purpose", "", "what it is kept for")
	f.StringVar(&key, "sign", "", "key to sign a claim with (a later version)")
	p.quietFlag(c)
	must(c.MarkFlagRequired("bucket"))
	must(c.MarkFlagRequired("name"))
	return c
}

// standardInput is what FILE is for a stream.
const standardInput = "-"

// maxWhole is the most that one PutObject takes, in bytes.
const maxWhole = 5 << 30

// put stores what is at path, whole if it can be read twice, else in parts.
func (p *program) put(ctx context.Context, path string, to place, given facts) error {
	front, err := p.front()
	if err != nil {
		return err
	}
	u := upload{front: front, to: to, options: minio.PutObjectOptions{
		ContentType:          contentType(path, to),
		UserMetadata:         given.metadata(),
		DisableContentSha256: true, // the SDK's own, in chunks; ours covers the whole
	}}
	var r receipt
	if path == standardInput {
		r, err = p.putStream(ctx, u, p.in, unknownSize)
	} else {
		r, err = p.putFile(ctx, u, path)
	}
	if err != nil {
		return err
	}
	return p.answer(r, table{
		{"stored", r.Bucket + "/" + r.Name},
		{"recording", r.Recording},
		{"size", strconv.FormatInt(r.Size, 10)},
		{"sha256", r.SHA256},
		{"class", r.Class},
	})
}

func (p *program) putFile(ctx context.Context, u upload, path string) (receipt, error) {
	f, err := os.Open(path)
	if err != nil {
		return receipt{}, err
	}
	defer f.Close()
	i, err := f.Stat()
	switch {
	case err != nil:
		return receipt{}, err
	case i.IsDir():
		return receipt{}, misusef("%s is a directory; put stores one file", path)
	case !i.Mode().IsRegular():
		return p.putStream(ctx, u, f, unknownSize)
	case i.Size() > maxWhole:
		return p.putStream(ctx, u, f, i.Size())
	}
	return p.putWhole(ctx, u, f, i.Size())
}

// putWhole reads a body twice: for its hash, which the request's signature
// covers, and to send it.
func (p *program) putWhole(ctx context.Context, u upload, body io.ReadSeeker, size int64) (receipt, error) {
	sum := sha256.New()
	m := p.meter("reading "+u.label(), size)
	size, err := io.Copy(sum, m.reader(untilDone(ctx, body)))
	m.vanish()
	if err != nil {
		return receipt{}, err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return receipt{}, err
	}
	m = p.meter(u.label(), size)
	r, err := u.whole(ctx, m.reader(body), size, hex.EncodeToString(sum.Sum(nil)))
	m.end(err)
	return r, err
}

// putStream sends what can be read only once.
func (p *program) putStream(ctx context.Context, u upload, body io.Reader, size int64) (receipt, error) {
	m := p.meter(u.label(), size)
	r, err := u.stream(ctx, m.reader(untilDone(ctx, body)))
	m.end(err)
	return r, err
}

// audioTypes are the media types of what recorders write, which a system's own
// table gives differently or not at all.
var audioTypes = map[string]string{
	".wav":  "audio/wav",
	".mp3":  "audio/mpeg",
	".ogg":  "audio/ogg",
	".opus": "audio/ogg", // RFC 7845, section 9
	".flac": "audio/flac",
	".m4a":  "audio/mp4",
	".webm": "audio/webm",
	".au":   "audio/basic",
}

// contentType guesses a media type from a file's extension, or from that of its
// name if the file has none.
func contentType(path string, to place) string {
	ext := strings.ToLower(cmp.Or(filepath.Ext(path), filepath.Ext(string(to.name))))
	if t, ok := audioTypes[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}
