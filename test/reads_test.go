package test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lethe-vault/lethe/test/system"
)

const seeks, seekLength = 40, 64 << 10

// one-read BUCKET NAME FILE: any position costs one read of the store. On an
// S3 store its requests are counted; on a directory, the bytes that the server
// reads. The server looks at the store by itself too, once a minute or less: if that came
// between, it is measured again.
func cmdOneRead(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts).system
	client, err := awsClient(ts.Getenv("LETHE_S3"), ts.Getenv("LETHE_ACCESS_KEY"), ts.Getenv("LETHE_SECRET_KEY"))
	ts.Check(err)
	want, err := os.ReadFile(ts.MkAbs(args[2]))
	ts.Check(err)
	var reads system.Reads
	one := false
	for tries := 0; !one && tries < 3; tries++ {
		before := s.Reads()
		seek(ts, client, args[0], args[1], want)
		reads = s.Reads().Minus(before)
		ts.Logf("%d seeks: %+v", seeks, reads)
		one = s.Store == nil || reads.Requests["GET"] == seeks && len(reads.Requests) == 1
	}
	if !one {
		ts.Fatalf("%d seeks took these requests of the store: %v", seeks, reads.Requests)
	}
	// Two segments may be touched by a range of one segment's length, and the
	// catalog and the connection are read too.
	if most := int64(seeks * (3*seekLength + 64<<10)); reads.Bytes > most {
		ts.Fatalf("%d seeks read %s bytes, want at most %d", seeks, strconv.FormatInt(reads.Bytes, 10), most)
	}
}

// seek reads at as many positions as seeks says.
func seek(ts *testscript.TestScript, client s3Client, bucket, name string, want []byte) {
	for range seeks {
		first := rand.N(int64(len(want)) - seekLength)
		got, err := client.get(context.Background(), bucket, name, first, first+seekLength-1)
		ts.Check(err)
		if string(got) != string(want[first:first+seekLength]) {
			ts.Fatalf("other bytes at %d", first)
		}
	}
}
