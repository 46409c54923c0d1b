package codec_test

import (
	"math/rand/v2"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
)

func TestMaskCountsWhatWasSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, cols := range []int{0, 1, 63, 64, 65, 128, 200} {
		const rows = 5
		m := codec.NewMask(rows, cols)
		w := codectest.Matrix(1, rows, cols)
		want, perRow := map[[2]int]bool{}, [rows]int{}
		for r := range rows {
			for c := range cols {
				keep := rng.IntN(3) == 0
				m.Set(r, c, true)
				m.Set(r, c, keep)
				if keep {
					want[[2]int{r, c}] = true
					perRow[r]++
				}
			}
		}
		clone := m.Clone()
		before := codectest.Matrix(1, rows, cols)
		m.Apply(w)
		for r := range rows {
			for c := range cols {
				keep := want[[2]int{r, c}]
				if m.Kept(r, c) != keep || m.Slice(r, rows).Kept(0, c) != keep {
					t.Fatalf("Kept(%d, %d) = %v", r, c, !keep)
				}
				if v := w.Row(r)[c]; keep && v != before.Row(r)[c] || !keep && v != 0 {
					t.Fatalf("Apply leaves %g at (%d, %d), kept: %v", v, r, c, keep)
				}
				m.Set(r, c, false)
			}
			if clone.RowCount(r) != perRow[r] || m.RowCount(r) != 0 {
				t.Fatalf("RowCount(%d) = %d, want %d", r, clone.RowCount(r), perRow[r])
			}
		}
		if clone.Count() != int64(len(want)) || m.Count() != 0 {
			t.Fatalf("Count() = %d, want %d", clone.Count(), len(want))
		}
	}
}
