package codec

import (
	"fmt"
	"math"

	"pith/kernels"
	"pith/tensor"
)

// CheckFinite returns an error that names the first weight that is not a finite number.
func CheckFinite(w tensor.Mat) error {
	for r := range w.Rows {
		row := w.Row(r)
		if _, _, finite := kernels.Extremes(row); finite {
			continue
		}
		for c, v := range row {
			if v-v != 0 {
				return fmt.Errorf("weight at row %d, column %d is %v: repair the checkpoint, or exclude this tensor", r, c, v)
			}
		}
	}
	return nil
}

// partSpec is what a term expects of one stored part.
type partSpec struct {
	name string
	dt   tensor.DType
}

// checkParts compares names and dtypes of parts; lengths are the caller's to check.
func checkParts(parts []Part, want ...partSpec) error {
	if len(parts) != len(want) {
		return fmt.Errorf("%d parts stored, want %d: the file is damaged", len(parts), len(want))
	}
	for i, p := range parts {
		if p.Name != want[i].name || p.DType != want[i].dt {
			return fmt.Errorf("part %d is %q of %v, want %q of %v: the file is damaged", i, p.Name, p.DType, want[i].name, want[i].dt)
		}
	}
	return nil
}

// checkLength compares a part's stored bytes with what the shape asks for.
func checkLength(p Part, want int64) error {
	if int64(len(p.Data)) != want {
		return fmt.Errorf("part %q has %d bytes, want %d: the file is damaged", p.Name, len(p.Data), want)
	}
	return nil
}

// checkShape refuses negative dimensions and matrices whose bits would overflow an int64.
func checkShape(rows, cols int) error {
	if rows < 0 || cols < 0 || (cols > 0 && rows > math.MaxInt64/64/cols) {
		return fmt.Errorf("shape (%d, %d) is not that of a matrix", rows, cols)
	}
	return nil
}
