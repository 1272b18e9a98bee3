package test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// one-read BUCKET NAME FILE: any position costs one read of the store. On an
// S3 store its requests are counted; on a directory, the bytes that the server
// reads.
func cmdOneRead(ts *testscript.TestScript, neg bool, args []string) {
	const seeks, length = 40, 64 << 10
	s := of(ts).system
	client, err := awsClient(ts.Getenv("LETHE_S3"), ts.Getenv("LETHE_ACCESS_KEY"), ts.Getenv("LETHE_SECRET_KEY"))
	ts.Check(err)
	want, err := os.ReadFile(ts.MkAbs(args[2]))
	ts.Check(err)
	before := s.Reads()
	for range seeks {
		first := rand.N(int64(len(want)) - length)
		got, err := client.get(context.Background(), args[0], args[1], first, first+length-1)
		ts.Check(err)
		if string(got) != string(want[first:first+length]) {
			ts.Fatalf("other bytes at %d", first)
		}
	}
	reads := s.Reads().Minus(before)
	ts.Logf("%d seeks: %+v", seeks, reads)
	if s.Store != nil && (reads.Requests["GET"] != seeks || len(reads.Requests) != 1) {
		ts.Fatalf("%d seeks took these requests of the store: %v", seeks, reads.Requests)
	}
	// Two segments may be touched by a range of one segment's length, and the
	// catalog and the connection are read too.
	if most := int64(seeks * (3*length + 64<<10)); reads.Bytes > most {
		ts.Fatalf("%d seeks read %s bytes, want at most %d", seeks, strconv.FormatInt(reads.Bytes, 10), most)
	}
}
