package compress

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pith/checkpoint"
	"pith/formats"
	"pith/internal/lock"
	"pith/plan"
)

// TestMain lets the test binary stand for a program that compresses, so that tests can kill it or set its environment.
func TestMain(m *testing.M) {
	if src := os.Getenv("PITH_TEST_SOURCE"); src != "" {
		os.Exit(child(src, os.Getenv("PITH_TEST_OUT")))
	}
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() && os.Getenv("TMPDIR") == "" && os.Getenv("PITH_MEASURE") == "" {
		os.Setenv("TMPDIR", "/dev/shm") // syncing a thousand small files takes a minute on a busy disk
	}
	code := m.Run()
	for _, dir := range made.dirs {
		os.RemoveAll(filepath.Dir(dir))
	}
	os.Exit(code)
}

func child(src, out string) int {
	if n, err := strconv.ParseUint(os.Getenv("PITH_TEST_FILE_LIMIT"), 10, 64); err == nil {
		if err := limitFiles(n); err != nil {
			panic(err)
		}
	}
	err := compressMixed(src, out)
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 2
	}
	return 0
}

func compressMixed(src, out string) error {
	c, err := checkpoint.Open(src)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := plan.ParseRecipe("recipe.yaml", []byte(mixed))
	if err != nil {
		return err
	}
	p, err := plan.Resolve(c, r)
	if err != nil {
		return err
	}
	_, err = Run(context.Background(), c, p, out, Options{Workers: 2})
	return err
}

// command returns the test binary set up to compress src into out.
func command(src, out string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "PITH_TEST_SOURCE="+src, "PITH_TEST_OUT="+out), env...)
	return cmd
}

// rerun compresses in another process.
func rerun(t testing.TB, src, out string, env ...string) {
	t.Helper()
	if text, err := command(src, out, env...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// TestKilledAtAnyMomentNeverLeavesAnInvalidFile kills a compression at random moments, as kill -9 does, until it gets through: every file
// at a final path is whole at each of them, and the end is byte-identical to an undisturbed run. PITH_KILLS=25 does the acceptance
// test's number; PITH_SEED repeats a run.
func TestKilledAtAnyMomentNeverLeavesAnInvalidFile(t *testing.T) {
	t.Parallel()
	kills := 4
	if n, err := strconv.Atoi(os.Getenv("PITH_KILLS")); err == nil {
		kills = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("PITH_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("PITH_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	src := source(t, "mini")
	want := filepath.Join(t.TempDir(), "want")
	start := time.Now()
	rerun(t, src, want)
	whole := time.Since(start)
	done := 0
	for done < kills {
		out := filepath.Join(t.TempDir(), "out")
		for finished := false; !finished; {
			cmd := command(src, out)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan error, 1)
			go func() { exited <- cmd.Wait() }()
			limit := time.Duration(rng.Float64() * float64(whole))
			if done >= kills {
				limit = time.Minute
			}
			select {
			case err := <-exited:
				if err != nil {
					t.Fatalf("compression failed by itself: %v", err)
				}
				finished = true
			case <-time.After(limit):
				if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				if <-exited != nil {
					done++
				} else {
					finished = true
				}
				checkFinalPaths(t, out, want)
			}
		}
		sameFiles(t, "after kills", out, want)
	}
}

// checkFinalPaths compares every file at a final path with the undisturbed run's.
func checkFinalPaths(t *testing.T, out, want string) {
	t.Helper()
	entries, err := os.ReadDir(out)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, ".partial") || name == lock.DirName || name == checkpoint.PlanName {
			continue
		}
		got, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		ref, err := os.ReadFile(filepath.Join(want, name))
		if err != nil || string(got) != string(ref) {
			t.Errorf("%s is not what an undisturbed run writes (%d bytes, %v)", name, len(got), err)
		}
		if strings.HasSuffix(name, ".safetensors") {
			f, err := formats.OpenSafetensors(filepath.Join(out, name))
			if err != nil {
				t.Error(err)
				continue
			}
			f.Close()
		}
	}
}
