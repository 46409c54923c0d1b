package observe

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pith/calib"
	"pith/checkpoint"
	"pith/internal/lock"
	"pith/kernels"
)

// TestMain lets the test binary stand for a program that calibrates, so that a test can kill it.
func TestMain(m *testing.M) {
	if src := os.Getenv("PITH_TEST_SOURCE"); src != "" {
		if err := child(src, os.Getenv("PITH_TEST_OUT")); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(2)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child calibrates, slowly if asked to.
func child(src, out string) error {
	c, err := checkpoint.Open(src)
	if err != nil {
		return err
	}
	if _, err := kernels.Level(); err != nil {
		return err
	}
	o := Options{Context: 64, HiddenBytes: 1, TempDir: filepath.Dir(out), Progress: func(Progress) {
		if os.Getenv("PITH_TEST_SLOWLY") != "" {
			time.Sleep(100 * time.Millisecond)
		}
	}}
	b, err := New(context.Background(), c, []Text{text("a.txt", 3000)}, o)
	if err != nil {
		return err
	}
	_, err = b.Run(context.Background(), out)
	return err
}

func TestKilledRunLeavesWholeFilesAndIsResumed(t *testing.T) {
	c := tiny(t)
	dir := t.TempDir()
	want, path := filepath.Join(dir, "want"), filepath.Join(dir, "got")
	if _, err := observer(t, c, Options{Context: 64}).Run(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "PITH_TEST_SOURCE="+c.Path, "PITH_TEST_OUT="+path, "PITH_TEST_SLOWLY=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 600 { // until the second layer is finished
		if _, err := os.Stat(workDir{path + ".work"}.file(1)); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait() // says that it was killed
	if _, err := os.Stat(path); err == nil {
		t.Skip("the run was over before it was killed")
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() != "want" && e.Name() != "got.work" {
			t.Errorf("%s is left", e.Name())
		}
	}
	entries, _ = os.ReadDir(path + ".work")
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".partial") || e.Name() == lock.DirName {
			continue
		}
		set, err := calib.Open(filepath.Join(path+".work", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		set.Close()
	}
	resumed, err := observer(t, c, Options{Context: 64}).Run(context.Background(), path)
	if err != nil || resumed < 2 {
		t.Errorf("resumed after %d layers (%v)", resumed, err)
	}
	a, _ := os.ReadFile(want)
	b, _ := os.ReadFile(path)
	if !bytes.Equal(a, b) {
		t.Error("other bytes")
	}
	if left, _ := filepath.Glob(path + ".work*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestEveryInstructionLevelGivesTheSameFile(t *testing.T) {
	c := tiny(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "stats")
	if _, err := observer(t, c, Options{Context: 64}).Run(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []string{"generic", "avx2", "avx512"} {
		out := path + "-" + level
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "PITH_TEST_SOURCE="+c.Path, "PITH_TEST_OUT="+out, "PITH_CPU="+level)
		if text, err := cmd.CombinedOutput(); err != nil {
			if level == "generic" {
				t.Fatalf("%v: %s", err, text)
			}
			continue // the processor does not have it
		}
		if got, _ := os.ReadFile(out); !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes", level)
		}
	}
}

func TestOneRunAtATimeWritesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stats")
	held, err := lock.TakeDir(path + ".work")
	if err != nil {
		t.Fatal(err)
	}
	b := observer(t, tiny(t), Options{Context: 64})
	if _, err := b.Run(context.Background(), path); err == nil || !strings.Contains(err.Error(), "another pith calibrate") {
		t.Fatalf("beside another run: %v", err)
	}
	if err := held.Release(true); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Run(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".work"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the working directory is still there (%v)", err)
	}
}
