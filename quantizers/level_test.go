package quantizers

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pith/approx"
	"pith/kernels"
)

// digests gives a line for the bytes and losses of each method.
func digests(t *testing.T) string {
	var out strings.Builder
	for _, cols := range []int{96, 200, 320} {
		p := approx.Problem{Name: "w", W: gaussian(31, 70, cols), Stats: correlated(32, cols, 150), Workers: 2}
		for i, m := range []approx.Method{
			LDLQ{Codec: parse(t, "int3-g64"), Search: true, Ordered: true, Refit: true, Sweeps: 2},
			GPTQ{Codec: parse(t, "int4-g32-asym"), Refit: true},
			Incoherent{LDLQ{Codec: parse(t, "tcq-lut7-2.5"), Gains: []float32{1, 1.1, 1.2}, Refit: true, Sweeps: 1}},
			LDLQ{Codec: parse(t, "q4_0"), Search: true, Sweeps: 1},
			Codebook{Codec: parse(t, "sketch3-p2"), Rounds: 2},
			Codebook{Codec: parse(t, "jlcm2-k5-s"), Rounds: 2},
		} {
			if cols%32 != 0 && i == 3 {
				continue
			}
			fmt.Fprintf(&out, "method %d, %d columns: %s\n", i, cols, digest(t, m, p))
		}
	}
	problems := hostileProblems()
	for _, what := range slices.Sorted(maps.Keys(problems)) {
		fmt.Fprintf(&out, "%s: %s\n", what, digest(t, Incoherent{LDLQ{Codec: parse(t, "int2-g64"), Refit: true}}, problems[what]))
	}
	return out.String()
}

// digest sums up what a method makes of a problem.
func digest(t *testing.T, m approx.Method, p approx.Problem) string {
	term, report := solveWith(t, m, p)
	h := sha256.New()
	for _, part := range term.Parts() {
		h.Write(part.Data)
	}
	return fmt.Sprintf("%x, losses %v %v, %s", h.Sum(nil)[:8], report.Proxy, report.ProxyNorm, report.Fallback)
}

func TestBytesAreIdenticalAtAllLevelsOfInstructions(t *testing.T) {
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
