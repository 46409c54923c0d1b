package stack

import (
	"context"
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/internal/par"
	"pith/kernels"
	"pith/tensor"
)

// solve makes the blocks of matrix i, unless an earlier run has.
func (b *builder) solve(ctx context.Context, i int, set *calib.Set) error {
	m := b.stacked[i]
	if terms, err := b.work.load(i, m); err == nil {
		b.resumed++
		m.sizes(terms)
		return nil
	}
	m.losses = nil
	w, err := b.read(m)
	if err != nil {
		return err
	}
	method, err := b.Method(m.rows, m.cols)
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	var stats *calib.Stats
	if set != nil {
		if stats, err = set.For(m.name, m.cols, method.Needs()|calib.Gram); err != nil {
			return err
		}
	}
	p := approx.Problem{Name: m.name, W: w, Stats: stats, Workers: b.Workers, Context: ctx}
	var terms []codec.Term
	var loss *loss
	for range b.Levels {
		term, report, err := method.Solve(p)
		if err != nil {
			return err
		}
		known := report.ProxyNorm > 0 // the method says what blocks lose at the outputs
		if !known && loss == nil {
			loss = newLoss(stats, m.cols)
		}
		if m.losses == nil {
			first := report.ProxyNorm
			if !known {
				first = loss.of(b.Workers, w)
			}
			m.losses = []float64{first}
		}
		terms = append(terms, term)
		subtract(w, term)
		left := report.Proxy
		if !known {
			left = loss.of(b.Workers, w)
		}
		m.losses = append(m.losses, left)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.sizes(terms)
	return b.work.save(i, m, terms)
}

// subtract takes a block off w.
func subtract(w tensor.Mat, block codec.Term) {
	buf := tensor.NewMat(min(w.Rows, 64), w.Cols)
	for r0 := 0; r0 < w.Rows; r0 += 64 {
		value := buf.Slice(0, min(64, w.Rows-r0))
		codec.Read(block, value, r0)
		for r := range value.Rows {
			for c, v := range value.Row(r) {
				w.Row(r0 + r)[c] -= v
			}
		}
	}
}

// sizes notes the blocks' bytes.
func (m *matrix) sizes(terms []codec.Term) {
	m.bytes = nil
	for _, t := range terms {
		m.bytes = append(m.bytes, t.Bytes())
	}
}

// read returns a matrix in float32, (out, in).
func (b *builder) read(m *matrix) (tensor.Mat, error) {
	rows, err := b.ckpt.Rows(m.name)
	if err != nil {
		return tensor.Mat{}, err
	}
	if r, _ := rows.Dims(); r != m.rows || m.transposed && m.rows == m.cols && !b.packedTransposed(m.name) {
		rows = rows.Transpose()
	}
	w := tensor.NewMat(m.rows, m.cols)
	if err := rows.Read(w, 0); err != nil {
		return w, err
	}
	if err := codec.CheckFinite(w); err != nil {
		return w, fmt.Errorf("%s: %w", m.name, err)
	}
	return w, nil
}

// packedTransposed reports whether the checkpoint stores the transpose of what it states.
func (b *builder) packedTransposed(name string) bool {
	info, err := b.ckpt.Info(name)
	return err == nil && info.Transposed
}

// loss measures what is left of a matrix: tr(R·H·Rᵀ) of the mean Gram matrix H, or ‖R‖² weighted by the inputs' mean squares, or not at all.
type loss struct {
	n          int
	h          []float64
	importance []float32
}

func newLoss(s *calib.Stats, cols int) *loss {
	l := &loss{n: cols}
	h, why := s.MeanGram(cols)
	if why != "" {
		l.importance = s.Importance()
		return l
	}
	for i := range cols {
		for j := range i {
			h.Data[j*cols+i] = h.Data[i*cols+j]
		}
	}
	l.h = h.Data
	return l
}

func (l *loss) of(workers int, r tensor.Mat) (sum float64) {
	const grain = 32
	parts := make([]float64, (r.Rows+grain-1)/grain)
	par.Ranges(workers, r.Rows, grain, func(lo, hi int) { parts[lo/grain] = l.rows(r.Slice(lo, hi)) })
	for _, p := range parts {
		sum += p
	}
	return max(0, sum)
}

func (l *loss) rows(r tensor.Mat) (sum float64) {
	wide := make([]float64, r.Rows*l.n)
	for i := range r.Rows {
		for c, v := range r.Row(i) {
			wide[i*l.n+c] = float64(v)
		}
	}
	if l.h != nil {
		turned := make([]float64, len(wide))
		kernels.Gemm64NT(turned, l.n, wide, l.n, l.h, l.n, r.Rows, l.n, l.n)
		return kernels.Dot64(wide, turned)
	}
	for i, v := range wide {
		weight := 1.0
		if l.importance != nil {
			weight = float64(l.importance[i%l.n])
		}
		sum += weight * float64(v*v)
	}
	return sum
}
