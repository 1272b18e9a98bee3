package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"testing"
)

// awsCLI is the aws command, with the transfers of "aws s3".
type awsCLI struct {
	shell
	site
}

func newAWSCLI(t testing.TB, s site) client {
	return awsCLI{newShell(t, awsEnv(s)...), s}
}

func (c awsCLI) aws(ctx context.Context, args ...string) ([]byte, error) {
	return c.run(ctx, append([]string{"/usr/bin/aws", "--endpoint-url", c.endpoint}, args...)...)
}

func (c awsCLI) at(name string) string { return "s3://" + c.bucket + "/" + name }

func (c awsCLI) put(ctx context.Context, file, name string) error {
	_, err := c.aws(ctx, "s3", "cp", file, c.at(name))
	return err
}

func (c awsCLI) get(ctx context.Context, name, file string) error {
	_, err := c.aws(ctx, "s3", "cp", c.at(name), file)
	return err
}

func (c awsCLI) span(ctx context.Context, name string, s span) ([]byte, error) {
	file, err := c.scratch()
	if err != nil {
		return nil, err
	}
	_, err = c.aws(ctx, "s3api", "get-object", "--bucket", c.bucket, "--key", name,
		"--range", fmt.Sprintf("bytes=%d-%d", s.first, s.last), file)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// awsLine is a line of "aws s3 ls": date, time, size, name.
var awsLine = regexp.MustCompile(`^\S+ \S+ +(\d+) (.*)$`)

func (c awsCLI) list(ctx context.Context, prefix string) (entries []string, err error) {
	out, err := c.aws(ctx, "s3", "ls", "--recursive", c.at(prefix))
	if err != nil {
		return nil, err
	}
	for _, line := range lines(out) {
		entries = append(entries, awsLine.ReplaceAllString(line, "$1 $2"))
	}
	return entries, nil
}

func (c awsCLI) size(ctx context.Context, name string) (int64, error) {
	out, err := c.aws(ctx, "s3api", "head-object", "--bucket", c.bucket, "--key", name, "--output", "json")
	if err != nil {
		return 0, err
	}
	var head struct{ ContentLength int64 }
	err = json.Unmarshal(out, &head)
	return head.ContentLength, err
}

func (c awsCLI) remove(ctx context.Context, name string) error {
	_, err := c.aws(ctx, "s3", "rm", c.at(name))
	return err
}
