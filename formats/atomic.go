package formats

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// WriteFileAtomic makes the file at path with the bytes that write produces. At every moment, through kill -9 and power loss,
// path holds either what it held before or all of the new bytes: they go to path+".partial", which is synced, renamed, and
// the directory synced. If anything fails the partial file is removed and path is untouched. Two writers of one path at the same
// time are not supported.
func WriteFileAtomic(path string, write func(w io.Writer) error) error {
	partial := path + ".partial"
	// A partial file of a killed run is replaced; O_EXCL then also refuses to write through a planted symlink.
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: cannot replace the unfinished file of an earlier run: %w", path, WithRemedy(err))
	}
	f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("%s: cannot create: %w", path, WithRemedy(err))
	}
	return finishAtomic(path, partial, f, write)
}

// CheckFileName returns an error for an output that names a directory, before any work is done for it.
func CheckFileName(path string) error {
	if path == "" || os.IsPathSeparator(path[len(path)-1]) {
		return fmt.Errorf("%q names a directory; name a file to write", path)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s: is a directory, which pith will not replace; choose another output", path)
	}
	return nil
}

// atomicFile is what finishAtomic needs of a file; tests give one whose methods fail.
type atomicFile interface {
	io.WriteCloser
	Sync() error
}

func finishAtomic(path, partial string, f atomicFile, write func(w io.Writer) error) error {
	closed, renamed := false, false
	defer func() { // also when write panics
		if !closed {
			f.Close()
		}
		if !renamed {
			os.Remove(partial)
		}
	}()
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := write(buffered); err != nil {
		return fmt.Errorf("%s: not written: %w", path, WithRemedy(err))
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("%s: not written: %w", path, WithRemedy(err))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%s: not written: sync: %w", path, WithRemedy(err))
	}
	closed = true
	if err := f.Close(); err != nil {
		return fmt.Errorf("%s: not written: close: %w", path, WithRemedy(err))
	}
	if err := os.Rename(partial, path); err != nil {
		return fmt.Errorf("%s: not written: %w", path, err)
	}
	renamed = true
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir durable. Windows has no such call; some file systems refuse it for directories.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("%s: cannot sync the directory: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("%s: cannot sync the directory: %w", dir, err)
	}
	return nil
}

// WithRemedy adds what to do to the errors a user meets when writing.
func WithRemedy(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: the disk is full; free space or choose another directory, then run the same command again", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: choose a directory you may write to", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: make the directory first", err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: a file is where a directory has to be; remove it or choose another output", err)
	}
	return err
}
