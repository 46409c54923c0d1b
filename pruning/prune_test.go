package pruning_test

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
	"pith/pruning"
	"pith/quantizers"
	"pith/tensor"
)

var _ approx.Method = pruning.Prune{}

// problem draws a weight and inputs that are mixtures of few sources.
func problem(seed uint64, rows, cols int) approx.Problem {
	rng := rand.New(rand.NewPCG(seed, 9))
	w, x := tensor.NewMat(rows, cols), tensor.NewMat(4*cols, cols)
	for i := range w.Data {
		w.Data[i] = float32(rng.NormFloat64()) / 16
	}
	mix := make([]float64, cols*8)
	for i := range mix {
		mix[i] = rng.NormFloat64()
	}
	for t := range x.Rows {
		var sources [8]float64
		for i := range sources {
			sources[i] = rng.NormFloat64()
		}
		for c := range cols {
			v := 0.5 * rng.NormFloat64()
			for i, s := range sources {
				v += s * mix[c*8+i]
			}
			x.Row(t)[c] = float32(v * (0.2 + float64(c%7)))
		}
	}
	stats := calib.NewGram(cols)
	stats.Observe(x)
	return approx.Problem{Name: "w", W: w, Stats: stats, Workers: 1}
}

func named(t testing.TB, name string) codec.Codec {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// method makes "scorer selector solver"; the selector "-" is the codec's.
func method(t testing.TB, parts, codecName string) pruning.Prune {
	t.Helper()
	var names [3]string
	fmt.Sscan(parts, &names[0], &names[1], &names[2])
	names[2] = strings.ReplaceAll(names[2], "_", "-")
	m := pruning.Prune{Codec: named(t, codecName)}
	var err [3]error
	m.Scorer, err[0] = pruning.ParseScorer(names[0])
	if names[1] != "-" {
		m.Selector, err[1] = pruning.ParseSelector(names[1])
	}
	m.Solver, err[2] = pruning.ParseSolver(names[2])
	for _, e := range err {
		if e != nil {
			t.Fatal(e)
		}
	}
	return m
}

func mustSolve(t testing.TB, m approx.Method, p approx.Problem) (codec.Term, approx.Report) {
	t.Helper()
	term, report, err := m.Solve(p)
	if err != nil {
		t.Fatal(err)
	}
	return term, report
}

func values(term codec.Term) tensor.Mat {
	m := tensor.NewMat(term.Dims())
	codec.Read(term, m, 0)
	return m
}

func TestWhatStaysIsStoredInTheBytesThatTheCodecSays(t *testing.T) {
	p := problem(1, 21, 200)
	for _, name := range []string{"f32-s50", "f16-s62.5", "f16-2:4", "bf16-csr90", "f16-s90e", "int8-grow-s70", "int4-g128-2:4", "int4-g128-2:4e", "int3-g32-4:8", "int4-g64-s50", "f32-7:64"} {
		c := named(t, name).(codec.Sparse)
		for _, parts := range []string{"magnitude - zero", "wanda - zero", "obs - obs", "wanda - refit", "obs - obs-refit", "random-3 - gradual"} {
			m := method(t, parts, name)
			if _, of := c.Group(); of == 0 {
				m.Selector = pruning.Block{}
			}
			term, report := mustSolve(t, m, p)
			if term.Bytes() != c.Size(21, 200) || term.Codec() != name || report.Fallback != "" {
				t.Errorf("%s %s: %d bytes of %s, want %d; %s", name, parts, term.Bytes(), term.Codec(), c.Size(21, 200), report.Fallback)
			}
			stay := 0
			for _, v := range values(term).Data {
				if v != 0 {
					stay++
				}
			}
			if int64(stay) > c.Kept(21, 200) || int64(stay) < c.Kept(21, 200)*8/10 { // codes may be zero
				t.Errorf("%s %s: %d values are not zero, %d are kept", name, parts, stay, c.Kept(21, 200))
			}
			p.Workers = 3
			other, _ := mustSolve(t, m, p)
			p.Workers = 1
			sameParts(t, name+" "+parts, other, term)
		}
	}
}

func sameParts(t *testing.T, what string, got, want codec.Term) {
	t.Helper()
	for i, p := range want.Parts() {
		if !bytes.Equal(got.Parts()[i].Data, p.Data) {
			t.Errorf("%s: part %s differs", what, p.Name)
		}
	}
}

func TestKeptWeightsAreTheSourcesBits(t *testing.T) { // H1
	p := problem(2, 40, 256)
	for _, name := range []string{"f32-s50", "f32-2:4", "f32-4:8"} {
		for _, parts := range []string{"magnitude - zero", "wanda - zero"} {
			term, _ := mustSolve(t, method(t, parts, name), p)
			n := 0
			for i, v := range values(term).Data {
				switch {
				case v == 0:
				case math.Float32bits(v) != math.Float32bits(p.W.Data[i]):
					t.Fatalf("%s %s: element %d is %g, was %g", name, parts, i, v, p.W.Data[i])
				default:
					n++
				}
			}
			if n != 40*128 {
				t.Errorf("%s %s: %d elements stay", name, parts, n)
			}
		}
	}
}

func TestTilesOfRowsGiveTheWhole(t *testing.T) {
	p := problem(3, 48, 128)
	for _, name := range []string{"f16-2:4", "int4-g128-2:4", "f16-5:8"} {
		for _, parts := range []string{"wanda - zero", "obs - obs", "obs - obs-refit", "obs-all - gradual"} {
			m := method(t, parts, name)
			if !m.RowWise() {
				t.Fatalf("%s %s is not solved row by row", name, parts)
			}
			whole, _ := mustSolve(t, m, p)
			var tiles []codec.Term
			for r := 0; r < 48; r += 16 {
				q := p
				q.W = p.W.Slice(r, r+16)
				term, _ := mustSolve(t, m, q)
				tiles = append(tiles, term)
			}
			joined, err := codec.Concat(tiles)
			if err != nil {
				t.Fatal(err)
			}
			sameParts(t, name+" "+parts, joined, whole)
		}
	}
	for _, m := range []pruning.Prune{method(t, "random - zero", "f16-2:4"), method(t, "wanda row zero", "f16-s50")} {
		if m.RowWise() {
			t.Errorf("%s to %s is solved in tiles", m.Name(), m.Codec.Name())
		}
	}
}

func TestErrorFeedbackWithinTheMaskLosesLessThanRounding(t *testing.T) { // E4, in layer error
	for seed := range uint64(4) {
		p := problem(10+seed, 48, 256)
		for _, name := range []string{"int4-g128-2:4", "int3-g64-4:8", "int4-g128-s50"} {
			apart := method(t, "obs - obs-refit", name)
			if _, of := apart.Codec.(codec.Sparse).Group(); of == 0 {
				apart.Selector = pruning.Block{}
			}
			joint := apart
			joint.Round = quantizers.LDLQ{Codec: apart.Codec, Search: true, Ordered: true, Refit: true, Sweeps: 4}
			_, a := mustSolve(t, apart, p)
			term, b := mustSolve(t, joint, p)
			if !(b.Proxy < a.Proxy) || b.ProxyNorm != a.ProxyNorm || b.Fallback != "" {
				t.Errorf("seed %d, %s: joint loses %g of %g, rounding afterwards %g; %s", seed, name, b.Proxy, b.ProxyNorm, a.Proxy, b.Fallback)
			}
			if term.Bytes() != apart.Codec.Size(48, 256) {
				t.Errorf("%s: %d bytes", name, term.Bytes())
			}
		}
	}
}

func TestPredictedLossesAreNear(t *testing.T) {
	p := problem(20, 300, 64)
	for _, parts := range []string{"magnitude - zero", "wanda - zero", "obs - obs"} {
		for _, name := range []string{"f16-2:4", "int8-grow-s50"} {
			m := method(t, parts, name)
			got, err := approx.Predict(m, p)
			if err != nil {
				t.Fatal(err)
			}
			term, report := mustSolve(t, m, p)
			want := report.Relative()
			if loss, norm := approx.OutputLoss(p, term); norm > 0 {
				want = loss / norm
			}
			if got < want*0.8 || got > want*1.25 {
				t.Errorf("%s, %s: predicted %g, the loss is %g", parts, name, got, want)
			}
		}
	}
}

func TestMissingStatisticsAreSaid(t *testing.T) {
	p := problem(21, 16, 64)
	p.Stats = nil
	want, _ := mustSolve(t, method(t, "magnitude - zero", "f16-2:4"), p)
	for _, parts := range []string{"wanda - zero", "obs - obs", "obs - obs-refit", "wanda - gradual"} {
		term, report := mustSolve(t, method(t, parts, "f16-2:4"), p)
		sameParts(t, parts, term, want)
		if !strings.Contains(report.Fallback, "scored by magnitude") || strings.HasSuffix(parts, "zero") == strings.Contains(report.Fallback, "without updates") {
			t.Errorf("%s: %q", parts, report.Fallback)
		}
	}
}

func TestPartsThatDoNotGoTogetherAreErrors(t *testing.T) {
	p := problem(22, 16, 64)
	for want, m := range map[string]pruning.Prune{
		"stores every element": method(t, "wanda - zero", "int4-g128"),
		"leave -scaled out":    method(t, "wanda - zero", "int4-g128-2:4-scaled"),
		"decides otherwise":    method(t, "wanda row zero", "f16-2:4"),
		"same share":           method(t, "wanda 1:4 zero", "f16-s50"),
	} {
		if _, _, err := m.Solve(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, report := mustSolve(t, method(t, "wanda 4:8 zero", "f16-s50"), p); report.Fallback != "" {
		t.Error(report.Fallback)
	}
	p.W.Row(3)[5] = float32(math.NaN())
	if _, _, err := method(t, "wanda - obs", "f16-2:4").Solve(p); err == nil {
		t.Error("a weight that is not a number was pruned")
	}
	p.W.Row(3)[5] = 0
	p.Stats = calib.NewStats(8)
	if _, _, err := method(t, "wanda - zero", "f16-2:4").Solve(p); err == nil || !strings.Contains(err.Error(), "another number") {
		t.Errorf("statistics of another width: %v", err)
	}
}
