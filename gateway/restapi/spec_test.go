package restapi_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/lethe-vault/lethe/gateway/restapi"
)

// Every problem is documented, and every documented problem can happen.
func TestProblemsAreSpecified(t *testing.T) {
	var spec struct {
		Problems map[string]restapi.Kind `yaml:"x-problems"`
	}
	if err := yaml.Unmarshal(restapi.Specification, &spec); err != nil {
		t.Fatal(err)
	}
	if got := restapi.Kinds(); !maps.Equal(got, spec.Problems) {
		t.Errorf("problems = %v, openapi.yaml has %v", got, spec.Problems)
	}
}

func TestGeneratedCodeIsCurrent(t *testing.T) {
	for config, path := range map[string]string{"server.yaml": "server.gen.go", "client.yaml": "client/client.gen.go"} {
		fresh := filepath.Join(t.TempDir(), filepath.Base(path))
		run(t, "go", "tool", "-modfile=../../test/tools/generate/go.mod", "oapi-codegen",
			"-config", config, "-o", fresh, "openapi.yaml")
		want, err := os.ReadFile(fresh)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate ./gateway/restapi", path)
		}
	}
}

// A program that uses the client does not carry a web framework.
func TestClientDoesNotImportGin(t *testing.T) {
	if deps := run(t, "go", "list", "-deps", "./client"); strings.Contains(deps, "gin-gonic") {
		t.Error("package client depends on gin")
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
