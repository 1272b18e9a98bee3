package faults_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// durable are the calls by which something becomes durable, as they are written:
// the end of what is called.
var durable = []string{
	"f.Sync", "root.Link", "root.Mkdir", "dir.Link", "dir.Rename", "tx.Commit", "blobs.Create", "store.Create", "s.Create", "blobs.Delete",
	"catalog.Begin", "catalog.BeginUpload", "catalog.BeginPart", "catalog.StorePart", "catalog.Forget",
	"catalog.QueueErasure", "catalog.Erased", "catalog.CloseBucket", "catalog.Apply", "provider.Destroy",
}

// withoutFailpoint are functions that make something durable in a step that has
// its failpoint elsewhere.
var withoutFailpoint = map[string]string{
	"queueIn":     "queue, which alone calls it, has one just before",
	"apply":       "journalApply comes first",
	"seal":        "putBegun and listWrite come first",
	"create":      "recordingCreate comes first",
	"deleteBlobs": "eraseBlobs comes first",
	"write":       "keysWrite comes first",
	"overwrite":   "keysSettle comes first",
	"dropAnchors": "nothing hangs from an anchor that newer ones follow",
	"writeAnchor": "anchorWrite comes first",
	"storeTime":   "nothing hangs from a blob by which the store's clock is read",
}

// TestDurableStepsHaveFailpoints finds a function that makes something durable
// and has no failpoint.
func TestDurableStepsHaveFailpoints(t *testing.T) {
	t.Parallel()
	found := 0
	for _, dir := range []string{"gateway", "gateway/blob/filestore", "gateway/catalog", "crypto/keytree", "crypto/localkeys"} {
		files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no sources in %s: %v", dir, err)
		}
		for _, path := range files {
			if name := filepath.Base(path); !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, "check") { // what a check makes is nobody's
				found += durableIn(t, path)
			}
		}
	}
	if found < 20 {
		t.Errorf("%d functions that make something durable were recognised, at least 20 are there", found)
	}
}

// durableIn counts the functions of a file that make something durable.
func durableIn(t *testing.T, path string) (found int) {
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil || !makesDurable(f) {
			continue
		}
		found++
		body := source[set.Position(f.Body.Pos()).Offset:set.Position(f.Body.End()).Offset]
		if !strings.Contains(string(body), "gofail: var") && withoutFailpoint[f.Name.Name] == "" {
			t.Errorf("%s: %s makes something durable and has no failpoint", path, f.Name.Name)
		}
	}
	return found
}

func makesDurable(f *ast.FuncDecl) (found bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			found = found || slices.Contains(durable, calledBy(call))
		}
		return true
	})
	return found
}

// calledBy gives the last two names of what is called, such as "catalog.Begin".
func calledBy(call *ast.CallExpr) string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	switch on := method.X.(type) {
	case *ast.Ident:
		return on.Name + "." + method.Sel.Name
	case *ast.SelectorExpr:
		return on.Sel.Name + "." + method.Sel.Name
	}
	return ""
}
