package quantizers

import (
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/internal/par"
	"pith/kernels"
	"pith/tensor"
)

// Incoherent solves a problem in a rotated basis: Method sees T = W·Qᵀ and the statistics of Q·x, and its term T̂ becomes T̂·Q (the
// inner codec's name with -had). Q is kernels.Rotate's fixed random orthonormal matrix: outliers of weights and inputs are spread
// over all columns, so that what is left to round looks Gaussian and one scale suits a whole row. Errors are what they are in the
// rotated basis, since Q keeps lengths. Chee et al. 2023 (QuIP, arXiv 2307.13304), Tseng et al. 2024 (QuIP#, arXiv 2402.04396).
type Incoherent struct{ Method approx.Method }

// ForCodec returns the method that build makes for c: if c stores rotated matrices, Incoherent with what build makes for its inner codec.
func ForCodec(c codec.Codec, build func(codec.Codec) approx.Method) approx.Method {
	if inner, ok := codec.Unrotate(c); ok {
		return Incoherent{build(inner)}
	}
	return build(c)
}

// Name returns the inner method's name: the codec's name says that it is rotated.
func (m Incoherent) Name() string { return m.Method.Name() }

// Needs returns what the inner method needs.
func (m Incoherent) Needs() calib.Need { return m.Method.Needs() }

// RowWise reports what the inner method does: columns are rotated, rows stay apart.
func (m Incoherent) RowWise() bool { return m.Method.RowWise() }

// Check is the inner method's, if it has one: whether it works with its codec.
func (m Incoherent) Check() error {
	if c, ok := m.Method.(interface{ Check() error }); ok {
		return c.Check()
	}
	return nil
}

// Solve solves the rotated problem and rotates its term back.
func (m Incoherent) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	err := codec.CheckFinite(p.W)
	if err == nil {
		err = checkRotatable(p.W)
	}
	if err != nil {
		return nil, approx.Report{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	if inner, ok := m.Method.(netted); ok { // whose safety net needs columns as they were
		return safely(p, rotated(inner.attempt), rotated(inner.nearest().Solve))
	}
	clean, note := withoutDead(p)
	term, report, err := rotated(m.Method.Solve)(clean)
	if err != nil {
		return nil, approx.Report{}, err
	}
	measured := approx.Measure(p, term)
	report.SquaredError, report.SquaredNorm = measured.SquaredError, measured.SquaredNorm
	report.Fallback = joined(note, report.Fallback)
	return term, report, nil
}

// rotatableLimit is the largest magnitude that rotating rows of 2²⁴ columns back and forth leaves finite.
const rotatableLimit = 0x1p90

func checkRotatable(w tensor.Mat) error {
	for r := range w.Rows {
		for c, v := range w.Row(r) {
			if v > rotatableLimit || v < -rotatableLimit {
				return fmt.Errorf("weight at row %d, column %d is %g: too large to be rotated; use bf16 or f32 for this tensor", r, c, v)
			}
		}
	}
	return nil
}

// rotated has solve see rotated problems, and rotates its terms back.
func rotated(solve attempt) attempt {
	return func(p approx.Problem) (codec.Term, approx.Report, error) {
		turned, err := rotateProblem(p)
		if err != nil {
			return nil, approx.Report{}, err
		}
		term, report, err := solve(turned)
		if p.Err() != nil {
			return nil, approx.Report{}, p.Err()
		}
		if err != nil {
			return nil, approx.Report{}, fmt.Errorf("%w (columns counted after rotation)", err)
		}
		term = codec.RotateTerm(term)
		measured := approx.Measure(p, term)
		report.SquaredError, report.SquaredNorm = measured.SquaredError, measured.SquaredNorm
		return term, report, nil
	}
}

// rotateProblem returns p with rotated rows and statistics. An error is that of p's context.
func rotateProblem(p approx.Problem) (approx.Problem, error) {
	w := tensor.NewMat(p.W.Rows, p.W.Cols)
	par.Ranges(p.Workers, w.Rows, 16, func(r0, r1 int) {
		for r := r0; r < r1; r++ {
			copy(w.Row(r), p.W.Row(r))
			kernels.Rotate(w.Row(r))
		}
	})
	stats, err := rotateStats(p)
	p.W, p.Stats = w, stats
	return p, err
}

// rotateStats returns the statistics of p's rotated inputs. They are kept with p's, so that weights which share an input share them.
// Moments alone become those that a rotation of random signs gives in the mean.
func rotateStats(p approx.Problem) (*calib.Stats, error) {
	s := p.Stats
	if s == nil || s.SqSum == nil {
		return s, nil
	}
	made, err := s.TryDerive("quantizers: rotated", func() (any, error) {
		t := &calib.Stats{Tokens: s.Tokens, NonFinite: s.NonFinite, SqSum: append([]float64(nil), s.SqSum...)}
		if s.Gram == nil {
			kernels.RotateSquares(t.SqSum)
			return t, nil
		}
		t.Gram = rotateGram(p)
		if p.Err() != nil {
			return nil, p.Err()
		}
		for i := range t.SqSum {
			t.SqSum[i] = t.GramRow(i)[i]
		}
		return t, nil
	})
	if err != nil {
		return nil, err
	}
	return made.(*calib.Stats), nil
}

// rotateGram returns the packed lower triangle of Q·G·Qᵀ for the Gram matrix of p's statistics, (n, n), which it unpacks: 8·n² bytes
// besides. Every row is rotated on its own, so the bytes do not depend on workers; once p's context has ended they mean nothing.
func rotateGram(p approx.Problem) []float64 {
	s, workers := p.Stats, p.Workers
	n := len(s.SqSum)
	full := make([]float64, n*n)
	row := func(i int) []float64 { return full[i*n : (i+1)*n] }
	for i := range n {
		copy(row(i), s.GramRow(i))
	}
	if p.Err() != nil {
		return nil
	}
	mirrorLower(full, n, workers)
	par.Ranges(workers, n, 16, func(lo, hi int) {
		for i := lo; i < hi && p.Err() == nil; i++ {
			kernels.Rotate64(row(i))
		}
	})
	if p.Err() != nil {
		return nil
	}
	transposeSquare(full, n, workers)
	packed := make([]float64, n*(n+1)/2)
	par.Ranges(workers, n, 16, func(lo, hi int) {
		for i := lo; i < hi && p.Err() == nil; i++ {
			kernels.Rotate64(row(i))
			copy(packed[i*(i+1)/2:], row(i)[:i+1])
		}
	})
	return packed
}

// transposeTile is the side of the squares in which matrices are transposed: two of them fit a first-level cache.
const transposeTile = 32

// mirrorLower copies the lower triangle of the n × n matrix a to the upper.
func mirrorLower(a []float64, n, workers int) {
	eachTile(n, workers, func(i, j int) { a[j*n+i] = a[i*n+j] })
}

// transposeSquare transposes the n × n matrix a in place.
func transposeSquare(a []float64, n, workers int) {
	eachTile(n, workers, func(i, j int) { a[j*n+i], a[i*n+j] = a[i*n+j], a[j*n+i] })
}

// eachTile calls f for every i > j of an n × n matrix, tile by tile; workers have different pairs.
func eachTile(n, workers int, f func(i, j int)) {
	par.Ranges(workers, n, transposeTile, func(i0, i1 int) {
		for j0 := 0; j0 < i1; j0 += transposeTile {
			for i := i0; i < i1; i++ {
				for j := j0; j < min(i, j0+transposeTile); j++ {
					f(i, j)
				}
			}
		}
	})
}
