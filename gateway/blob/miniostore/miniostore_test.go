package miniostore_test

import (
	"testing"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/miniostore"
	"github.com/lethe-vault/lethe/gateway/blob/storetest"
	"github.com/lethe-vault/lethe/test/servers"
)

func config(s *servers.S3Server, bucket string) miniostore.Config {
	return miniostore.Config{
		Endpoint:  s.Endpoint,
		AccessKey: s.AccessKey,
		SecretKey: s.SecretKey,
		Region:    s.Region,
		Bucket:    bucket,
	}
}

func open(t *testing.T, c miniostore.Config) *miniostore.Store {
	t.Helper()
	s, err := miniostore.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	for _, on := range []struct {
		name   string
		server func(testing.TB) *servers.S3Server
		kind   servers.BucketKind
	}{
		{"minio plain", servers.SharedMinIO, servers.Plain},
		{"minio versioned", servers.SharedMinIO, servers.Versioned},
		{"versitygw plain", servers.SharedVersityGW, servers.Plain},
		{"versitygw versioned", servers.SharedVersityGW, servers.Versioned},
	} {
		t.Run(on.name, func(t *testing.T) {
			server := on.server(t)
			storetest.Run(t, func(t *testing.T) blob.Store {
				return open(t, config(server, server.Bucket(t, on.kind)))
			})
		})
	}
}
