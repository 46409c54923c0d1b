package pruning

import (
	"pith/calib"
	"pith/internal/par"
	"pith/kernels"
	"pith/linalg"
	"pith/tensor"
)

// Sequential is the optimal brain surgeon column by column, as SparseGPT does it (Frantar and Alistarh 2023, arXiv 2301.00774), from the last
// column to the first: what pruning took from the columns behind j is made up for by column j and those before it,
//
//	target_j = w_j + Σ_{k>j} (w_k - ŵ_k)·L_kj,   H = L·D·Lᵀ,
//
// and ŵ_j is the target, or 0. Just before a stretch of columns is decided, its elements are scored at the values that they have then, the
// ones at which the loss is least if nothing more were pruned. It is the paper's rule on columns in reverse, which needs no inverse of H.
// Selectors that decide more columns than a block do it beforehand, by the dense weight.
type Sequential struct{}

// Name returns "obs".
func (Sequential) Name() string { return "obs" }

// Needs returns calib.Gram.
func (Sequential) Needs() calib.Need { return calib.Gram }

// Solve prunes without updates if there is no curvature.
func (Sequential) Solve(t *Task) string {
	f, why := t.Inputs.Curvature()
	if why != "" {
		Zero{}.Solve(t)
		return "pruned without updates: " + why
	}
	adaptive := t.Selector.Stretch(t.W.Cols) <= blockCols
	if !adaptive {
		t.chooseAll(t.W)
	}
	t.sweep(f, adaptive)
	return ""
}

// sweepRows is how many rows one worker takes where rows are decided one by one.
const sweepRows = 64

// sweep solves all rows: with adaptive it also chooses the mask.
func (t *Task) sweep(f *linalg.Curvature, adaptive bool) {
	if adaptive && !t.Selector.RowWise() {
		newSweeper(t, f, 0, t.W.Rows, t.Workers).run(true)
		return
	}
	par.Ranges(t.Workers, t.W.Rows, sweepRows, func(lo, hi int) { newSweeper(t, f, lo, hi, 1).run(adaptive) })
}

// sweeper solves rows first … first+w.Rows.
type sweeper struct {
	*Task
	f       *linalg.Curvature
	first   int
	workers int
	w, q    tensor.Mat // (rows, n) dense weight and values
	e       []float32  // (rows, n) of columns still ahead what is fed back, Σ_{k} e_k·L_kj; of those behind e = w - q
	stretch int        // columns decided together
	block   int        // columns between products with the factor, whole stretches
	lt      []float32  // (block, block) the block's part of Lᵀ
}

func newSweeper(t *Task, f *linalg.Curvature, lo, hi, workers int) *sweeper {
	s := &sweeper{Task: t, f: f, first: lo, workers: workers, w: t.W.Slice(lo, hi), q: t.Values.Slice(lo, hi), e: make([]float32, (hi-lo)*f.N)}
	s.stretch = max(1, t.Selector.Stretch(f.N))
	if s.stretch > blockCols {
		s.stretch = blockCols
	}
	s.block = blockCols / s.stretch * s.stretch
	s.lt = make([]float32, s.block*s.block)
	return s
}

// run solves block after block, from the last.
func (s *sweeper) run(adaptive bool) {
	n, rows := s.f.N, s.w.Rows
	if n == 0 || rows == 0 {
		return
	}
	for lo := (n - 1) / s.block * s.block; lo >= 0 && !s.Inputs.stopped(); lo -= s.block {
		hi := min(n, lo+s.block)
		if hi < n {
			par.Ranges(s.workers, rows, sweepRows, func(r0, r1 int) {
				kernels.GemmNN(s.e[r0*n+lo:], n, s.e[r0*n+hi:], n, s.f.L[hi*n+lo:], n, r1-r0, hi-lo, n-hi)
			})
		}
		s.transpose(lo, hi)
		for c0 := lo + (hi-lo-1)/s.stretch*s.stretch; c0 >= lo; c0 -= s.stretch {
			c1 := min(hi, c0+s.stretch)
			par.Ranges(s.workers, rows, sweepRows, func(r0, r1 int) {
				for r := r0; r < r1; r++ {
					s.feed(r, c0, c1, lo, hi)
					if adaptive {
						s.current(r, c0, c1, lo)
					}
				}
			})
			if adaptive {
				s.choose(s.q, s.first, c0, c1, s.workers)
			}
			par.Ranges(s.workers, rows, sweepRows, func(r0, r1 int) {
				for r := r0; r < r1; r++ {
					s.decide(r, c0, c1, lo)
				}
			})
		}
	}
}

// transpose sets lt: row j-lo holds L_kj of the block's k.
func (s *sweeper) transpose(lo, hi int) {
	for k := lo; k < hi; k++ {
		for j, v := range s.f.L[k*s.f.N+lo : k*s.f.N+k+1] {
			s.lt[j*s.block+k-lo] = v
		}
	}
}

// column returns L_kj of k = from … to of the block that starts at lo.
func (s *sweeper) column(j, from, to, lo int) []float32 {
	return s.lt[(j-lo)*s.block+from-lo : (j-lo)*s.block+to-lo]
}

// feed adds to what is fed back to columns c0 … c1 the errors of the block's columns behind them.
func (s *sweeper) feed(r, c0, c1, lo, hi int) {
	e := s.e[r*s.f.N : (r+1)*s.f.N]
	for j := c0; j < c1 && c1 < hi; j++ {
		e[j] += kernels.Dot(e[c1:hi], s.column(j, c1, hi, lo))
	}
}

// current sets q of columns c0 … c1 to w + y·L⁻¹ of the stretch's part of L, y what is fed back: the best values if all of them stay.
func (s *sweeper) current(r, c0, c1, lo int) {
	y, w, q := s.e[r*s.f.N:(r+1)*s.f.N], s.w.Row(r), s.q.Row(r)
	for j := c1 - 1; j >= c0; j-- { // q holds the solution x of x·L = y meanwhile
		q[j] = y[j] - kernels.Dot(q[j+1:c1], s.column(j, j+1, c1, lo))
	}
	for j := c0; j < c1; j++ {
		q[j] += w[j]
	}
}

// decide sets q and e of columns c0 … c1.
func (s *sweeper) decide(r, c0, c1, lo int) {
	e, w, q := s.e[r*s.f.N:(r+1)*s.f.N], s.w.Row(r), s.q.Row(r)
	for j := c1 - 1; j >= c0; j-- {
		q[j] = 0
		if s.Mask.Kept(s.first+r, j) {
			q[j] = w[j] + (e[j] + kernels.Dot(e[j+1:c1], s.column(j, j+1, c1, lo)))
		}
		e[j] = w[j] - q[j]
	}
}
