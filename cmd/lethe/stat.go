package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/spf13/cobra"
)

// status is what stat prints.
type status struct {
	Bucket      string            `json:"bucket"`
	Name        string            `json:"name"`
	Recording   string            `json:"recording"`
	Size        int64             `json:"size"`
	ETag        string            `json:"etag"`
	Modified    time.Time         `json:"modified"`
	ContentType string            `json:"content_type"`
	Class       string            `json:"class"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

func (p *program) statCommand() *cobra.Command {
	return &cobra.Command{
		Use: "stat BUCKET/NAME", Short: "Tell of a recording without opening it",
		Long: `Stat tells what is known of a recording: its size, when and how it was stored, and
the metadata that it came with. It gives none of its sound.

The class says how strongly its author is proved: A by a signed claim, B by a
signature over every byte, C by a checksum over TLS, D not at all.`,
		Example:           "  lethe stat calls/2026/11/23/call.wav",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completeBuckets("/"),
		RunE: work(func(c *cobra.Command, args []string) error {
			of, err := parsePlace(args[0])
			if err != nil {
				return err
			}
			return p.stat(c.Context(), of)
		}),
	}
}

func (p *program) stat(ctx context.Context, of place) error {
	front, err := p.front()
	if err != nil {
		return err
	}
	o, err := front.StatObject(ctx, string(of.bucket), string(of.name), minio.StatObjectOptions{})
	if err != nil {
		return front.refused(err)
	}
	s := status{
		Bucket:      string(of.bucket),
		Name:        string(of.name),
		Recording:   front.last.header.Get(headerRecording),
		Size:        o.Size,
		ETag:        o.ETag,
		Modified:    o.LastModified,
		ContentType: o.ContentType,
		Class:       front.last.header.Get(headerClass),
		Metadata:    make(map[string]string),
	}
	for key, value := range o.UserMetadata {
		s.Metadata[strings.ToLower(key)] = value
	}
	rows := table{
		{"recording", s.Recording},
		{"size", strconv.FormatInt(s.Size, 10)},
		{"modified", s.Modified.Format(time.RFC3339)},
		{"content type", s.ContentType},
		{"etag", s.ETag},
		{"class", s.Class},
	}
	for _, key := range slices.Sorted(maps.Keys(s.Metadata)) {
		rows = append(rows, []string{key, s.Metadata[key]})
	}
	return p.answer(s, rows)
}
