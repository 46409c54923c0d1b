package quantizers

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/tensor"
)

var _ approx.Method = Corrected{}

// drifted is what two networks give one weight: inputs and what its outputs are added to.
type drifted struct {
	x, now, r, rNow tensor.Mat
	stats           *calib.Stats
}

// drift makes tokens whose inputs and residuals err by what depends on the input, and by noise.
func drift(seed uint64, tokens, features, outputs int) drifted {
	rng := rand.New(rand.NewPCG(seed, 6))
	normal := func(rows, cols int, size float64) tensor.Mat {
		m := tensor.NewMat(rows, cols)
		for i := range m.Data {
			m.Data[i] = float32(rng.NormFloat64() * size)
		}
		return m
	}
	d := drifted{x: normal(tokens, features, 1), r: normal(tokens, outputs, 1), now: normal(tokens, features, 0.05), rNow: normal(tokens, outputs, 0.05)}
	bend, leak := normal(features, features, 0.3/float64(features)), normal(outputs, features, 0.02)
	input, output := tensor.NewMat(tokens, features), tensor.NewMat(tokens, outputs)
	for t := range tokens {
		x, now := d.x.Row(t), d.now.Row(t)
		for i := range now {
			now[i] += x[i]
			for j, v := range x {
				now[i] += float32(bend.Row(i)[j] * v)
			}
			input.Row(t)[i] = x[i] - now[i]
		}
		for i, v := range d.r.Row(t) {
			d.rNow.Row(t)[i] += v
			for j, u := range x {
				d.rNow.Row(t)[i] += float32(leak.Row(i)[j] * u)
			}
			output.Row(t)[i] = v - d.rNow.Row(t)[i]
		}
	}
	d.stats = calib.NewDrift(features, outputs)
	d.stats.ObserveDrift(1, d.now, input, output)
	return d
}

// miss is the mean of |W·x + r - V·x̂ - r̂|² over tokens.
func (d drifted) miss(w, v tensor.Mat) (sum float64) {
	for t := range d.x.Rows {
		for o := range w.Rows {
			e := float64(d.r.Row(t)[o]) - float64(d.rNow.Row(t)[o])
			for c, u := range w.Row(o) {
				e += float64(u)*float64(d.x.Row(t)[c]) - float64(v.Row(o)[c])*float64(d.now.Row(t)[c])
			}
			sum += e * e
		}
	}
	return sum / float64(d.x.Rows)
}

func TestCorrectionMakesUpForEarlierErrors(t *testing.T) {
	d := drift(1, 400, 48, 20)
	w := gaussian(41, 20, 48)
	p := approx.Problem{Name: "w", W: w, Stats: d.stats}
	before := d.miss(w, w)
	last := before
	for _, ridge := range []float64{10, 1, 0.1, 0.001} {
		term, report := solveWith(t, Corrected{Nearest{Codec: parse(t, "f32")}, ridge}, p)
		if report.Fallback != "" {
			t.Error(report.Fallback)
		}
		after := d.miss(w, decoded(term))
		if after >= last {
			t.Errorf("ridge %g: the outputs miss by %g, with a larger one by %g", ridge, after, last)
		}
		last = after
	}
	if last > before/5 {
		t.Errorf("the outputs miss by %g, uncorrected by %g", last, before)
	}
	for _, inner := range []approx.Method{LDLQ{Codec: parse(t, "int4-g32"), Search: true}, Incoherent{LDLQ{Codec: parse(t, "tcq-lut8-4")}}} {
		plain, _ := solveWith(t, inner, p)
		corrected, _ := solveWith(t, Corrected{Method: inner}, p)
		if a, b := d.miss(w, decoded(corrected)), d.miss(w, decoded(plain)); a > b/2 {
			t.Errorf("%s: corrected outputs miss by %g, others by %g", plain.Codec(), a, b)
		}
	}
}

func TestWithoutDriftCorrectedIsItsMethod(t *testing.T) {
	inner := LDLQ{Codec: parse(t, "int3-g32")}
	stats := correlated(42, 64, 200)
	none := calib.NewDrift(64, 0)
	none.Tokens, none.SqSum, none.Gram = stats.Tokens, stats.SqSum, stats.Gram
	for _, s := range []*calib.Stats{nil, stats, none} {
		p := approx.Problem{Name: "w", W: gaussian(43, 30, 64), Stats: s}
		want, a := solveWith(t, inner, p)
		got, b := solveWith(t, Corrected{Method: inner}, p)
		sameBytes(t, "without drift", got, want)
		if a != b {
			t.Errorf("report %+v, want %+v", b, a)
		}
	}
}

func TestCorrectionOfTilesIsThatOfTheWhole(t *testing.T) {
	d := drift(2, 300, 40, 150)
	m := Corrected{Method: Nearest{Codec: parse(t, "f32")}}
	p := approx.Problem{Name: "w", W: gaussian(44, 150, 40), Stats: d.stats}
	whole, _ := solveWith(t, m, p)
	var terms []codec.Term
	for r0 := 0; r0 < 150; r0 += 37 {
		r1 := min(150, r0+37)
		term, _ := solveWith(t, m, approx.Problem{Name: "w", W: p.W.Slice(r0, r1), Row0: r0, Stats: d.stats, Workers: 2})
		terms = append(terms, term)
	}
	joined, err := codec.Concat(terms)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, "tiles", joined, whole)
}

func TestUnusableDriftIsLeftOutWithANote(t *testing.T) {
	d := drift(3, 50, 16, 8)
	d.stats.Drift.Input[5] = float32(math.Inf(1))
	p := approx.Problem{Name: "w", W: gaussian(45, 8, 16), Stats: d.stats}
	inner := LDLQ{Codec: parse(t, "int4-g32")}
	want, _ := solveWith(t, inner, p)
	got, report := solveWith(t, Corrected{Method: inner}, p)
	sameBytes(t, "unusable", got, want)
	if report.Fallback != "errors of earlier layers left as they are: in 8 of 8 rows they are far larger than the weights" {
		t.Errorf("fallback %q", report.Fallback)
	}
}

func TestRowsThatCannotMakeUpForTheErrorsStay(t *testing.T) {
	m := Corrected{Method: Nearest{Codec: parse(t, "f32")}}
	p := approx.Problem{Name: "w", W: gaussian(45, 8, 16), Stats: drift(3, 50, 16, 8).stats}
	term, _ := solveWith(t, m, p)
	want := tensor.NewMat(8, 16)
	codec.Read(term, want, 0)
	copy(want.Row(3), p.W.Row(3))
	d := drift(3, 50, 16, 8)
	for i := range 16 { // what row 3's outputs are added to differs out of all proportion
		d.stats.Drift.Output[3*16+i] *= 1e9
	}
	p.Stats = d.stats
	term, report := solveWith(t, m, p)
	got := tensor.NewMat(8, 16)
	codec.Read(term, got, 0)
	if !slices.Equal(got.Data, want.Data) {
		t.Error("other values than the correction's, and the weight's in the row that cannot be corrected")
	}
	if report.Fallback != "errors of earlier layers left as they are: in 1 of 8 rows they are far larger than the weights" {
		t.Errorf("fallback %q", report.Fallback)
	}
}
