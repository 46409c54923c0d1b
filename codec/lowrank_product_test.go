package codec_test

import (
	"slices"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

// lowRankTerms are terms of one shape that have first factors in several places.
func lowRankTerms(t testing.TB, rows, cols int) map[string]codec.Term {
	t.Helper()
	terms := map[string]codec.Term{}
	for _, name := range []string{"f32", "f16", "int8-g64", "int8-grow", "int4-g64", "int3-g64", "q8_0", "tcq-lut8-2", "int8-g64-had"} {
		lr := codec.LowRankOf(64, parsedAs(t.(*testing.T), name))
		low := lr.Join(encode(t, name, codectest.Matrix(1, rows, 64)), encode(t, name, codectest.Matrix(2, 64, cols)))
		terms[lr.Name()] = low
		terms[lr.Name()+" rotated"] = codec.RotateTerm(low)
		terms["int3-g64+"+lr.Name()] = codec.SumTerm(encode(t, "int3-g64", codectest.Matrix(3, rows, cols)), low)
	}
	return terms
}

// multiply is MulAdd of all rows at once, without stages.
func multiply(w *codec.Weight, x tensor.Mat) tensor.Mat {
	y := tensor.NewMat(x.Rows, w.Rows)
	w.MulAdd(y, codec.NewInput(x), 0, w.Rows)
	return y
}

func TestLowRankProductsDoNotDependOnWhoComputesTheFirstFactor(t *testing.T) {
	const rows, cols = 200, 256
	for name, term := range lowRankTerms(t, rows, cols) {
		w := &codec.Weight{Rows: rows, Cols: cols, Terms: []codec.Term{term}}
		if !w.Staged() {
			t.Errorf("%s has no stages", name)
		}
		for _, tokens := range []int{1, 3, 8, 9, 70} {
			x := codectest.Matrix(uint64(tokens), tokens, cols)
			want := multiply(w, x)
			for _, workers := range []int{1, 2, 7} {
				got := tensor.NewMat(tokens, rows)
				codec.MatMul(got, codec.NewInput(x), w, workers)
				if !slices.Equal(got.Data, want.Data) {
					t.Errorf("%s, %d tokens: %d workers give other bytes", name, tokens, workers)
				}
			}
		}
	}
}

// Several weights read one input: their stages together are cut into pieces that compute each row once, in any order.
func TestStagesOfSeveralWeightsAreOneListOfPieces(t *testing.T) {
	const cols = 256
	x := codectest.Matrix(9, 2, cols)
	terms := lowRankTerms(t, 96, cols)
	in := codec.NewInput(x)
	var s codec.Stages
	for range 3 { // an input and stages used again
		in.Reset(x)
		s.Reset()
		for _, term := range terms {
			s.Add(in, []codec.Term{term})
			s.Add(in, []codec.Term{term}) // a matrix that two layers share is there twice
		}
		n := s.Cut(2)
		if n < len(terms)/3 {
			t.Fatalf("%d pieces of %d terms", n, len(terms))
		}
		for i := range n {
			s.Run(n - 1 - i)
		}
		for name, term := range terms {
			w := &codec.Weight{Rows: 96, Cols: cols, Terms: []codec.Term{term}}
			y := tensor.NewMat(x.Rows, 96)
			w.MulAdd(y, in, 0, 96)
			if !slices.Equal(y.Data, multiply(w, x).Data) {
				t.Errorf("%s: other bytes after stages", name)
			}
		}
	}
	if in.Bytes() == 0 {
		t.Error("what stages computed takes no memory")
	}
	var none codec.Stages
	none.Add(in, []codec.Term{encode(t, "int4-g64", codectest.Matrix(3, 8, cols))})
	if n := none.Cut(4); n != 0 {
		t.Errorf("a term that waits for nothing has %d pieces", n)
	}
}

func TestRanksOfSharesAreWholeBlocksWhereKernelsWantThem(t *testing.T) {
	for name, want := range map[string]int{"lr0.5-int4-g64": 96, "lr0.5-int4-g32-asym": 96, "lr0.5-int4-g64-had": 96, "lr0.5-int8-g64": 113, "lr0.5-f32": 113, "lr0.1-int4-g64": 22} {
		got := parsedAs(t, name).(codec.LowRank).Rank(256, 2048)
		if want == 22 && got > 22 || want > 22 && (got > want || got < want-2) {
			t.Errorf("%s: rank %d, want %d or a little less", name, got, want)
		}
	}
}
