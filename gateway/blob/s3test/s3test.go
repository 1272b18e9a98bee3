// Package s3test holds a blob.Store in a bucket of an S3 server to its
// contract, and to what storetest cannot see from within: the requests it
// sends, the memory it takes, what it leaves in the bucket, and what it makes
// of faults. Such a store's own test is one call of Run.
package s3test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/storetest"
	"github.com/lethe-vault/lethe/test/servers"
)

// Place is a bucket, and the way there, on plain HTTP.
type Place struct {
	Endpoint  string // host:port
	AccessKey string
	SecretKey string
	Region    string
	Bucket    string
	Transport http.RoundTripper // nil: the store's own
}

// Suite is what Run needs to know of a store.
type Suite struct {
	Open     func(ctx context.Context, p Place) (blob.Store, error)
	NoBucket error // what Open reports when there is no bucket
}

// Run runs storetest on every kind of bucket, and then what else there is to ask.
func Run(t *testing.T, s Suite) {
	for name, test := range map[string]func(*testing.T){
		"conforms":                          s.conforms,
		"a call sends one request":          s.oneRequestACall,
		"a create streams":                  s.createStreams,
		"any size is framed":                s.anySizeIsFramed,
		"a delete removes every version":    s.deleteRemovesEveryVersion,
		"a delete reports a lock":           s.deleteReportsALock,
		"a failed create leaves no parts":   s.failedCreateLeavesNoParts,
		"a store that is down":              s.storeDown,
		"a read that is cut is no end":      s.cutReadIsNoEnd,
		"errors say nothing of the store's": s.errorsSayNothingOfTheStores,
		"a foreign key is not in the list":  s.foreignKeys,
	} {
		t.Run(name, test)
	}
}

var bothServers = map[string]func(testing.TB) *servers.S3Server{
	"minio":     servers.SharedMinIO,
	"versitygw": servers.SharedVersityGW,
}

func (s Suite) conforms(t *testing.T) {
	for on, shared := range bothServers {
		for kind, bucket := range map[string]servers.BucketKind{"plain": servers.Plain, "versioned": servers.Versioned} {
			t.Run(on+" "+kind, func(t *testing.T) {
				server := shared(t)
				storetest.Run(t, func(t *testing.T) blob.Store {
					return s.open(t, at(server, server.Bucket(t, bucket)))
				})
			})
		}
	}
}

func at(s *servers.S3Server, bucket string) Place {
	return Place{Endpoint: s.Endpoint, AccessKey: s.AccessKey, SecretKey: s.SecretKey, Region: s.Region, Bucket: bucket}
}

func (s Suite) open(t *testing.T, p Place) blob.Store {
	t.Helper()
	store, err := s.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// plain opens a store in a fresh bucket of MinIO.
func (s Suite) plain(t *testing.T) blob.Store {
	t.Helper()
	server := servers.SharedMinIO(t)
	return s.open(t, at(server, server.Bucket(t, servers.Plain)))
}

func create(t *testing.T, store blob.Store, key, body string) {
	t.Helper()
	if err := store.Create(t.Context(), key, strings.NewReader(body), int64(len(body))); err != nil {
		t.Fatalf("Create(%q) = %v", key, err)
	}
}
