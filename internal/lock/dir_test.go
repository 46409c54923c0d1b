package lock

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestADirectoryIsHeldOnceAndGoesWhenItIsEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "work")
	first, err := TakeDir(path)
	if err != nil || !first.Made {
		t.Fatal(first, err)
	}
	if _, err := TakeDir(path); !errors.Is(err, ErrHeld) {
		t.Fatalf("taken twice: %v", err)
	}
	kept := filepath.Join(path, "kept")
	if err := errors.Join(os.WriteFile(kept, nil, 0o666), first.Release(true)); err != nil {
		t.Fatal(err)
	}
	again, err := TakeDir(path)
	if err != nil || again.Made {
		t.Fatalf("a directory with a file in it: %v, %v", again, err)
	}
	if err := errors.Join(os.Remove(kept), again.Release(false)); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(path); err != nil || len(left) != 0 {
		t.Fatalf("not to be removed: holds %v, %v", left, err)
	}
	last, err := TakeDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := last.Release(true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty directory is still there (%v)", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := TakeDir(file); err == nil {
		t.Error("a file was taken as a directory")
	}
}

// Owners come and go, each making the directory that the last one removed; no two have it at once, and nobody fails but because another has it.
func TestADirectoryRemovedWhileItIsTakenIsMadeAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work")
	var holders, held atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 300 {
				d, err := TakeDir(path)
				if errors.Is(err, ErrHeld) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if holders.Add(1) != 1 {
					t.Error("two have it")
				}
				held.Add(1)
				holders.Add(-1)
				if err := d.Release(true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if held.Load() == 0 {
		t.Error("nobody ever had it")
	}
}
