package clients

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// limit bounds one run of a client.
const limit = 4 * time.Minute

// A shell runs programs in a home of their own. Of the environment outside
// they see nothing; they are given what their own documentation names.
type shell struct {
	home string
	env  []string
}

func newShell(t testing.TB, env ...string) shell {
	t.Helper()
	home := t.TempDir()
	return shell{home, append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + home, "LC_ALL=C.UTF-8",
	}, env...)}
}

// awsEnv is where and as whom, as every AWS program and SDK reads it.
func awsEnv(s site) []string {
	env := []string{"AWS_ACCESS_KEY_ID=" + s.keys.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.keys.SecretKey, "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true"}
	if s.secure() {
		env = append(env, "AWS_CA_BUNDLE="+s.ca)
	}
	return env
}

// run gives what a program prints on standard output; its error carries the rest.
func (s shell) run(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir = s.env, s.home
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s%s", strings.Join(args, " "), err, tail(out.Bytes()), tail(errs.Bytes()))
	}
	return out.Bytes(), nil
}

// scratch gives a path in the home at which nothing stands.
func (s shell) scratch() (string, error) {
	dir, err := os.MkdirTemp(s.home, "scratch-")
	return filepath.Join(dir, "file"), err
}

// tail is as much of a program's words as a person wants to read.
func tail(b []byte) []byte { return b[max(0, len(b)-3000):] }
