package main

import (
	"context"
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

// bucketList is what ls prints without an argument.
type bucketList struct {
	Buckets []bucketOfList `json:"buckets"` // in order of their names
}

type bucketOfList struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

func (p *program) lsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls [BUCKET[/PREFIX]]", Short: "List buckets, or the recordings whose names begin with a prefix",
		Long: `Ls lists what a reader's keys may see: without an argument the buckets, else the
recordings of a bucket whose names begin with PREFIX, in byte order.

A listing is an access like any other and stands in the tenant's log.`,
		Example: `  lethe ls
  lethe ls calls/2026/11/
  lethe ls calls --json | jq -r '.recordings[].name'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completeBuckets(""),
		RunE: work(func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return p.lsBuckets(c.Context())
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

func (p *program) lsBuckets(ctx context.Context) error {
	front, err := p.front()
	if err != nil {
		return err
	}
	buckets, err := front.ListBuckets(ctx)
	if err != nil {
		return front.refused(err)
	}
	list := bucketList{Buckets: []bucketOfList{}}
	rows := table{{"CREATED", "BUCKET"}}
	for _, b := range buckets {
		list.Buckets = append(list.Buckets, bucketOfList{b.Name, b.CreationDate})
		rows = append(rows, []string{b.CreationDate.Format(time.DateTime), b.Name})
	}
	return p.answer(list, rows)
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
			return front.refused(o.Err)
		}
		list.Recordings = append(list.Recordings, entry{o.Key, o.Size, o.ETag, o.LastModified})
		rows = append(rows, []string{strconv.FormatInt(o.Size, 10), o.LastModified.Format(time.DateTime), o.Key})
	}
	return p.answer(list, rows)
}
