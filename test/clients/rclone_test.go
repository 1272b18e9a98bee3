package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
)

// rclone takes its remote "lethe" from the environment.
type rclone struct {
	shell
	site
}

func newRclone(t testing.TB, s site) client { return rcloneWith(t, s) }

// newRcloneBlind has rclone look neither before it writes nor after.
func newRcloneBlind(t testing.TB, s site) client {
	return rcloneWith(t, s, "RCLONE_NO_CHECK_DEST=true", "RCLONE_S3_NO_HEAD=true")
}

func rcloneWith(t testing.TB, s site, options ...string) client {
	env := []string{
		"RCLONE_CONFIG_LETHE_TYPE=s3", "RCLONE_CONFIG_LETHE_PROVIDER=Other", "RCLONE_CONFIG_LETHE_ENDPOINT=" + s.endpoint,
		"RCLONE_CONFIG_LETHE_ACCESS_KEY_ID=" + s.keys.AccessKey, "RCLONE_CONFIG_LETHE_SECRET_ACCESS_KEY=" + s.keys.SecretKey,
	}
	if s.secure() {
		env = append(env, "RCLONE_CA_CERT="+s.ca)
	}
	return rclone{newShell(t, append(env, options...)...), s}
}

func (c rclone) rclone(ctx context.Context, args ...string) ([]byte, error) {
	return c.run(ctx, append([]string{"/usr/bin/rclone"}, args...)...)
}

func (c rclone) at(name string) string { return "lethe:" + c.bucket + "/" + name }

func (c rclone) put(ctx context.Context, file, name string) error {
	_, err := c.rclone(ctx, "copyto", file, c.at(name))
	return err
}

func (c rclone) get(ctx context.Context, name, file string) error {
	_, err := c.rclone(ctx, "copyto", c.at(name), file)
	return err
}

func (c rclone) span(ctx context.Context, name string, s span) ([]byte, error) {
	return c.rclone(ctx, "cat", "--offset", fmt.Sprint(s.first), "--count", fmt.Sprint(s.last+1-s.first), c.at(name))
}

func (c rclone) list(ctx context.Context, prefix string) ([]string, error) {
	out, err := c.rclone(ctx, "lsf", "--recursive", "--files-only", "--format", "sp", "--separator", " ", c.at(prefix))
	entries := lines(out)
	for i, e := range entries {
		var size int64
		fmt.Sscan(e, &size)
		entries[i] = entry(size, prefix+e[len(fmt.Sprint(size))+1:]) // it names what is below prefix
	}
	return entries, err
}

func (c rclone) size(ctx context.Context, name string) (int64, error) {
	out, err := c.rclone(ctx, "lsjson", "--stat", c.at(name))
	if err != nil {
		return 0, err
	}
	var stat struct{ Size int64 }
	err = json.Unmarshal(out, &stat)
	return stat.Size, err
}

func (c rclone) remove(ctx context.Context, name string) error {
	_, err := c.rclone(ctx, "deletefile", c.at(name))
	return err
}
