// Package sharedtest finds the models and texts that lie beside the repository, in ../shared/data. They are too
// large to ship; tests that need them skip where they are absent.
package sharedtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns ../shared/data/elem… as seen from the module root, and skips the test if it does not exist.
func Path(t testing.TB, elem ...string) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(root)
		if parent == root {
			t.Fatal("no go.mod above the working directory")
		}
		root = parent
	}
	p := filepath.Join(append([]string{filepath.Dir(root), "shared", "data"}, elem...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("%s is absent: the shared models and texts are not beside this checkout", filepath.Join(elem...))
	}
	return p
}
