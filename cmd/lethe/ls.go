package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/spf13/cobra"

	"github.com/lethe-vault/lethe/recording"
)

// listing is what ls prints.
type listing struct {
	Bucket     string  `json:"bucket"`
	Prefix     string  `json:"prefix,omitempty"`
	Recordings []entry `json:"recordings"` // in byte order of their names
}

// entry is one recording of a listing.
type entry struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	ETag     string    `json:"etag"`
	Modified time.Time `json:"modified"`
}

func (p *program) lsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls BUCKET[/PREFIX]", Short: "List the recordings whose names begin with a prefix",
		Args: cobra.MaximumNArgs(1),
		RunE: work(func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("listing buckets comes with a later version; name one: lethe ls BUCKET")
			}
			name, prefix, _ := strings.Cut(args[0], "/")
			bucket, err := recording.ParseBucket(name)
			if err != nil {
				return misused{err}
			}
			return p.ls(c.Context(), bucket, prefix)
		}),
	}
}

func (p *program) ls(ctx context.Context, bucket recording.Bucket, prefix string) error {
	front, err := p.front()
	if err != nil {
		return err
	}
	list := listing{Bucket: string(bucket), Prefix: prefix, Recordings: []entry{}}
	rows := table{{"SIZE", "MODIFIED", "NAME"}}
	for o := range front.ListObjectsIter(ctx, string(bucket), minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return s3refused(o.Err)
		}
		list.Recordings = append(list.Recordings, entry{o.Key, o.Size, o.ETag, o.LastModified})
		rows = append(rows, []string{strconv.FormatInt(o.Size, 10), o.LastModified.Format(time.DateTime), o.Key})
	}
	return p.answer(list, rows)
}
