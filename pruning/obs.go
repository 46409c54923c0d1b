package pruning

import (
	"math"

	"pith/calib"
	"pith/internal/par"
	"pith/linalg"
	"pith/tensor"
)

// OBS scores by what the outputs lose if the element becomes zero and others make up for it (Hassibi and Stork 1992; Frantar and Alistarh
// 2023, SparseGPT, arXiv 2301.00774): the loss is w²·D_j, D of H = L·D·Lᵀ, if those of the columns before j do; they are what the solver
// `obs`, which goes from the last column to the first, has left. SparseGPT's U_jj, of columns in reverse, is 1/√D_j. With All, every other
// element of the row does: w²/(H⁻¹)_jj. Scores are roots of losses. Elements of dead inputs score 0.
type OBS struct{ All bool }

// Name returns "obs", or "obs-all".
func (o OBS) Name() string {
	if o.All {
		return "obs-all"
	}
	return "obs"
}

// Needs returns calib.Gram.
func (o OBS) Needs() calib.Need { return calib.Gram }

// Scores needs the curvature.
func (o OBS) Scores(in *Inputs, _ int) (Score, string) {
	f, why := in.Curvature()
	if why != "" {
		return nil, why
	}
	losses := f.D
	if o.All {
		losses = inverseDiagonal(f, in.Workers)
		for j, v := range losses {
			losses[j] = 1 / v
		}
	}
	factors := make([]float32, f.N)
	for j, v := range losses {
		if !in.Dead(j) {
			factors[j] = float32(math.Sqrt(v))
		}
	}
	return times(factors), ""
}

// inverseDiagonal returns the diagonal of H⁻¹ = L⁻ᵀ·D⁻¹·L⁻¹: Σ_i (L⁻¹)_ij²/D_i.
func inverseDiagonal(f *linalg.Curvature, workers int) []float64 {
	out, n := make([]float64, f.N), f.N
	par.Ranges(workers, n, 16, func(lo, hi int) {
		x := make([]float64, n)
		for j := lo; j < hi; j++ { // x becomes column j of L⁻¹
			clear(x)
			x[j] = 1
			sum := 1 / f.D[j]
			for i := j + 1; i < n; i++ {
				var s float64
				for k, l := range f.L[i*n+j : i*n+i] {
					s -= float64(float64(l) * x[j+k])
				}
				x[i] = s
				sum += float64(s*s) / f.D[i]
			}
			out[j] = sum
		}
	})
	return out
}

// narrow returns |w|/√((H_KK)⁻¹)_jj, K what t's mask keeps in the row; rows too long to be factored are scored as if all stayed.
func (o OBS) narrow(t *Task, f *linalg.Curvature) Score {
	if !o.All {
		return t.Score
	}
	factors := tensor.NewMat(t.W.Rows, t.W.Cols)
	par.Ranges(t.Workers, t.W.Rows, 1, func(r, _ int) {
		if kept := t.Mask.RowCount(r); kept <= refitMost && !t.Inputs.stopped() {
			narrowRow(factors.Row(r), t, f, r)
		}
	})
	whole := make([]float32, t.W.Cols)
	for j, v := range inverseDiagonal(f, t.Workers) {
		whole[j] = float32(1 / math.Sqrt(v))
	}
	return func(dst, w []float32, row, col int) {
		own := factors.Row(row)
		if t.Mask.RowCount(row) > refitMost {
			own = whole
		}
		for i, v := range w {
			dst[i] = abs(v) * own[col+i]
		}
	}
}

// narrowRow sets factors to 1/√((H_KK)⁻¹)_jj of row r, 0 where it keeps nothing or the input is dead.
func narrowRow(factors []float32, t *Task, f *linalg.Curvature, r int) {
	kept := make([]int, 0, len(factors))
	for c := range factors {
		if t.Mask.Kept(r, c) {
			kept = append(kept, c)
		}
	}
	a := t.submatrix(f, kept)
	if linalg.Cholesky(a, 1) != nil {
		return
	}
	for i, v := range linalg.InverseDiagonal(a) {
		if c := kept[i]; !t.Inputs.Dead(c) {
			factors[c] = float32(1 / math.Sqrt(v))
		}
	}
}
