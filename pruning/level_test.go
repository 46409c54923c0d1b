package pruning

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pith/kernels"
)

// digests gives a line for the mask and values of each combination.
func digests(t *testing.T) string {
	var out strings.Builder
	l := newLayer(40, 18, 200, 300, 1)
	for _, selector := range []Selector{Matrix{}, Row{}, Block{}, Cumulative{}, Group{2, 4}} {
		for _, solver := range solvers() {
			task := prune(t, l, OBS{}, selector, solver, 2)
			h := sha256.New()
			for _, word := range task.Mask.Bits {
				h.Write(binary.LittleEndian.AppendUint64(nil, word))
			}
			for _, v := range task.Values.Data {
				h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
			}
			fmt.Fprintf(&out, "%s %s: %x\n", selector.Name(), solver.Name(), h.Sum(nil)[:8])
		}
	}
	return out.String()
}

func TestResultsAreIdenticalAtAllLevelsOfInstructions(t *testing.T) {
	const ask = "PITH_TEST_DIGESTS"
	if path := os.Getenv(ask); path != "" {
		if _, err := kernels.Level(); err == nil {
			if err := os.WriteFile(path, []byte(digests(t)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	want := strings.Split(digests(t), "\n")
	for _, level := range []string{"generic", "avx2", "avx512"} {
		path := t.TempDir() + "/digests"
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), "PITH_NOSIMD=", "PITH_CPU="+level, ask+"="+path)
		if text, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", level, err, text)
		}
		got, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			t.Logf("this processor does not have %s", level)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(got), "\n") {
			if line != want[i] {
				t.Errorf("%s: %s, want %s", level, line, want[i])
			}
		}
	}
}
