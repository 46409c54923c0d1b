package quantizers

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/linalg"
	"pith/tensor"
)

var _ approx.Method = LDLQ{}

// correlated returns the statistics of tokens whose features are mixtures of few sources, some features ten times as large.
func correlated(seed uint64, features, tokens int) *calib.Stats {
	rng := rand.New(rand.NewPCG(seed, 5))
	sources := max(1, features/4)
	mix := make([]float32, features*sources)
	for i := range mix {
		mix[i] = float32(rng.NormFloat64())
		if i/sources%13 == 5 {
			mix[i] *= 10
		}
	}
	x := tensor.NewMat(tokens, features)
	s := make([]float32, sources)
	for t := range tokens {
		for i := range s {
			s[i] = float32(rng.NormFloat64())
		}
		row := x.Row(t)
		for c := range row {
			row[c] = float32(rng.NormFloat64()) * 0.3
			for i, v := range s {
				row[c] += float32(v*mix[c*sources+i]) / 4
			}
		}
	}
	stats := calib.NewGram(features)
	stats.Observe(x)
	return stats
}

// identity returns statistics whose H is the identity.
func identity(features int) *calib.Stats {
	s := calib.NewGram(features)
	s.Tokens = 100
	for i := range features {
		s.SqSum[i] = 100
		s.GramRow(i)[i] = 100
	}
	return s
}

// gramLoss returns tr((W-Ŵ)·H·(W-Ŵ)ᵀ), H the mean of x·xᵀ plus ridge on the diagonal, in float64.
func gramLoss(w tensor.Mat, got tensor.Mat, s *calib.Stats, ridge func(j int) float64) (sum float64) {
	e := make([]float64, w.Cols)
	for r := range w.Rows {
		for c := range e {
			e[c] = float64(w.Row(r)[c]) - float64(got.Row(r)[c])
		}
		for i := range e {
			for j, v := range s.GramRow(i) {
				h := v / float64(s.Tokens)
				if i == j {
					sum += e[i] * e[i] * (h + ridge(i))
					continue
				}
				sum += 2 * e[i] * e[j] * h
			}
		}
	}
	return sum
}

func none(int) float64 { return 0 }

func decoded(term codec.Term) tensor.Mat {
	rows, cols := term.Dims()
	m := tensor.NewMat(rows, cols)
	codec.Read(term, m, 0)
	return m
}

func solveWith(t *testing.T, m approx.Method, p approx.Problem) (codec.Term, approx.Report) {
	t.Helper()
	term, report, err := m.Solve(p)
	if err != nil {
		t.Fatal(err)
	}
	return term, report
}

func sameBytes(t *testing.T, what string, got, want codec.Term) {
	t.Helper()
	for i, p := range want.Parts() {
		if !bytes.Equal(got.Parts()[i].Data, p.Data) {
			t.Errorf("%s: part %s differs", what, p.Name)
		}
	}
}

func TestLDLQOfUncorrelatedInputsIsNearest(t *testing.T) {
	p := approx.Problem{Name: "w", W: gaussian(1, 37, 256), Stats: identity(256)}
	for _, name := range []string{"int2-g64", "int3-grow-asym", "int4-g32", "int8-g128", "q4_0", "q4_k", "q6_k", "bf16"} {
		want, _ := solve(t, Nearest{Codec: parse(t, name)}, p)
		for _, ordered := range []bool{false, true} {
			got, report := solveWith(t, LDLQ{Codec: parse(t, name), Ordered: ordered}, p)
			if report.Fallback != "" {
				t.Errorf("%s: %s", name, report.Fallback)
			}
			sameBytes(t, name, got, want)
		}
	}
}

func TestLDLQLosesLessThanNearest(t *testing.T) {
	for _, cols := range []int{96, 172, 256, 480} {
		stats := correlated(uint64(cols), cols, 300)
		p := approx.Problem{Name: "w", W: gaussian(2, 40, cols), Stats: stats}
		for _, name := range []string{"int2-g64", "int3-g32-asym", "int4-g128", "int8-grow"} {
			for _, search := range []bool{false, true} {
				near, _ := solve(t, Nearest{Codec: parse(t, name), Search: search}, p)
				worst := gramLoss(p.W, decoded(near), stats, none)
				for _, ordered := range []bool{false, true} {
					got, report := solveWith(t, LDLQ{Codec: parse(t, name), Search: search, Ordered: ordered}, p)
					loss := gramLoss(p.W, decoded(got), stats, none)
					if loss > 0.8*worst {
						t.Errorf("%s, %d columns, search %t, ordered %t: loss %g, nearest %g", name, cols, search, ordered, loss, worst)
					}
					if math.Abs(report.Proxy-loss) > 1e-4*loss {
						t.Errorf("%s, %d columns: reported loss %g, is %g", name, cols, report.Proxy, loss)
					}
					if norm := gramLoss(p.W, tensor.NewMat(40, cols), stats, none); math.Abs(report.ProxyNorm-norm) > 1e-4*norm {
						t.Errorf("%s, %d columns: reported norm %g, is %g", name, cols, report.ProxyNorm, norm)
					}
				}
			}
		}
	}
}

// gptq is the algorithm as Frantar et al. 2022 print it, with the Cholesky factor of the inverse, on columns from the first to the
// last, in float64 and without blocks. h is damped already.
func gptq(w tensor.Mat, h linalg.Matrix, round func(row int, target float64, c int) float64) [][]float64 {
	n := w.Cols
	l := h.Clone()
	if err := linalg.Cholesky(l, 1); err != nil {
		panic(err)
	}
	inverse := linalg.Inverse(l, 1)
	// H⁻¹ = Uᵀ·U with U upper triangular is the Cholesky factor transposed.
	if err := linalg.Cholesky(inverse, 1); err != nil {
		panic(err)
	}
	u := func(i, j int) float64 { return inverse.Row(j)[i] }
	out := make([][]float64, w.Rows)
	for r := range out {
		row := make([]float64, n)
		for c := range row {
			row[c] = float64(w.Row(r)[c])
		}
		for c := range n {
			q := round(r, row[c], c)
			e := (row[c] - q) / u(c, c)
			for j := c; j < n; j++ {
				row[j] -= e * u(c, j)
			}
			row[c] = q
		}
		out[r] = row
	}
	return out
}

func TestLDLQIsGPTQOfReversedColumns(t *testing.T) {
	const rows, cols = 12, 75
	w := gaussian(3, rows, cols)
	stats := correlated(4, cols, 200)
	term, _ := solveWith(t, LDLQ{Codec: parse(t, "int4-grow")}, approx.Problem{Name: "w", W: w, Stats: stats})
	got := decoded(term)

	f, why, _ := newFeedback(approx.Problem{W: w, Stats: stats}, 0, false)
	if why != "" {
		t.Fatal(why)
	}
	reversed := tensor.NewMat(rows, cols)
	h := linalg.NewMatrix(cols)
	for i := range cols {
		for r := range rows {
			reversed.Row(r)[i] = w.Row(r)[cols-1-i]
		}
		for j := range cols {
			a, b := cols-1-i, cols-1-j
			h.Row(i)[j] = stats.GramRow(max(a, b))[min(a, b)] / float64(stats.Tokens)
		}
		h.Row(i)[i] += f.added[0]
	}
	grid, err := parse(t, "int4-grow").Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	one := tensor.NewMat(rows, cols)
	want := gptq(reversed, h, func(row int, target float64, c int) float64 {
		one.Row(row)[cols-1-c] = float32(target)
		grid.Round(one, cols-1-c)
		return float64(one.Row(row)[cols-1-c])
	})
	for r := range rows {
		for c := range cols {
			if float64(got.Row(r)[c]) != want[r][cols-1-c] {
				t.Fatalf("row %d, column %d is %g, GPTQ gives %g", r, c, got.Row(r)[c], want[r][cols-1-c])
			}
		}
	}
}

// stepped is a codec whose grids round step columns together and keep the targets that they were given.
type stepped struct {
	codec.Codec
	step    int
	targets tensor.Mat
}

type steppedGrid struct {
	codec.Grid
	of *stepped
}

func (s *stepped) Fit(w tensor.Mat, importance []float32, o codec.FitOptions) (codec.Grid, error) {
	g, err := s.Codec.Fit(w, importance, o)
	s.targets = tensor.NewMat(w.Rows, w.Cols)
	return steppedGrid{g, s}, err
}

func (g steppedGrid) Step() int { return g.of.step }

func (g steppedGrid) Round(w tensor.Mat, c int) {
	for i := c; i < min(c+g.of.step, w.Cols); i++ {
		for r := range w.Rows {
			g.of.targets.Row(r)[i] = w.Row(r)[i]
		}
		g.Grid.Round(w, i)
	}
}

// The loss that feedback leaves is the rounding errors' own, weighted by the blocks of D: tr(E·H·Eᵀ) = Σ_B tr(E_B·D_B·E_Bᵀ) with
// E_B = target_B - Ŵ_B.
func TestLossIsThatOfRoundingErrorsWeightedByD(t *testing.T) {
	for _, cols := range []int{64, 75, 200} {
		for _, step := range []int{1, 2, 3, 4, 8, 16, 24} {
			c := &stepped{Codec: parse(t, "int3-g32"), step: step}
			stats := correlated(5, cols, 2*cols)
			p := approx.Problem{Name: "w", W: gaussian(6, 9, cols), Stats: stats}
			term, report := solveWith(t, LDLQ{Codec: c, Ordered: step > 1}, p)
			f, _, _ := newFeedback(p, 0, false)
			l := linalg.NewMatrix(cols)
			for i := range cols {
				for j, v := range stats.GramRow(i) {
					l.Row(i)[j] = v / float64(stats.Tokens)
				}
				l.Row(i)[i] += f.added[i]
			}
			if err := linalg.Cholesky(l, 1); err != nil {
				t.Fatal(err)
			}
			got := decoded(term)
			var want float64
			for b, d := range linalg.BlockLDL(l, step, 1).D {
				n := min(step, cols-b*step)
				for r := range p.W.Rows {
					for i := range n {
						for j := range n {
							e := func(k int) float64 { return float64(c.targets.Row(r)[b*step+k] - got.Row(r)[b*step+k]) }
							want += e(i) * d[i*n+j] * e(j)
						}
					}
				}
			}
			loss := gramLoss(p.W, got, stats, func(j int) float64 { return f.added[j] })
			if math.Abs(loss-want) > 1e-4*loss {
				t.Errorf("%d columns, step %d: loss %g, Σ tr(E D Eᵀ) %g", cols, step, loss, want)
			}
			if undamped := gramLoss(p.W, got, stats, none); math.Abs(report.Proxy-undamped) > 1e-4*undamped {
				t.Errorf("%d columns, step %d: reported %g, is %g", cols, step, report.Proxy, undamped)
			}
		}
	}
}

func TestLDLQGivesTheSameBytesForAnyNumberOfWorkers(t *testing.T) {
	w := gaussian(7, 131, 300)
	for _, name := range []string{"int3-g64", "q4_1"} {
		var first codec.Term
		cols := 300
		if name[0] == 'q' {
			cols = 288
		}
		for _, workers := range []int{1, 2, 7} {
			p := approx.Problem{Name: "w", W: tensor.Of(131, cols, w.Data[:131*cols]), Stats: correlated(8, cols, 500), Workers: workers}
			term, _ := solveWith(t, LDLQ{Codec: parse(t, name), Ordered: true, Gains: []float32{0.8, 0.9, 1}}, p)
			if first == nil {
				first = term
			}
			sameBytes(t, fmt.Sprintf("%s, %d workers", name, workers), term, first)
		}
	}
}

func TestUnusableStatisticsFallBackToNearest(t *testing.T) {
	const cols = 96
	damaged := func(change func(s *calib.Stats)) *calib.Stats {
		s := correlated(9, cols, 300)
		change(s)
		return s
	}
	moments := calib.NewStats(cols)
	moments.Observe(gaussian(1, 20, cols))
	one := calib.NewGram(cols)
	one.Observe(gaussian(1, 1, cols))
	silent := calib.NewGram(cols)
	silent.Observe(tensor.NewMat(50, cols))
	for _, c := range []struct {
		why   string
		stats *calib.Stats
	}{
		{"no Gram matrix", nil},
		{"no Gram matrix", moments},
		{"statistics of 0 tokens", calib.NewGram(cols)},
		{"statistics of 1 tokens", one},
		{"all zero", silent},
		{"element (7, 3) is NaN", damaged(func(s *calib.Stats) { s.GramRow(7)[3] = math.NaN() })},
		{"element (9, 9) is +Inf", damaged(func(s *calib.Stats) { s.GramRow(9)[9] = math.Inf(1) })},
		{"diagonal element 4 is negative", damaged(func(s *calib.Stats) { s.GramRow(4)[4] = -1 })},
		{"not positive definite", damaged(func(s *calib.Stats) { s.GramRow(9)[2] = 1e9 })},
	} {
		p := approx.Problem{Name: "w", W: gaussian(10, 5, cols), Stats: c.stats}
		term, report := solveWith(t, LDLQ{Codec: parse(t, "int4-g32")}, p)
		if !strings.HasPrefix(report.Fallback, "rounded to nearest: ") || !strings.Contains(report.Fallback, c.why) {
			t.Errorf("fallback %q, want one that says %q", report.Fallback, c.why)
		}
		want, _ := solve(t, Nearest{Codec: parse(t, "int4-g32")}, p)
		sameBytes(t, c.why, term, want)
	}
}

func TestDeadColumnsAreRoundedToNearest(t *testing.T) {
	const cols = 100
	stats := correlated(11, cols, 400)
	dead := []int{0, 17, 99}
	for _, d := range dead {
		for i := range cols {
			stats.GramRow(max(i, d))[min(i, d)] = 0
		}
		stats.SqSum[d] = 0
	}
	p := approx.Problem{Name: "w", W: gaussian(12, 20, cols), Stats: stats}
	near, _ := solve(t, Nearest{Codec: parse(t, "int3-g32")}, p)
	for _, ordered := range []bool{false, true} {
		term, report := solveWith(t, LDLQ{Codec: parse(t, "int3-g32"), Ordered: ordered}, p)
		if report.Fallback != "" {
			t.Error(report.Fallback)
		}
		a, b := decoded(term), decoded(near)
		for r := range p.W.Rows {
			for _, d := range dead {
				if a.Row(r)[d] != b.Row(r)[d] {
					t.Errorf("dead column %d of row %d is %g, nearest %g", d, r, a.Row(r)[d], b.Row(r)[d])
				}
			}
		}
		if loss := gramLoss(p.W, a, stats, none); math.Abs(loss-report.Proxy) > 1e-4*loss {
			t.Errorf("reported loss %g, is %g", report.Proxy, loss)
		}
	}
}

// With fewer tokens than columns H is singular: damping makes it usable.
func TestFewTokensAreEnoughWithDamping(t *testing.T) {
	const cols = 160
	stats := correlated(13, cols, 20)
	p := approx.Problem{Name: "w", W: gaussian(14, 20, cols), Stats: stats}
	near, _ := solve(t, Nearest{Codec: parse(t, "int4-g32")}, p)
	term, report := solveWith(t, LDLQ{Codec: parse(t, "int4-g32")}, p)
	if report.Fallback != "" {
		t.Error(report.Fallback)
	}
	if got, worst := gramLoss(p.W, decoded(term), stats, none), gramLoss(p.W, decoded(near), stats, none); got > worst/4 {
		t.Errorf("loss %g, nearest %g", got, worst)
	}
}
