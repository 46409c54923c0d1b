package formats

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestMain lets the test binary also be the process that TestKilledWriter… kills.
func TestMain(m *testing.M) {
	if path := os.Getenv("PITH_TEST_WRITE_FOREVER"); path != "" {
		writeForever(path)
	}
	os.Exit(m.Run())
}

const killedFileSize = 3 << 20

// writeForever replaces path by 3 MiB of one byte, then of the next, and so on.
func writeForever(path string) {
	for i := byte(1); ; i++ {
		err := WriteFileAtomic(path, func(w io.Writer) error {
			_, err := w.Write(bytes.Repeat([]byte{i}, killedFileSize))
			return err
		})
		if err != nil {
			os.Exit(3)
		}
	}
}

func TestKilledWriterNeverLeavesAPartOfAFile(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "f")
	whole := 0
	for range 25 {
		child := exec.Command(self)
		child.Env = append(os.Environ(), "PITH_TEST_WRITE_FOREVER="+path)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+rand.IntN(60)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Errorf("the writer had stopped by itself: %v", err)
		}
		child.Wait()
		got, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != killedFileSize || !bytes.Equal(got, bytes.Repeat(got[:1], killedFileSize)) {
			t.Fatalf("%d bytes of a file of %d, or bytes of two files, at the final path", len(got), killedFileSize)
		}
		whole++
	}
	if whole == 0 {
		t.Error("no file was ever finished before the kill: the test shows nothing on this machine, give it more time")
	}
}
