package pruning

import (
	"pith/calib"
	"pith/tensor"
)

// PST scores |w| + α1·(A·B)_ij + α2·(R_i + C_j), the importance that Parameter-efficient Sparse Training learns (Li et al. 2022, arXiv
// 2205.11125): A is (rows, rank), B (rank, cols), and the paper starts from B = R = C = 0, where it is magnitude. What is nil is zero.
type PST struct {
	A, B           tensor.Mat
	R, C           []float32
	Alpha1, Alpha2 float32
}

// Name returns "pst".
func (PST) Name() string { return "pst" }

// Needs returns calib.Nothing.
func (PST) Needs() calib.Need { return calib.Nothing }

// Scores panics if the factors are not of the weight's shape.
func (s PST) Scores(in *Inputs, rows int) (Score, string) {
	if s.A.Data != nil && (s.A.Rows != rows || s.B.Cols != in.Cols || s.A.Cols != s.B.Rows) || s.R != nil && len(s.R) != rows || s.C != nil && len(s.C) != in.Cols {
		panic("pruning: importance factors of another shape")
	}
	return func(dst, w []float32, row, col int) {
		for i, v := range w {
			score := abs(v)
			if s.A.Data != nil {
				var ab float32
				for k, a := range s.A.Row(row) {
					ab += float32(a * s.B.Row(k)[col+i])
				}
				score += float32(s.Alpha1 * ab)
			}
			var sum float32
			if s.R != nil {
				sum = s.R[row]
			}
			if s.C != nil {
				sum += s.C[col+i]
			}
			dst[i] = score + float32(s.Alpha2*sum)
		}
	}, ""
}
