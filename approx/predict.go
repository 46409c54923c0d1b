package approx

import (
	"pith/codec"
	"pith/linalg"
	"pith/tensor"
)

// Predict returns what p's outputs lose if m replaces the weight, as a multiple of what they would lose by errors as large as the weights and alike in all
// directions: errors that inputs do not see count less than their size, others more. So losses of weights that read different inputs compare as
// relative errors do. Of rows spread evenly over the matrix where m solves rows one by one, else of all; without statistics of the input it is the
// relative error itself.
func Predict(m Method, p Problem) (float64, error) {
	if m.RowWise() {
		p.W = Sample(p.W)
	}
	term, report, err := m.Solve(p)
	if err != nil {
		return 0, err
	}
	return RelativeLoss(p, term, report), nil
}

// RelativeLoss is what Predict returns of a solution.
func RelativeLoss(p Problem, term codec.Term, report Report) float64 {
	importance := p.Stats.Importance()
	if importance == nil {
		if report.ProxyNorm > 0 { // rows count, by how often they are read
			return report.Proxy / report.ProxyNorm
		}
		return report.Relative()
	}
	loss, mean := report.SquaredError, meanOf(importance)
	if p.Stats.Gram != nil {
		mean = meanOf(p.Stats.SqSum) / float64(p.Stats.Tokens)
		if loss = report.Proxy; report.ProxyNorm == 0 {
			loss, _ = OutputLoss(p, term)
		}
	}
	var size float64
	for r := range p.W.Rows {
		for _, v := range p.W.Row(r) {
			size += float64(v) * float64(v)
		}
	}
	if loss == 0 {
		return 0
	}
	return loss / (size * mean)
}

func meanOf[T float32 | float64](x []T) (mean float64) {
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	return mean
}

// sampleRows and sampleWeights bound a sample.
const (
	sampleRows    = 64
	sampleWeights = 1 << 18
)

// Sample returns at most sampleRows rows, at most sampleWeights weights but no less than one row, in the middle of equal ranges: the same ones every
// time.
func Sample(w tensor.Mat) tensor.Mat {
	if w.Cols == 0 {
		return w
	}
	n := min(sampleRows, max(1, sampleWeights/w.Cols))
	if w.Rows <= n {
		return w
	}
	out := tensor.NewMat(n, w.Cols)
	for i := range n {
		copy(out.Row(i), w.Row((2*i+1)*w.Rows/(2*n)))
	}
	return out
}

// OutputLoss returns tr(E·H·Eᵀ) of E = W - Ŵ and tr(W·H·Wᵀ), H the mean of x·xᵀ over tokens; zeros if p's statistics have no Gram matrix.
func OutputLoss(p Problem, term codec.Term) (loss, norm float64) {
	n := p.W.Cols
	h, why := p.Stats.MeanGram(n)
	if why != "" {
		return 0, 0
	}
	for i := range n {
		for j, v := range h.Row(i)[:i] {
			h.Data[j*n+i] = v
		}
	}
	metric := linalg.Dense{Rows: n, Cols: n, Data: h.Data}
	const rows = 256 // at a time
	for lo := 0; lo < p.W.Rows && p.Err() == nil; lo += rows {
		hi := min(p.W.Rows, lo+rows)
		got := tensor.NewMat(hi-lo, n)
		codec.Read(term, got, lo)
		w, e := linalg.NewDense(hi-lo, n), linalg.NewDense(hi-lo, n)
		for r := range hi - lo {
			for c, v := range p.W.Row(lo + r) {
				w.Row(r)[c], e.Row(r)[c] = float64(v), float64(v)-float64(got.Row(r)[c])
			}
		}
		loss += inner(e, e.TimesT(metric, p.Workers))
		norm += inner(w, w.TimesT(metric, p.Workers))
	}
	return max(loss, 0), max(norm, 0)
}

// inner is Σ a·b, over elements in their order.
func inner(a, b linalg.Dense) (sum float64) {
	for i, v := range a.Data {
		sum += float64(v * b.Data[i])
	}
	return sum
}
