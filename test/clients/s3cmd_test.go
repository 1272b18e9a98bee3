package clients

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// s3cmd keeps its settings in a file.
type s3cmd struct {
	shell
	site
}

func newS3cmd(t testing.TB, s site) client {
	c := s3cmd{newShell(t), s}
	config := fmt.Sprintf("[default]\naccess_key = %s\nsecret_key = %s\nhost_base = %s\nhost_bucket = %s\nuse_https = %t\n",
		s.keys.AccessKey, s.keys.SecretKey, s.host(), s.host(), s.secure())
	if s.secure() {
		config += "ca_certs_file = " + s.ca + "\n"
	}
	writeFile(t, filepath.Join(c.home, ".s3cfg"), config)
	return c
}

func (c s3cmd) s3cmd(ctx context.Context, args ...string) ([]byte, error) {
	return c.run(ctx, append([]string{"/usr/bin/s3cmd"}, args...)...)
}

func (c s3cmd) at(name string) string { return "s3://" + c.bucket + "/" + name }

func (c s3cmd) put(ctx context.Context, file, name string) error {
	_, err := c.s3cmd(ctx, "put", file, c.at(name))
	return err
}

func (c s3cmd) get(ctx context.Context, name, file string) error {
	_, err := c.s3cmd(ctx, "get", "--force", c.at(name), file)
	return err
}

// span resumes a download of which the first bytes are there already.
func (c s3cmd) span(ctx context.Context, name string, s span) ([]byte, error) {
	file, err := c.scratch()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, make([]byte, s.first), 0o600); err != nil {
		return nil, err
	}
	if _, err := c.s3cmd(ctx, "get", "--continue", c.at(name), file); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(file)
	return b[min(s.first, int64(len(b))):], err
}

// s3cmdLine is a line of "s3cmd ls": date, time, size, URL.
var s3cmdLine = regexp.MustCompile(`^\S+ \S+ +(\d+) +s3://[^/]+/(.*)$`)

func (c s3cmd) list(ctx context.Context, prefix string) (entries []string, err error) {
	out, err := c.s3cmd(ctx, "ls", "--recursive", c.at(prefix))
	if err != nil {
		return nil, err
	}
	for _, line := range lines(out) {
		entries = append(entries, s3cmdLine.ReplaceAllString(line, "$1 $2"))
	}
	return entries, nil
}

var s3cmdSize = regexp.MustCompile(`(?m)^ +File size: (\d+)$`)

func (c s3cmd) size(ctx context.Context, name string) (size int64, err error) {
	out, err := c.s3cmd(ctx, "info", c.at(name))
	if err != nil {
		return 0, err
	}
	found := s3cmdSize.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("no size in %q", out)
	}
	_, err = fmt.Sscan(string(found[1]), &size)
	return size, err
}

func (c s3cmd) remove(ctx context.Context, name string) error {
	_, err := c.s3cmd(ctx, "del", c.at(name))
	return err
}
