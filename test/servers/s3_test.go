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

// In a bucket that locks, nobody deletes a version; under governance a client does that
// says it may.
func TestS3LocksVersions(t *testing.T) {
	s := servers.SharedMinIO(t)
	client := s.Client(t)
	for kind, privileged := range map[servers.BucketKind]bool{servers.Governance: true, servers.Compliance: false} {
		bucket := s.Bucket(t, kind)
		put(t, client, bucket)
		info, err := client.StatObject(t.Context(), bucket, "k", minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.RemoveObject(t.Context(), bucket, "k", minio.RemoveObjectOptions{VersionID: info.VersionID}); err == nil {
			t.Errorf("a version in a bucket of kind %d was deleted", kind)
		}
		err = client.RemoveObject(t.Context(), bucket, "k", minio.RemoveObjectOptions{VersionID: info.VersionID, GovernanceBypass: true})
		if (err == nil) != privileged {
			t.Errorf("a privileged client deletes a version in a bucket of kind %d: %v", kind, err)
		}
	}
}
