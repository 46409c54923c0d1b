//go:build unix

package lock

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheDirectoryOfARunThatWasKilledIsTaken(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, DirName), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	d, err := TakeDir(path)
	if err != nil || d.Made {
		t.Fatal(d, err)
	}
	if err := d.Release(false); err != nil {
		t.Fatal(err)
	}
}
