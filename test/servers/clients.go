package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// MC gives the path of mc, MinIO's client.
func MC(t testing.TB) string {
	t.Helper()
	path, err := mcTool.binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// JavaScriptSDK gives the node_modules directory that holds the AWS SDK for
// JavaScript, as the lock file in test/tools/aws-sdk-js pins it.
func JavaScriptSDK(t testing.TB) string {
	t.Helper()
	path, err := javaScriptSDK(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func javaScriptSDK(ctx context.Context) (string, error) {
	return once("aws-sdk-js", "node_modules", "npm", func(module, path string) error {
		return install(ctx, module, path)
	})
}

// install has npm make the node_modules of a module beside path, and moves it
// there when it is whole. npm runs nothing of what it installs.
func install(ctx context.Context, module, path string) error {
	part, err := os.MkdirTemp(filepath.Dir(path), "part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(part)
	if err := os.CopyFS(part, os.DirFS(module)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--engine-strict", "--no-audit", "--no-fund")
	cmd.Dir = part
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("servers: install %s: %w\n%s", filepath.Base(module), err, out)
	}
	return os.Rename(filepath.Join(part, "node_modules"), path)
}
