//go:build !unix

package lock

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// staleAfter is when a lock that nobody touched is taken over: without flock a killed run leaves its file behind.
const staleAfter = 24 * time.Hour

// Take makes the file at path, which must not exist.
func Take(path string) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && time.Since(st.ModTime()) > staleAfter {
		os.Remove(path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, ErrHeld
	}
	return f, err
}
