package servers_test

import (
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/test/servers"
	"github.com/minio/minio-go/v7"
)

func TestS3KeepsWhatItHolds(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *servers.S3Server{
		"minio":     servers.MinIO,
		"versitygw": servers.VersityGW,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			client := s.Client(t)
			for _, kind := range []servers.BucketKind{servers.Plain, servers.Versioned, servers.Locked} {
				bucket := s.Bucket(t, kind)
				put(t, client, bucket)
				s.Restart(t)
				s.Kill()
				s.Start(t)
				if _, err := client.StatObject(t.Context(), bucket, "k", minio.StatObjectOptions{}); err != nil {
					t.Errorf("stat in a bucket of kind %d after restarts: %v", kind, err)
				}
			}
		})
	}
}

func put(t *testing.T, client *minio.Client, bucket string) {
	t.Helper()
	_, err := client.PutObject(t.Context(), bucket, "k", strings.NewReader("v"), 1, minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
}
