package codec

import "pith/tensor"

// bandRows is how many rows layouts whose rows are independent give a band: enough that what a solver reads for a band, it reads for many rows.
const bandRows = 32

// rowBand is a Band of a grid that rounds step columns of any rows.
type rowBand struct {
	r0, r1, step int
	round        func(w tensor.Mat, c, r0 int)
}

func (b rowBand) Rows() (r0, r1 int)        { return b.r0, b.r1 }
func (b rowBand) Step() int                 { return b.step }
func (b rowBand) Round(w tensor.Mat, c int) { b.round(w, c, b.r0) }

// rowBands cuts rows into bands; round rounds the step columns from c of w, whose first row is row r0 of the grid.
func rowBands(rows, step int, round func(w tensor.Mat, c, r0 int)) []Band {
	var bands []Band
	for r0 := 0; r0 < rows; r0 += bandRows {
		bands = append(bands, rowBand{r0, min(rows, r0+bandRows), step, round})
	}
	return bands
}
