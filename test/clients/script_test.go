package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lethe-vault/lethe/test/servers"
)

// A script drives an SDK of another language. Its verbs put, get, span, list,
// size and remove are the SDK's plain calls, upload and download what the SDK
// has for large files; it reads $ENDPOINT and $BUCKET.
type script struct {
	shell
	argv    []string
	putVerb string // put or upload
	getVerb string // get or download
}

func newBoto3(t testing.TB, s site) client { return newPython(t, s, "put", "get") }

func newBoto3Transfer(t testing.TB, s site) client { return newPython(t, s, "upload", "download") }

func newPython(t testing.TB, s site, put, get string) client {
	return script{newShell(t, scriptEnv(s)...), []string{"/usr/bin/python3", testdata(t, "client.py")}, put, get}
}

func newJavaScript(t testing.TB, s site) client { return newNode(t, s, "put") }

func newLibStorage(t testing.TB, s site) client { return newNode(t, s, "upload") }

// newNode puts the script where node finds the SDK beside it.
func newNode(t testing.TB, s site, put string) client {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	env := scriptEnv(s)
	if s.secure() {
		env = append(env, "NODE_EXTRA_CA_CERTS="+s.ca)
	}
	sh := newShell(t, env...)
	source, err := os.ReadFile(testdata(t, "client.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	main := filepath.Join(sh.home, "client.mjs")
	writeFile(t, main, string(source))
	if err := os.Symlink(servers.JavaScriptSDK(t), filepath.Join(sh.home, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return script{sh, []string{node, main}, put, "get"}
}

func scriptEnv(s site) []string {
	return append(awsEnv(s), "AWS_REGION=us-east-1", "ENDPOINT="+s.endpoint, "BUCKET="+s.bucket)
}

func testdata(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (c script) verb(ctx context.Context, args ...string) ([]byte, error) {
	return c.run(ctx, append(c.argv[:len(c.argv):len(c.argv)], args...)...)
}

func (c script) put(ctx context.Context, file, name string) error {
	_, err := c.verb(ctx, c.putVerb, file, name)
	return err
}

func (c script) get(ctx context.Context, name, file string) error {
	_, err := c.verb(ctx, c.getVerb, name, file)
	return err
}

func (c script) span(ctx context.Context, name string, s span) ([]byte, error) {
	return c.verb(ctx, "span", name, fmt.Sprint(s.first), fmt.Sprint(s.last))
}

func (c script) list(ctx context.Context, prefix string) ([]string, error) {
	out, err := c.verb(ctx, "list", prefix)
	return lines(out), err
}

func (c script) size(ctx context.Context, name string) (size int64, err error) {
	out, err := c.verb(ctx, "size", name)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(string(out), &size)
	return size, err
}

func (c script) remove(ctx context.Context, name string) error {
	_, err := c.verb(ctx, "remove", name)
	return err
}
