package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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
type facts struct{ subject, call, purpose string }

// metadata gives the facts as the user metadata a plain S3 client sends.
func (f facts) metadata() map[string]string {
	m := make(map[string]string)
	for key, value := range map[string]string{
		"lethe-subject": f.subject,
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
	f.StringVar(&given.subject, "subject", "", "whose voice it is: telephone numbers or other names, separated by commas")
	f.StringVar(&given.call, "call", "", "the call it belongs to")
	f.StringVar(&given.purpose, "purpose", "", "what it is kept for")
	f.StringVar(&key, "sign", "", "key to sign a claim with (a later version)")
	must(c.MarkFlagRequired("bucket"))
	must(c.MarkFlagRequired("name"))
	return c
}

// put reads the file twice: for its hash, which the request's signature
// covers, and to send it.
func (p *program) put(ctx context.Context, path string, to place, given facts) error {
	front, err := p.front()
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%w; put needs a file, not a pipe", err)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	info, err := front.PutObject(ctx, string(to.bucket), string(to.name), f, size, "", digest, minio.PutObjectOptions{
		ContentType:          contentType(path),
		UserMetadata:         given.metadata(),
		DisableContentSha256: true, // the SDK's own, in chunks; ours covers the whole
	})
	if err != nil {
		return s3refused(err)
	}
	r := receipt{
		Bucket:    string(to.bucket),
		Name:      string(to.name),
		Recording: front.last.header.Get(headerRecording),
		Version:   info.VersionID,
		Size:      size,
		SHA256:    digest,
		ETag:      info.ETag,
		Class:     front.last.header.Get(headerClass),
	}
	return p.answer(r, table{
		{"stored", r.Bucket + "/" + r.Name},
		{"recording", r.Recording},
		{"size", strconv.FormatInt(r.Size, 10)},
		{"sha256", r.SHA256},
		{"class", r.Class},
	})
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

// contentType guesses a media type from a file's extension.
func contentType(path string) string {
	ext := strings.ToLower(filepath.Ext(path))
	if t, ok := audioTypes[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}
