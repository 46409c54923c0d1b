package lock

import (
	"errors"
	"os"
	"path/filepath"
)

// DirName is the file in a directory whose lock is the directory's.
const DirName = "pith.lock"

// Dir is a directory that one run has for itself.
type Dir struct {
	Made bool // the directory was not there before
	path string
	file *os.File
}

// TakeDir makes the directory if it is not there, and locks it; the error is ErrHeld when another process has it.
func TakeDir(path string) (d *Dir, err error) {
	for range 100 {
		// Its last owner may remove it while it is looked for, while it is made, or while its file is.
		if d, err = takeDir(path); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) {
			break
		}
	}
	return d, err
}

func takeDir(path string) (*Dir, error) {
	_, err := os.Stat(path)
	d := &Dir{Made: errors.Is(err, os.ErrNotExist), path: path}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	if d.file, err = Take(filepath.Join(path, DirName)); err != nil {
		return nil, err
	}
	return d, nil
}

// Release removes the lock, and with empty also the directory if nothing else is in it.
func (d *Dir) Release(empty bool) error {
	err := errors.Join(os.Remove(filepath.Join(d.path, DirName)), d.file.Close())
	if empty {
		os.Remove(d.path) // fails, as it should, if there is anything in it
	}
	return err
}
