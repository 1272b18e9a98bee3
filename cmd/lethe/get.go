package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	stdpath "path"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/minio/minio-go/v7"
	"github.com/spf13/cobra"
)

// fetched is what get prints of a recording it wrote to a file.
type fetched struct {
	Bucket    string `json:"bucket"`
	Name      string `json:"name"`
	Recording string `json:"recording"`
	File      string `json:"file"`
	Size      int64  `json:"size"`               // bytes written
	Checksum  string `json:"checksum,omitempty"` // the algorithm that was checked; "" if none was offered
}

// spanForm is a range as RFC 9110, section 14.1.2 writes it after "bytes=".
var spanForm = regexp.MustCompile(`^([0-9]+-[0-9]*|-[0-9]+)$`)

func (p *program) getCommand() *cobra.Command {
	var span string
	c := &cobra.Command{
		Use: "get BUCKET/NAME [FILE]", Short: "Open a recording, into a file or onto standard output",
		Long: `Get opens a recording with the keys of a reader (--access-key and --secret-key, or
LETHE_ACCESS_KEY and LETHE_SECRET_KEY). The access stands in the tenant's log,
with the reader's purpose.

Without FILE, or with -, the recording goes to standard output. A file appears
under its name only when it is whole and was found to have the checksum that the
server gave; otherwise nothing is left. Only the owner can read it.`,
		Example: `  lethe get calls/2026/11/23/call.wav call.wav
  lethe get calls/2026/11/23/call.wav --range 0-65535 >start.wav
  lethe get calls/2026/11/23/call.wav | play -t wav -`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: p.completeBuckets("/"),
		RunE: work(func(c *cobra.Command, args []string) error {
			from, err := parsePlace(args[0])
			if err != nil {
				return err
			}
			if span != "" && !spanForm.MatchString(span) {
				return misusef("--range is A-B, A- or -N, in bytes from 0")
			}
			if len(args) == 2 && args[1] != standardOutput {
				return p.getFile(c.Context(), from, span, args[1])
			}
			if p.json {
				return misusef("--json needs a FILE, since the recording itself goes to standard output")
			}
			p.quiet = p.quiet || isTerminal(p.out) // which the recording itself fills
			_, err = p.get(c.Context(), from, span, p.out)
			return err
		}),
	}
	c.Flags().StringVar(&span, "range", "", "only these bytes: A-B (both included), A- or -N")
	p.quietFlag(c)
	return c
}

// standardOutput is what FILE is for none.
const standardOutput = "-"

// getFile opens a recording into a file, or a device or pipe.
func (p *program) getFile(ctx context.Context, from place, span, path string) error {
	write := p.getRegular
	i, err := os.Stat(path)
	switch {
	case err == nil && i.IsDir():
		return misusef("%s is a directory; name a file in it", path)
	case err == nil && !i.Mode().IsRegular():
		write = p.getDevice
	}
	got, err := write(ctx, from, span, path)
	if err != nil {
		return err
	}
	got.File = path
	return p.answer(got, table{
		{"opened", got.Bucket + "/" + got.Name},
		{"file", got.File},
		{"size", strconv.FormatInt(got.Size, 10)},
		{"checked", got.Checksum},
	})
}

// getDevice writes to what is there already and is no file to be replaced.
func (p *program) getDevice(ctx context.Context, from place, span, path string) (fetched, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fetched{}, err
	}
	got, err := p.get(ctx, from, span, f)
	return got, errors.Join(err, f.Close())
}

// getRegular writes to a file that appears only when it is whole. A symbolic
// link stays one.
func (p *program) getRegular(ctx context.Context, from place, span, path string) (fetched, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".lethe-*") // mode 0600
	if err != nil {
		return fetched{}, noFileThere(path, err)
	}
	defer os.Remove(tmp.Name()) // gone already when it was renamed
	got, err := p.get(ctx, from, span, tmp)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fetched{}, err
	}
	return got, os.Rename(tmp.Name(), path)
}

// noFileThere names the file that the user named, not one of ours beside it.
func noFileThere(path string, err error) error {
	if broken, ok := errors.AsType[*fs.PathError](err); ok {
		err = broken.Err
	}
	return &fs.PathError{Op: "create", Path: path, Err: err}
}

// get copies a recording, or a span of it, to w, and checks its length and the
// strongest whole-recording checksum that the server offers.
func (p *program) get(ctx context.Context, from place, span string, w io.Writer) (fetched, error) {
	front, err := p.front()
	if err != nil {
		return fetched{}, err
	}
	opts := minio.GetObjectOptions{Checksum: span == ""}
	if span != "" {
		opts.Set("Range", "bytes="+span)
	}
	body, info, header, err := front.GetObject(ctx, string(from.bucket), string(from.name), opts)
	if err != nil {
		return fetched{}, front.refused(err)
	}
	defer body.Close()
	if span != "" && header.Get("Content-Range") == "" {
		return fetched{}, errors.New("the server cannot give this range; --range is A-B with A at most B")
	}
	check := offered(info)
	m := p.meter(stdpath.Base(string(from.name)), info.Size)
	n, err := receive(io.MultiWriter(w, check.sum), m.reader(body), info.Size)
	m.end(err)
	if err != nil {
		return fetched{}, err
	}
	if !check.holds() {
		return fetched{}, fmt.Errorf("the bytes do not match the %s checksum the server gave; do not use them, and tell its operator", check.name)
	}
	return fetched{
		Bucket:    string(from.bucket),
		Name:      string(from.name),
		Recording: header.Get(headerRecording),
		Size:      n,
		Checksum:  check.name,
	}, nil
}

// brokenOff is a recording that ended before its end.
type brokenOff struct {
	got, size int64
	error
}

func (b brokenOff) Error() string {
	return fmt.Sprintf("the recording broke off after %d of %d bytes: %v", b.got, b.size, b.error)
}

func (b brokenOff) Unwrap() error { return b.error }

// receive copies size bytes of r to w. Whether the one or the other failed is
// in the error.
func receive(w io.Writer, r io.Reader, size int64) (int64, error) {
	n, err := io.Copy(w, r)
	_, ours := errors.AsType[*fs.PathError](err) // r is a connection
	switch {
	case errors.Is(err, context.Canceled):
		return n, errInterrupted
	case ours:
		return n, err
	case err == nil && n != size:
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, brokenOff{n, size, err}
	}
	return n, nil
}

// checksum is one that an answer carries, and the hash to compare with it.
type checksum struct {
	name string // "" if the answer carries none
	want string // base64
	sum  hash.Hash
}

// offered picks the strongest checksum that an answer carries. Without one it
// hashes for nothing.
func offered(i minio.ObjectInfo) checksum {
	for _, c := range []checksum{
		{"sha256", i.ChecksumSHA256, minio.ChecksumSHA256.Hasher()},
		{"crc64nvme", i.ChecksumCRC64NVME, minio.ChecksumCRC64NVME.Hasher()},
		{"crc32c", i.ChecksumCRC32C, minio.ChecksumCRC32C.Hasher()},
		{"crc32", i.ChecksumCRC32, minio.ChecksumCRC32.Hasher()},
		{"sha1", i.ChecksumSHA1, minio.ChecksumSHA1.Hasher()},
	} {
		if c.want != "" {
			return c
		}
	}
	return checksum{sum: minio.ChecksumCRC32C.Hasher()}
}

// holds reports whether the bytes hashed are those the checksum is of.
func (c checksum) holds() bool {
	return c.name == "" || base64.StdEncoding.EncodeToString(c.sum.Sum(nil)) == c.want
}
