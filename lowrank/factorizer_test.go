package lowrank

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/linalg"
	"pith/tensor"
)

// rounded is a method that rounds to nearest.
type rounded struct{ codec codec.Codec }

func (r rounded) Name() string      { return "nearest" }
func (r rounded) Needs() calib.Need { return calib.Nothing }
func (r rounded) RowWise() bool     { return false }

func (r rounded) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	grid, err := r.codec.Fit(p.W, nil, codec.FitOptions{})
	if err != nil {
		return nil, approx.Report{}, err
	}
	codec.RoundAll(grid, p.W, p.Workers)
	return grid.Pack(), approx.Report{}, nil
}

func factorizer(t testing.TB, w Weighting, name string) Factorizer {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return Factorizer{Weighting: w, Codec: c, Round: rounded{c.(codec.LowRank).Inner()}}
}

// problem returns a weight whose inputs are correlated and differ in size, with their statistics and squared gradients.
func problem(rows, cols, tokens int) (approx.Problem, tensor.Mat) {
	rng := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	w := tensor.NewMat(rows, cols)
	for i := range w.Data {
		w.Data[i] = float32(rng.NormFloat64())
	}
	mix := tensor.NewMat(cols, cols)
	for i := range mix.Data {
		mix.Data[i] = float32(rng.NormFloat64() * math.Exp2(-float64(i%cols)/8))
	}
	x := tensor.NewMat(tokens, cols)
	for s := range tokens {
		for k := range cols {
			z := float32(rng.NormFloat64())
			for c := range cols {
				x.Row(s)[c] += z * mix.Row(c)[k]
			}
		}
	}
	stats := calib.NewGram(cols)
	stats.Observe(x)
	fisher := &calib.Fisher{Rows: make([]float64, rows), Cols: make([]float64, cols)}
	for i := range rows {
		fisher.Rows[i] = math.Exp2(rng.NormFloat64() * 2)
	}
	for i := range cols {
		fisher.Cols[i] = math.Exp2(rng.NormFloat64() * 2)
	}
	return approx.Problem{Name: "w", W: w, Stats: stats, Fisher: fisher, Workers: 2}, x
}

// outputError returns the mean over tokens of |(W-Ŵ)·x|², computed from the tokens.
func outputError(w, got tensor.Mat, x tensor.Mat) (sum float64) {
	for s := range x.Rows {
		for r := range w.Rows {
			var y float64
			for c, v := range x.Row(s) {
				y += (float64(w.Row(r)[c]) - float64(got.Row(r)[c])) * float64(v)
			}
			sum += y * y
		}
	}
	return sum / float64(x.Rows)
}

func solve(t testing.TB, f Factorizer, p approx.Problem) (codec.Term, approx.Report) {
	t.Helper()
	term, report, err := f.Solve(p)
	if err != nil {
		t.Fatal(err)
	}
	return term, report
}

// H4: what SVD-LLM loses on its calibration is the tail of the spectrum, and no other product of that rank loses less.
func TestSVDLLMLosesTheTailAndNothingOfItsRankLosesLess(t *testing.T) {
	for _, shape := range [][2]int{{24, 40}, {40, 24}, {32, 32}} {
		p, x := problem(shape[0], shape[1], 4*shape[1])
		m, why := gramMetric(p, 0)
		if why != "" {
			t.Fatal(why)
		}
		d, err := decompose(p, m)
		if err != nil {
			t.Fatal(err)
		}
		for _, rank := range []int{1, 5, 11} {
			name := fmt.Sprintf("lr%d-f32", rank)
			term, report := solve(t, factorizer(t, SVDLLM{}, name), p)
			best := outputError(p.W, decoded(term), x)
			// The metric has the floor of the Gram matrix on its diagonal: the tail counts |W-Ŵ|² that much too. Factors are float32.
			var squares float64
			for i, v := range decoded(term).Data {
				e := float64(p.W.Data[i]) - float64(v)
				squares += e * e
			}
			tail := d.tail(rank) - m.ridge*squares
			if math.Abs(best-tail) > 1e-5*d.tail(0) || math.Abs(report.Proxy-best) > 1e-9*d.tail(0) {
				t.Errorf("%v rank %d: loses %g, reported %g, the tail is %g", shape, rank, best, report.Proxy, tail)
			}
			for _, other := range []Weighting{SVD{}, ASVD{}, FWSVD{}, FWSVD{Inputs: true}} {
				theirs, _ := solve(t, factorizer(t, other, name), p)
				if loss := outputError(p.W, decoded(theirs), x); loss < best*(1-1e-5) {
					t.Errorf("%v rank %d: %s loses %g, svd-llm %g", shape, rank, other.Name(), loss, best)
				}
			}
			rng := rand.New(rand.NewPCG(9, uint64(rank)))
			for range 3 {
				v := linalg.NewDense(rank, shape[1])
				for i := range v.Data {
					v.Data[i] = rng.NormFloat64()
				}
				u, _, err := m.leftFactor(linalg.Dense{}, d.w, v, 1) // the best U for it
				if err != nil {
					t.Fatal(err)
				}
				if loss := outputError(p.W, narrowed(u.Times(v, 1)), x); loss < best {
					t.Errorf("%v rank %d: a random product loses %g, svd-llm %g", shape, rank, loss, best)
				}
			}
		}
	}
}

// H5: of the products of a rank, FWSVD's has the least error with rows weighed by the root of the Fisher information, and svd's the least unweighed.
func TestEachWeightingMinimisesItsOwnError(t *testing.T) {
	for _, shape := range [][2]int{{24, 40}, {40, 24}} {
		p, _ := problem(shape[0], shape[1], 100)
		for i := range shape[0] {
			p.Stats.Counts = append(p.Stats.Counts, int64(i*i%97*(i%5)))
		}
		all := []Weighting{SVD{}, FWSVD{}, FWSVD{Inputs: true}, ASVD{}, Frequency{}}
		loss := func(w, solvedBy Weighting) (sum float64) {
			m, _, err := w.Metric(p)
			if err != nil {
				t.Fatal(err)
			}
			term, _ := solve(t, factorizer(t, solvedBy, "lr6-f32"), p)
			got := decoded(term)
			for r := range shape[0] {
				for c, v := range p.W.Row(r) {
					e := float64(v) - float64(got.Row(r)[c])
					if m.Rows != nil {
						e *= m.Rows[r]
					}
					if m.Cols != nil {
						e *= m.Cols[c]
					}
					sum += e * e
				}
			}
			return sum
		}
		for _, w := range all {
			own := loss(w, w)
			for _, other := range all {
				if theirs := loss(w, other); theirs < own*(1-1e-5) {
					t.Errorf("%v: as %s counts, %s loses %g and %s itself %g", shape, w.Name(), other.Name(), theirs, w.Name(), own)
				}
			}
		}
	}
}

// The factors that are stored, coarsely, are fitted to one another: more rounds never lose much more, and one loses less than none on the whole.
func TestFactorsAreFittedToWhatIsStored(t *testing.T) {
	p, x := problem(48, 64, 400)
	f := factorizer(t, SVDLLM{}, "lr24-int3-g32")
	plain, _ := solve(t, f, p)
	before := outputError(p.W, decoded(plain), x)
	// U as it was, rounded on its own, is what one would store without a refit.
	m, _ := gramMetric(p, 0)
	d, err := decompose(p, m)
	if err != nil {
		t.Fatal(err)
	}
	u, v := d.factors(24, 1)
	apart := make([]codec.Term, 2)
	for i, factor := range []linalg.Dense{u, v} {
		if apart[i], _, err = f.Round.Solve(approx.Problem{W: narrowed(factor)}); err != nil {
			t.Fatal(err)
		}
	}
	if loss := outputError(p.W, decoded(f.Codec.(codec.LowRank).Join(apart[0], apart[1])), x); before > 0.9*loss {
		t.Errorf("fitted to the stored V: %g, rounded apart: %g", before, loss)
	}
	f.Rounds = 2
	again, _ := solve(t, f, p)
	if after := outputError(p.W, decoded(again), x); after > before {
		t.Errorf("%g after two more rounds, %g before", after, before)
	}
}

func TestTheUpdateFitsTheOriginalNetworksOutputs(t *testing.T) {
	p, x := problem(20, 32, 300)
	moved := tensor.NewMat(x.Rows, x.Cols)
	rng := rand.New(rand.NewPCG(4, 4))
	for i, v := range x.Data {
		moved.Data[i] = 0.8*v + 0.2*float32(rng.NormFloat64())
	}
	input := tensor.NewMat(x.Rows, x.Cols)
	for i, v := range x.Data {
		input.Data[i] = v - moved.Data[i]
	}
	stats := calib.NewDrift(32, 0)
	stats.ObserveDrift(1, moved, input, tensor.Mat{Rows: x.Rows})
	p.Stats = stats
	loss := func(w Weighting) (sum float64) {
		term, _ := solve(t, factorizer(t, w, "lr8-f32"), p)
		got := decoded(term)
		for s := range x.Rows {
			for r := range p.W.Rows {
				var y float64
				for c, v := range x.Row(s) {
					y += float64(p.W.Row(r)[c])*float64(v) - float64(got.Row(r)[c])*float64(moved.Row(s)[c])
				}
				sum += y * y
			}
		}
		return sum
	}
	if with, without := loss(SVDLLM{Update: true}), loss(SVDLLM{}); with > 0.9*without {
		t.Errorf("%g with the update, %g without", with, without)
	}
}

func TestWhatIsNotKnownIsSaid(t *testing.T) {
	p, _ := problem(16, 16, 50)
	for name, c := range map[string]struct {
		change func(p *approx.Problem)
		w      Weighting
		want   string // in the note
		err    string
	}{
		"no data":          {func(p *approx.Problem) { p.Stats = nil }, SVDLLM{}, "plain svd: no Gram matrix", ""},
		"no data for asvd": {func(p *approx.Problem) { p.Stats = nil }, ASVD{}, "plain svd", ""},
		"no counts":        {func(p *approx.Problem) {}, Frequency{}, "plain svd: how often", ""},
		"moments alone":    {func(p *approx.Problem) { p.Stats = calib.NewStats(16) }, SVDLLM{}, "no Gram matrix", ""},
		"an imatrix":       {func(p *approx.Problem) { p.Stats.AbsSum = nil }, ASVD{}, "root mean squares", ""},
		"no gradients":     {func(p *approx.Problem) { p.Fisher = nil }, FWSVD{}, "", "needs squared gradients"},
		"other gradients":  {func(p *approx.Problem) { p.Fisher = &calib.Fisher{Rows: []float64{1}} }, FWSVD{}, "", "calibrate with this model"},
		"zero gradients":   {func(p *approx.Problem) { p.Fisher = &calib.Fisher{Rows: make([]float64, 16)} }, FWSVD{}, "all zero", ""},
		"dead inputs":      {func(p *approx.Problem) { clear(p.Stats.Gram); clear(p.Stats.SqSum) }, SVDLLM{}, "all zero", ""},
		"quiet":            {func(p *approx.Problem) { p.Stats = nil }, SVDLLM{Quiet: true}, "", ""},
		"not finite":       {func(p *approx.Problem) { p.W.Row(3)[4] = float32(math.NaN()) }, SVDLLM{}, "", "row 3, column 4"},
		"too large":        {func(p *approx.Problem) { p.W = tensor.NewMat(4, 4) }, SVD{}, "", "use at most 4"},
	} {
		q, _ := problem(16, 16, 50)
		q.Fisher = p.Fisher
		c.change(&q)
		_, report, err := factorizer(t, c.w, "lr5-f32").Solve(q)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "w: ") {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "" && report.Fallback != "" || !strings.Contains(report.Fallback, c.want):
			t.Errorf("%s: note %q, want %q", name, report.Fallback, c.want)
		}
	}
	f := Factorizer{Weighting: SVD{}, Codec: mustParse(t, "int4-g64")}
	if err := f.Check(); err == nil || !strings.Contains(err.Error(), "lr64-int8-g64") {
		t.Error(err)
	}
}

func mustParse(t testing.TB, name string) codec.Codec {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The spectrum says what factors of every rank lose, without rounding.
func TestSpectraSayWhatRanksLose(t *testing.T) {
	p, x := problem(32, 48, 400)
	zero := outputError(p.W, tensor.NewMat(32, 48), x)
	for rank, name := range map[int]string{2: "lr2-f32", 8: "lr8-f32"} {
		f := factorizer(t, SVDLLM{}, name)
		s, err := f.Spectrum(p)
		if err != nil {
			t.Fatal(err)
		}
		term, _ := solve(t, f, p)
		if loss := outputError(p.W, decoded(term), x) / zero; math.Abs(loss-s.Tails[rank]/s.Tails[0]) > 1e-5 {
			t.Errorf("%s: loses %g, the spectrum says %g", name, loss, s.Tails[rank]/s.Tails[0])
		}
	}
}

// solved returns all bytes of some solutions.
func solved(t testing.TB, workers int) string {
	var all strings.Builder
	for _, shape := range [][2]int{{72, 200}, {200, 72}} {
		p, _ := problem(shape[0], shape[1], 250)
		p.Workers = workers
		for _, w := range []Weighting{SVD{}, ASVD{}, FWSVD{}, SVDLLM{}, SVDLLM{Damping: 0.1}} {
			f := factorizer(t, w, "lr20-int4-g32")
			f.Rounds = 1
			term, report := solve(t, f, p)
			for _, part := range term.Parts() {
				fmt.Fprintf(&all, "%s %x\n", part.Name, part.Data)
			}
			fmt.Fprintf(&all, "%v\n", report)
		}
	}
	return all.String()
}

const childEnv = "PITH_TEST_LOWRANK_CHILD"

func TestFactorsAreTheSameForAnyWorkersAndInstructions(t *testing.T) {
	want := solved(t, 1)
	if os.Getenv(childEnv) != "" {
		fmt.Print("BEGIN" + want + "END")
		return
	}
	if solved(t, 3) != want {
		t.Error("workers change the factors")
	}
	for _, level := range []string{"generic", "avx2"} {
		c := exec.Command(os.Args[0], "-test.run=TestFactorsAreTheSameForAnyWorkersAndInstructions")
		c.Env = append(os.Environ(), childEnv+"=1", "PITH_CPU="+level)
		out, err := c.Output()
		if err != nil {
			t.Logf("PITH_CPU=%s: %v: not compared", level, err)
			continue
		}
		_, rest, _ := strings.Cut(string(out), "BEGIN")
		if got, _, _ := strings.Cut(rest, "END"); got != want {
			t.Errorf("PITH_CPU=%s: other factors", level)
		}
	}
}

func TestNamesOfExponentsAreReadAsTheyAreWritten(t *testing.T) {
	for name, alpha := range map[string]float64{"asvd": 0, "asvd0.25": 0.25, "asvd1": 1, "asvd4": 4} {
		a, ok := ParseASVD(name)
		if !ok || a.Alpha != alpha || a.Name() != name {
			t.Errorf("%s: %+v, %v, written %s", name, a, ok, a.Name())
		}
	}
	for _, name := range []string{"", "svd", "asvd0", "asvd0.50", "asvd0.5", "asvd-1", "asvd5", "asvdnan", "asvd1e0", "asvd+1", "asvd 1"} {
		if a, ok := ParseASVD(name); ok {
			t.Errorf("%q is read as %+v", name, a)
		}
	}
}
