package codec

import (
	"pith/internal/par"
	"pith/tensor"
)

// RoundAll rounds every column of w with grid in the fastest way the grid has, bands of rows on several workers. w is left as it is; the
// codes do not depend on workers.
func RoundAll(grid Grid, w tensor.Mat, workers int) {
	RoundUntil(grid, w, workers, func() bool { return false })
}

// RoundUntil is RoundAll that stops as soon as stop returns true, which it calls, from any worker, before columns are rounded together. What a
// grid holds then means nothing. A WholeRounder is not stopped.
func RoundUntil(grid Grid, w tensor.Mat, workers int, stop func() bool) {
	if stop() {
		return
	}
	if whole, ok := grid.(WholeRounder); ok {
		whole.RoundAll(w)
		return
	}
	if banded, ok := grid.(Banded); ok {
		bands := banded.Bands()
		par.For(workers, len(bands), func(i int) {
			r0, r1 := bands[i].Rows()
			roundColumns(bands[i].Round, bands[i].Step(), w.Slice(r0, r1), stop)
		})
		return
	}
	roundColumns(grid.Round, grid.Step(), w, stop)
}

// roundColumns rounds a copy of w, step columns at a time.
func roundColumns(round func(w tensor.Mat, c int), step int, w tensor.Mat, stop func() bool) {
	work := tensor.NewMat(w.Rows, w.Cols)
	for r := range w.Rows {
		copy(work.Row(r), w.Row(r))
	}
	for c := 0; c < w.Cols && !stop(); c += step {
		round(work, c)
	}
}
