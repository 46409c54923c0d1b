//go:build unix

package compress

import "golang.org/x/sys/unix"

// freeBytes returns the bytes an ordinary user may still write to the file system of dir; ok is false if that is unknown.
func freeBytes(dir string) (n int64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
