package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
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
		Args: cobra.RangeArgs(1, 2),
		RunE: work(func(c *cobra.Command, args []string) error {
			from, err := parsePlace(args[0])
			if err != nil {
				return err
			}
			if span != "" && !spanForm.MatchString(span) {
				return misusef("--range is A-B, A- or -N, in bytes from 0")
			}
			if len(args) == 2 {
				return p.getFile(c.Context(), from, span, args[1])
			}
			if p.json {
				return misusef("--json needs a FILE, since the recording itself goes to standard output")
			}
			_, err = p.get(c.Context(), from, span, p.out)
			return err
		}),
	}
	c.Flags().StringVar(&span, "range", "", "only these bytes: A-B (both included), A- or -N")
	return c
}

// getFile writes a recording to a file that appears only when it is whole.
func (p *program) getFile(ctx context.Context, from place, span, path string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".lethe-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already when it was renamed
	got, err := p.get(ctx, from, span, tmp)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
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
		return fetched{}, s3refused(err)
	}
	defer body.Close()
	if span != "" && header.Get("Content-Range") == "" {
		return fetched{}, errors.New("the server cannot give this range; --range is A-B with A at most B")
	}
	check := offered(info)
	n, err := io.Copy(io.MultiWriter(w, check.sum), body)
	if err == nil && n != info.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fetched{}, fmt.Errorf("the recording broke off after %d of %d bytes: %w; try again", n, info.Size, err)
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
