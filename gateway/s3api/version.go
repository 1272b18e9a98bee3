package s3api

import "github.com/lethe-vault/lethe/recording"

const (
	versionParameter = "versionId"
	versionHeader    = "X-Amz-Version-Id"
	currentVersion   = "null" // S3's name for the version in a bucket without versions
)

// version reads which version a request is about; zero is the current one.
// recording.ErrVersion: none has such an id.
func (t target) version() (recording.Version, error) {
	if !t.query.Has(versionParameter) {
		return recording.Version{}, nil
	}
	return parseVersion(t.query.Get(versionParameter))
}

func parseVersion(s string) (recording.Version, error) {
	if s == currentVersion {
		return recording.Version{}, nil
	}
	return recording.ParseVersion(s)
}
