package main

import (
	"strings"
	"testing"
)

func TestStoreSettings(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"} {
		t.Setenv(name, "")
	}
	for args, want := range map[string]struct {
		status int
		says   string
	}{
		"--store-endpoint 127.0.0.1:1":                                   {misuse, "--store-bucket"},
		"--store-kind aws":                                               {misuse, "--store-bucket"},
		"--store-bucket b --store-kind azure":                            {misuse, "s3 or aws"},
		"--store-bucket b --store-kind s3":                               {misuse, "--store-endpoint"},
		"--store-bucket b":                                               {failed, "awsstore: no region"},
		"--store-bucket b --store-endpoint 127.0.0.1:1":                  {failed, "miniostore"},
		"--store-bucket b --store-endpoint 127.0.0.1:1 --store-kind aws": {failed, "awsstore"},
		"--store-bucket b --store-region eu-central-1":                   {failed, "awsstore: no credentials"},
	} {
		status, _, errs := lethe(t, append(strings.Fields("serve "+args), "--data", t.TempDir())...)
		if status != want.status || !strings.Contains(errs, want.says) {
			t.Errorf("lethe serve %s = %d %q, want %d mentioning %q", args, status, errs, want.status, want.says)
		}
	}
}
