package codec

import (
	"slices"
	"testing"

	"pith/tensor"
)

// Terms that have V in common multiply an input by it once.
func TestACommonVIsMultipliedOnce(t *testing.T) {
	const rows, rank, cols, tokens = 24, 8, 40, 3
	for _, inner := range []Codec{scalarCodec{tensor.F32}, intCodec{8, 32, false}, rotatedCodec{intCodec{8, 32, false}}, scaledCodec{inner: intCodec{8, 32, false}}} {
		fitted := func(seed, rows, cols int) Term {
			w := tensor.NewMat(rows, cols)
			for i := range w.Data {
				w.Data[i] = float32((i*seed)%17-8) / 8
			}
			g, err := inner.Fit(w, nil, FitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			RoundAll(g, w, 1)
			return g.Pack()
		}
		c := LowRankOf(rank, inner)
		v, other := fitted(7, rank, cols), fitted(5, rank, cols)
		q, k := c.Join(fitted(3, rows, rank), v), c.Join(fitted(11, rows, rank), v)
		apart := c.Join(fitted(13, rows, rank), other)
		x := tensor.NewMat(tokens, cols)
		for i := range x.Data {
			x.Data[i] = float32(i%13) - 6
		}
		in := NewInput(x)
		for _, term := range []Term{q, k, apart} {
			together, alone := tensor.NewMat(tokens, rows), tensor.NewMat(tokens, rows)
			term.MulAdd(together, in, 0, rows)
			term.MulAdd(alone, NewInput(x), 0, rows)
			if !slices.Equal(together.Data, alone.Data) {
				t.Errorf("%s: another product's z was taken", c.Name())
			}
		}
		want := 2
		if q.(*lowRankTerm).key == any(q) {
			want = 3 // Vs of this codec cannot be compared
		}
		if in.multiply != want {
			t.Errorf("%s: %d products with V, want %d", c.Name(), in.multiply, want)
		}
	}
}
