package codectest

import (
	"slices"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// sparse wants of a codec that stores some elements that it stores the right number, of those that a mask keeps what the dense codec
// makes of them, and of the others nothing but zeros.
func sparse(t *testing.T, c codec.Codec) {
	s, ok := c.(codec.Sparse)
	if !ok {
		return
	}
	for _, sh := range suiteShapes() {
		if c.Check(sh.rows, sh.cols) != nil {
			continue
		}
		w := Matrix(uint64(19+sh.cols), sh.rows, sh.cols)
		chosen := maskOf(t, encode(t, c, w, nil, codec.FitOptions{}))
		if got, want := chosen.Count(), s.Kept(sh.rows, sh.cols); got != want {
			t.Fatalf("(%d, %d): %d elements stored, want %d", sh.rows, sh.cols, got, want)
		}
		keepsLargest(t, s, w, chosen)
		given := otherMask(s, chosen)
		term := encode(t, c, w, nil, codec.FitOptions{Mask: given})
		if !slices.Equal(maskOf(t, term).Bits, given.Bits) {
			t.Fatalf("(%d, %d): another mask is stored than was given", sh.rows, sh.cols)
		}
		exactSize(t, c, term)
		reopens(t, c, term)
		multiplies(t, term)
		aloneOrTogether(t, term)
		pruned := clone(w)
		given.Apply(pruned)
		if want := Decode(encode(t, s.Dense(), pruned, nil, codec.FitOptions{})); !slices.Equal(Decode(term).Data, want.Data) {
			t.Fatalf("(%d, %d): kept elements are not what %s makes of them", sh.rows, sh.cols, s.Dense().Name())
		}
		keptByColumns(t, c, w, given, term)
	}
}

func maskOf(t *testing.T, term codec.Term) *codec.Mask {
	t.Helper()
	m, ok := codec.MaskOf(term)
	if !ok {
		t.Fatalf("a term of %s has no mask", term.Codec())
	}
	return m
}

// otherMask returns a mask that can be stored and keeps other elements than m: groups, or the elements of all rows, in reverse.
func otherMask(s codec.Sparse, m *codec.Mask) *codec.Mask {
	out := codec.NewMask(m.Rows, m.Cols)
	_, group := s.Group()
	for r := range m.Rows {
		for c := range m.Cols {
			if group == 0 {
				out.Set(m.Rows-1-r, m.Cols-1-c, m.Kept(r, c))
				continue
			}
			first := c / group * group
			last := min(m.Cols, first+group) - 1
			out.Set(r, first+last-c, m.Kept(r, c))
		}
	}
	return out
}

// keepsLargest wants no pruned element larger than a kept one, of the same group or of the matrix.
func keepsLargest(t *testing.T, s codec.Sparse, w tensor.Mat, m *codec.Mask) {
	_, group := s.Group()
	type extremes struct{ kept, pruned float32 }
	seen := map[int]*extremes{}
	for r := range w.Rows {
		for c, v := range w.Row(r) {
			at := 0
			if group > 0 {
				at = r*(w.Cols/group+1) + c/group
			}
			if seen[at] == nil {
				seen[at] = &extremes{kept: 1e38}
			}
			if v = max(v, -v); m.Kept(r, c) {
				seen[at].kept = min(seen[at].kept, v)
			} else {
				seen[at].pruned = max(seen[at].pruned, v)
			}
		}
	}
	for at, e := range seen {
		if e.pruned > e.kept {
			t.Errorf("group %d prunes %g and keeps %g", at, e.pruned, e.kept)
		}
	}
}

// keptByColumns says which elements are kept before each column is rounded, as solvers that choose masks as they go do, and wants
// in place the values that decode.
func keptByColumns(t *testing.T, c codec.Codec, w tensor.Mat, given *codec.Mask, want codec.Term) {
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	masked, ok := grid.(codec.MaskedGrid)
	if !ok {
		t.Fatal("the grid takes no masks")
	}
	rounded := clone(w)
	for col := 0; col < w.Cols; col++ {
		masked.Keep(col, col+1, given)
		masked.Round(rounded, col)
	}
	term := masked.Pack()
	if !slices.Equal(Decode(term).Data, rounded.Data) {
		t.Error("Round leaves other values than the term decodes to")
	}
	for r := range w.Rows {
		for col, v := range rounded.Row(r) {
			if !given.Kept(r, col) && v != 0 {
				t.Fatalf("pruned element (%d, %d) is %g", r, col, v)
			}
		}
	}
	if !slices.Equal(maskOf(t, term).Bits, maskOf(t, want).Bits) {
		t.Error("Keep and FitOptions.Mask store different masks")
	}
	if w.Cols > 0 && w.Rows > 0 {
		given = given.Clone()
		given.Set(0, 0, true)
		for col := 0; given.Count() == maskOf(t, want).Count() && col < w.Cols; col++ {
			given.Set(0, col, true)
		}
		if _, err := c.Fit(w, nil, codec.FitOptions{Mask: given}); given.Count() > maskOf(t, want).Count() && err == nil {
			t.Error("Fit takes a mask that keeps more than can be stored")
		}
	}
}
