//go:build unix

package compress

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pith/checkpoint"
)

// limitFiles makes writes beyond n bytes of a file fail in this process, as those to a full disk do.
func limitFiles(n uint64) error {
	signal.Ignore(syscall.SIGXFSZ)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n})
}

func TestAFailingWriteLeavesNothingHalfWrittenAndResumes(t *testing.T) {
	t.Parallel()
	src := source(t, "mini")
	want := filepath.Join(t.TempDir(), "want")
	rerun(t, src, want)
	for _, limit := range []string{"40000", "300000"} { // the first shard does not fit; only the first does
		out := filepath.Join(t.TempDir(), "out")
		text, err := command(src, out, "PITH_TEST_FILE_LIMIT="+limit).CombinedOutput()
		if err == nil || !strings.Contains(string(text), out) || strings.Count(string(text), "\n") != 1 {
			t.Fatalf("limit %s: %v, message %q", limit, err, text)
		}
		checkFinalPaths(t, out, want)
		entries, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".partial") || e.Name() == checkpoint.ManifestName {
				t.Errorf("limit %s: %s is left", limit, e.Name())
			}
		}
		rerun(t, src, out)
		sameFiles(t, "resumed after failing writes", out, want)
	}
}
