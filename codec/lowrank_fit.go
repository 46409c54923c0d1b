package codec

import (
	"math"

	"pith/linalg"
	"pith/tensor"
)

// Fit takes V of w's singular value decomposition, rounds it, and fits U's scales to the best U for the V that is stored. The grid then has
// that V: rows are rounded to the nearest products with it. With Search the columns count as importance says, scales are searched, and what is
// better of that and the plain fit is taken. Masks and gains are not looked at.
func (c LowRank) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := checkFit(c, w, importance); err != nil {
		return nil, err
	}
	for r := range w.Rows {
		for _, v := range w.Row(r) {
			if max(v, -v) > rotatedLimit {
				return nil, largestError(w, c.Name(), errTooLarge)
			}
		}
	}
	plain, err := c.fit(w, nil, FitOptions{})
	if err != nil || !o.Search {
		return plain, err
	}
	searched, err := c.fit(w, importance, FitOptions{Search: true})
	if err == nil && searched.loss(w, importance) < plain.loss(w, importance) {
		return searched, nil
	}
	return plain, nil
}

func (c LowRank) fit(w tensor.Mat, importance []float32, o FitOptions) (*lowRankGrid, error) {
	rank := c.Rank(w.Rows, w.Cols)
	weights := rootWeights(importance, w.Cols)
	u, v, err := factors(w, weights, rank)
	if err != nil {
		return nil, largestError(w, c.Name(), err)
	}
	vGrid, err := c.inner.Fit(v, importance, o)
	if err != nil {
		return nil, largestError(w, c.Name(), err)
	}
	RoundAll(vGrid, v, 1)
	g := &lowRankGrid{codec: c, v: vGrid.Pack(), cols: w.Cols}
	Read(g.v, v, 0)
	var ok bool
	if g.solve, ok = rightInverse(v, weights); ok {
		u = g.rows(w)
	}
	energy := make([]float32, rank)
	for k := range energy {
		energy[k] = float32(squares(v.Row(k), nil))
	}
	if g.u, err = c.inner.Fit(u, energy, o); err != nil {
		return nil, largestError(w, c.Name(), err)
	}
	return g, nil
}

// rootWeights returns the roots of importance, the smallest raised to what can be divided by; nil for nil.
func rootWeights(importance []float32, cols int) []float64 {
	if importance == nil {
		return nil
	}
	var top float32
	for _, v := range importance {
		top = max(top, v)
	}
	if top == 0 {
		return nil
	}
	weights := make([]float64, cols)
	for i, v := range importance {
		weights[i] = math.Sqrt(max(float64(v)/float64(top), 1e-9))
	}
	return weights
}

// factors returns U and V, whose product is the best of this rank for columns weighed by weights (nil: 1): of the eigenvectors Q of
// W·D²·Wᵀ, D the weights, U = Q and V = Qᵀ·W, or of those of D·Wᵀ·W·D, U = W·D·Q and V = Qᵀ·D⁻¹, whichever matrix is smaller. Singular
// values are split evenly.
func factors(w tensor.Mat, weights []float64, rank int) (u, v tensor.Mat, err error) {
	u, v = tensor.NewMat(w.Rows, rank), tensor.NewMat(rank, w.Cols)
	if rank == 0 {
		return u, v, nil
	}
	a := linalg.NewDense(w.Rows, w.Cols)
	for r := range w.Rows {
		row := a.Row(r)
		for c, x := range w.Row(r) {
			row[c] = float64(x)
			if weights != nil {
				row[c] *= weights[c]
			}
		}
	}
	tall := w.Rows > w.Cols
	if tall {
		a = a.Transposed()
	}
	values, vectors, err := linalg.Eigen(linalg.Matrix{N: a.Rows, Data: a.TimesT(a, 1).Data}, 1)
	if err != nil {
		return u, v, err
	}
	q := linalg.Dense{Rows: rank, Cols: a.Rows, Data: vectors.Data[:rank*a.Rows]}
	p := q.Times(a, 1) // (rank, the longer side): σ times the other side's vectors
	for k := range rank {
		root := math.Sqrt(math.Sqrt(max(values[k], 0)))
		if values[k] <= 1e-20*values[0] || root == 0 {
			continue // nothing is there: zeros
		}
		left, right := q.Row(k), p.Row(k)
		leftScale, rightScale := root, 1/root
		if tall {
			left, right = right, left
			leftScale, rightScale = rightScale, leftScale
		}
		for r, x := range left {
			u.Data[r*rank+k] = float32(x * leftScale)
		}
		for c, x := range right {
			if weights != nil {
				x /= weights[c]
			}
			v.Row(k)[c] = float32(x * rightScale)
		}
	}
	return u, v, nil
}

// rightInverse returns P = D²·Vᵀ·(V·D²·Vᵀ)⁻¹, transposed: W·P is the U that brings U·V nearest to W. ok is false if V is all zero.
func rightInverse(v tensor.Mat, weights []float64) (p linalg.Dense, ok bool) {
	a := linalg.NewDense(v.Rows, v.Cols)
	for k := range v.Rows {
		row := a.Row(k)
		for c, x := range v.Row(k) {
			row[c] = float64(x)
			if weights != nil {
				row[c] *= weights[c]
			}
		}
	}
	gram := linalg.Matrix{N: v.Rows, Data: a.TimesT(a, 1).Data}
	var top float64
	for k := range v.Rows {
		top = max(top, gram.Row(k)[k])
	}
	if top == 0 {
		return p, false
	}
	for k := range v.Rows {
		gram.Row(k)[k] += 1e-9 * top // rows may be zero, or nearly the same
	}
	if linalg.Cholesky(gram, 1) != nil {
		return p, false
	}
	p = a.Transposed()
	linalg.SolveRight(gram, p.Data, p.Rows, 1)
	for c, d := range weights {
		row := p.Row(c)
		for k := range row {
			row[k] *= d
		}
	}
	return p.Transposed(), true
}

// lowRankGrid rounds whole rows to products with the V that it has.
type lowRankGrid struct {
	codec LowRank
	v     Term
	u     Grid
	solve linalg.Dense // (rank, cols), empty if V is zero
	cols  int
}

func (g *lowRankGrid) Step() int { return max(g.cols, 1) }

func (g *lowRankGrid) Round(w tensor.Mat, _ int) {
	g.RoundAll(w)
	Read(g.Pack(), w, 0)
}

func (g *lowRankGrid) RoundAll(w tensor.Mat) { RoundAll(g.u, g.rows(w), 1) }

func (g *lowRankGrid) Pack() Term { return g.codec.Join(g.u.Pack(), g.v) }

// rows returns the best U for rows w: zeros if V is zero.
func (g *lowRankGrid) rows(w tensor.Mat) tensor.Mat {
	rank, _ := g.v.Dims()
	out := tensor.NewMat(w.Rows, rank)
	if g.solve.Rows == 0 {
		return out
	}
	a := linalg.NewDense(w.Rows, w.Cols)
	for r := range w.Rows {
		for c, x := range w.Row(r) {
			a.Row(r)[c] = float64(x)
		}
	}
	for i, x := range a.TimesT(g.solve, 1).Data {
		out.Data[i] = float32(min(max(x, -math.MaxFloat32), math.MaxFloat32))
	}
	return out
}

// loss returns the weighted squared error of rounding w.
func (g *lowRankGrid) loss(w tensor.Mat, importance []float32) float64 {
	g.RoundAll(w)
	left := copyOf(w)
	subtract(left, g.Pack())
	return weightedSquares(left, importance)
}
