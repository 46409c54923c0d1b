package quantizers

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/kernels"
	"pith/tensor"
)

var _ approx.Method = Incoherent{}

// statsOf returns the Gram matrix, or the moments, of x.
func statsOf(x tensor.Mat, gram bool) *calib.Stats {
	s := calib.NewStats(x.Cols)
	if gram {
		s = calib.NewGram(x.Cols)
	}
	s.Observe(x)
	return s
}

func rotatedCopy(m tensor.Mat) tensor.Mat {
	out := tensor.NewMat(m.Rows, m.Cols)
	for r := range m.Rows {
		copy(out.Row(r), m.Row(r))
		kernels.Rotate(out.Row(r))
	}
	return out
}

func turnedStats(t *testing.T, s *calib.Stats, workers int) *calib.Stats {
	t.Helper()
	turned, err := rotateStats(approx.Problem{Stats: s, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	return turned
}

func TestRotatedGramIsTheGramOfRotatedInputs(t *testing.T) {
	for _, n := range []int{1, 2, 3, 32, 96, 172, 256} {
		x := gaussian(uint64(n), 40, n)
		got := turnedStats(t, statsOf(x, true), 1)
		want := statsOf(rotatedCopy(x), true)
		if got.Tokens != want.Tokens || len(got.Gram) != len(want.Gram) {
			t.Fatalf("n=%d: %d tokens, %d entries", n, got.Tokens, len(got.Gram))
		}
		scale := 40 * 0.02 * 0.02
		for i, v := range want.Gram {
			if math.Abs(got.Gram[i]-v) > 1e-6*scale {
				t.Fatalf("n=%d: entry %d is %g, want %g", n, i, got.Gram[i], v)
			}
		}
		for i, v := range want.SqSum {
			if math.Abs(got.SqSum[i]-v) > 1e-6*scale {
				t.Fatalf("n=%d: moment %d is %g, want %g", n, i, got.SqSum[i], v)
			}
		}
		if again := turnedStats(t, statsOf(x, true), 3); !slices.Equal(again.Gram, got.Gram) {
			t.Errorf("n=%d: the Gram matrix depends on workers", n)
		}
	}
	s := statsOf(gaussian(1, 4, 64), true)
	if first, second := turnedStats(t, s, 1), turnedStats(t, s, 1); first != second {
		t.Error("weights that share an input do not share its rotated statistics")
	}
	if turnedStats(t, nil, 1) != nil {
		t.Error("no statistics become some")
	}
}

func TestMomentsAloneBecomeTheirMean(t *testing.T) {
	s := statsOf(tensor.Of(1, 4, []float32{1, 2, 3, 4}), false)
	if got := turnedStats(t, s, 1); !slices.Equal(got.SqSum, []float64{7.5, 7.5, 7.5, 7.5}) || got.Gram != nil || got.Tokens != 1 {
		t.Errorf("moments %v", got.SqSum)
	}
	if !slices.Equal(s.SqSum, []float64{1, 4, 9, 16}) {
		t.Error("the statistics themselves changed")
	}
}

// Without statistics the grid that rounds whole rows of W and the method that rotates the problem are the same thing.
func TestIncoherentIsWhatTheRotatedCodecStores(t *testing.T) {
	w := gaussian(11, 6, 352)
	for _, name := range []string{"int4-g128", "int3-grow-asym", "q4_0"} {
		inner := parse(t, name)
		got, report, err := Incoherent{Nearest{Codec: inner}}.Solve(approx.Problem{W: w, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		want, direct := solve(t, Nearest{Codec: codec.Rotate(inner)}, approx.Problem{W: w})
		if got.Codec() != name+"-had" || report != direct {
			t.Errorf("%s: report %+v, want %+v", got.Codec(), report, direct)
		}
		for i, p := range got.Parts() {
			if !bytes.Equal(p.Data, want.Parts()[i].Data) {
				t.Errorf("%s: part %s differs", name, p.Name)
			}
		}
	}
}

// Rows with outliers are what one scale a row cannot hold; rotated, they cost no more than a Gaussian row does.
func TestIncoherentMakesOutliersHarmless(t *testing.T) {
	clean, spiky := gaussian(12, 16, 896), gaussian(12, 16, 896)
	for r := range spiky.Rows {
		spiky.Row(r)[37*r] = 1.5
	}
	loss := func(w tensor.Mat, m approx.Method) float64 {
		_, r, err := m.Solve(approx.Problem{W: w})
		if err != nil {
			t.Fatal(err)
		}
		return r.SquaredError / float64(w.Rows*w.Cols)
	}
	rtn := Nearest{Codec: parse(t, "int3-grow"), Search: true}
	base, plain, turned := loss(clean, rtn), loss(spiky, rtn), loss(spiky, Incoherent{rtn})
	// An outlier of 1.5 in 896 weights of 0.02 adds 6.3 times their energy to the row; rotated, the step grows with its root.
	if turned > 9*base || turned > plain/2 {
		t.Errorf("mean squared error %g with outliers, rotated %g, without outliers %g", plain, turned, base)
	}
}

func TestOnlyRotatedCodecsWrapMethods(t *testing.T) {
	if _, ok := ForCodec(parse(t, "int4-g128"), func(c codec.Codec) approx.Method { return Nearest{Codec: c} }).(Nearest); !ok {
		t.Error("a plain codec's method is wrapped")
	}
}

func TestIncoherentNamesWeightsThatAreNoNumbersWhereTheyAre(t *testing.T) {
	w := gaussian(14, 4, 96)
	w.Row(2)[50] = float32(math.NaN())
	_, _, err := Incoherent{Nearest{Codec: parse(t, "int4-g32")}}.Solve(approx.Problem{Name: "w", W: w})
	if err == nil || !strings.Contains(err.Error(), "w: weight at row 2, column 50 is NaN") {
		t.Errorf("error %v", err)
	}
}
