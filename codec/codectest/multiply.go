package codectest

import (
	"math"
	"testing"

	"pith/codec"
	"pith/kernels"
	"pith/tensor"
)

// multiplies compares MulAdd with the product of the decoded matrix in float64.
//
// For up to 8 tokens a kernel may round activations to int8 (kernels.Q8): each x[i] is then off by at most half a step,
// max|x|/254 of its block of 32, so the product by at most Σ |w|·max|x|/254. Everything else is float32 summation, whose error is
// bounded by n·2^-24·Σ |w·x|. Terms of rotated codecs multiply rotated activations by what they store, so the bounds are of these.
func multiplies(t *testing.T, term codec.Term) {
	rows, cols := term.Dims()
	decoded := Decode(term)
	for _, tokens := range []int{0, 1, 2, 9} {
		x := Matrix(uint64(17+tokens), tokens, cols)
		bounds := productBounds(term, x)
		for r0, r1 := range map[int]int{0: rows, rows / 2: rows, rows: rows} {
			y := constant(tokens, rows+2, 0.5)
			term.MulAdd(y, codec.NewInput(x), r0, r1)
			for i := range tokens {
				for r, got := range y.Row(i) {
					if r < r0 || r >= r1 {
						if got != 0.5 {
							t.Fatalf("MulAdd rows %d…%d wrote output %d", r0, r1, r)
						}
						continue
					}
					want := 0.5
					for c, w := range decoded.Row(r) {
						want += float64(w) * float64(x.Row(i)[c])
					}
					bound := 1e-6 + bounds[i*rows+r]
					if math.Abs(float64(got)-want) > bound {
						t.Fatalf("%d tokens, output %d: %g, want %g ± %g", tokens, r, got, want, bound)
					}
				}
			}
			sameForAnySplit(t, term, x, y, r0, r1)
		}
	}
}

// aloneOrTogether multiplies few tokens at once and one by one, and wants the same bytes: speculative decoding compares logits of tokens that went
// through a model together with those of tokens that went alone.
func aloneOrTogether(t *testing.T, term codec.Term) {
	rows, cols := term.Dims()
	x := Matrix(29, codec.FewTokens, cols)
	alone := constant(x.Rows, rows, 0.5)
	for i := range x.Rows {
		term.MulAdd(alone.Slice(i, i+1), codec.NewInput(x.Slice(i, i+1)), 0, rows)
	}
	for _, n := range []int{2, 3, 5, 8} {
		for first := 0; first+n <= x.Rows; first += n {
			y := constant(n, rows, 0.5)
			term.MulAdd(y, codec.NewInput(x.Slice(first, first+n)), 0, rows)
			for i := range n {
				for r, got := range y.Row(i) {
					if want := alone.Row(first + i)[r]; math.Float32bits(got) != math.Float32bits(want) {
						t.Fatalf("%s: output %d of one token is %g alone and %g among %d", term.Codec(), r, want, got, n)
					}
				}
			}
		}
	}
}

// productBounds returns how far products of x with term may be off, for each token and row. Errors of terms of a sum add up.
func productBounds(term codec.Term, x tensor.Mat) []float64 {
	rows, cols := term.Dims()
	bounds := make([]float64, x.Rows*rows)
	if terms := codec.Terms(term); len(terms) > 1 {
		for _, t := range terms {
			for i, b := range productBounds(t, x) {
				bounds[i] += b
			}
		}
		return bounds
	}
	if factored, ok := term.(interface{ Factors() (u, v codec.Term) }); ok {
		u, v := factored.Factors()
		return stagedBounds(u, v, x)
	}
	stored := Decode(term)
	if rotated(term.Codec()) {
		stored, x = rotatedRows(stored), rotatedRows(x)
	}
	for i := range x.Rows {
		for r := range rows {
			var peak float64
			for c, w := range stored.Row(r) {
				if c%32 == 0 {
					peak = blockPeak(x.Row(i), c)
				}
				p := float64(w) * float64(x.Row(i)[c])
				bounds[i*rows+r] += math.Abs(p) * float64(cols) * 0x1p-23
				if x.Rows <= 8 {
					bounds[i*rows+r] += math.Abs(float64(w)) * peak / 253
				}
			}
		}
	}
	return bounds
}

// stagedBounds is productBounds of x·Vᵀ·Uᵀ: the errors of the first product, multiplied by U, those of multiplying at most |x·Vᵀ| and its errors
// by U, and those of the float32 sums by which the term decodes.
func stagedBounds(u, v codec.Term, x tensor.Mat) []float64 {
	rows, rank := u.Dims()
	first, us, vs := productBounds(v, x), Decode(u), Decode(v)
	z := tensor.NewMat(x.Rows, rank)
	decoding := make([]float64, x.Rows*rank)
	for i := range x.Rows {
		for k := range rank {
			var sum, size float64
			for c, w := range vs.Row(k) {
				p := float64(w) * float64(x.Row(i)[c])
				sum += p
				size += math.Abs(p)
			}
			z.Row(i)[k] = float32((math.Abs(sum) + first[i*rank+k]) * (1 + 0x1p-20))
			decoding[i*rank+k] = size * float64(rank+2) * 0x1p-23
		}
	}
	bounds := productBounds(u, z)
	for i := range x.Rows {
		for r := range rows {
			for k, w := range us.Row(r) {
				bounds[i*rows+r] += math.Abs(float64(w)) * (first[i*rank+k] + decoding[i*rank+k])
			}
		}
	}
	return bounds
}

func rotatedRows(m tensor.Mat) tensor.Mat {
	out := clone(m)
	for r := range out.Rows {
		kernels.Rotate(out.Row(r))
	}
	return out
}

func blockPeak(x []float32, c int) (peak float64) {
	for _, v := range x[c:min(len(x), c+32)] {
		peak = max(peak, math.Abs(float64(v)))
	}
	return peak
}

// sameForAnySplit multiplies row by row, as other numbers of workers would, and wants the same bytes.
func sameForAnySplit(t *testing.T, term codec.Term, x, want tensor.Mat, r0, r1 int) {
	y := constant(want.Rows, want.Cols, 0.5)
	in := codec.NewInput(x)
	for r := r0; r < r1; r++ {
		term.MulAdd(y, in, r, r+1)
	}
	for i, v := range y.Data {
		if v != want.Data[i] {
			t.Fatalf("output %d depends on how rows are split: %g, %g", i, v, want.Data[i])
		}
	}
}
