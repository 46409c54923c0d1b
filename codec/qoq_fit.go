package codec

import (
	"encoding/binary"
	"math"

	"pith/kernels"
	"pith/tensor"
)

// Fit maps each row's largest magnitude to 119, and the range of each group of the integers, 0 included, to the 16 codes by the better of
// the two integer steps nearest to a fifteenth of it. With o.Search, rows are clipped too and groups take the step and zero of least importance-weighted squared error.
func (c qoqCodec) Fit(w tensor.Mat, importance []float32, o FitOptions) (Grid, error) {
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return nil, err
	}
	checkImportance(w, importance)
	groups := c.groups(w.Cols)
	t := &qoqTerm{qoqCodec: c, rows: w.Rows, cols: w.Cols, codes: make([]byte, w.Rows*packedBytes(w.Cols, 4)),
		steps: make([]byte, w.Rows*groups), zeros: make([]byte, w.Rows*groups), scales: make([]byte, 2*w.Rows)}
	trial := qoqRow{steps: make([]byte, groups), zeros: make([]byte, groups)}
	for r := range w.Rows {
		row := w.Row(r)
		pos, neg, finite := kernels.Extremes(row)
		if !finite {
			return nil, weightError(row, r, 0, c.Name(), errNotFinite)
		}
		peak := max(pos, neg)
		if peak > 65504 {
			return nil, weightError(row, r, 0, c.Name(), errTooLarge)
		}
		best := math.Inf(1)
		for _, clip := range qoqClips(o.Search) {
			trial.scale = tensor.Float32ToF16(float32(peak*clip) / qoqRange)
			loss := trial.fit(c.group, row, importance, o.Search)
			if loss < best {
				best = loss
				copy(t.steps[r*groups:], trial.steps)
				copy(t.zeros[r*groups:], trial.zeros)
				binary.LittleEndian.PutUint16(t.scales[2*r:], trial.scale)
			}
		}
		if wide := tensor.Float32ToF16(t.scale(r) * o.gain()); wide&0x7c00 != 0x7c00 {
			binary.LittleEndian.PutUint16(t.scales[2*r:], wide)
		}
	}
	return &qoqGrid{term: t}, nil
}

// qoqClips are the fractions of a row's largest magnitude that are tried as its range.
func qoqClips(search bool) []float32 {
	if search {
		return []float32{1, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6}
	}
	return []float32{1}
}

// qoqRow is a choice for one row.
type qoqRow struct {
	scale        uint16
	steps, zeros []byte
}

// fit chooses steps and zeros for the row at its scale and returns the weighted squared error of nearest codes.
func (q *qoqRow) fit(group int, row, importance []float32, search bool) (total float64) {
	inverse, scale := inverseOf(q.scale), tensor.F16ToFloat32(q.scale)
	for k := range q.steps {
		lo, hi := k*group, min(len(row), (k+1)*group)
		low, high := float32(0), float32(0)
		for _, v := range row[lo:hi] {
			v = qoqInteger(v, inverse)
			low, high = min(low, v), max(high, v)
		}
		step := max(1, int((high-low)/15)) // and one more: which of them loses less
		best := math.Inf(1)
		try := func(step, zero int) {
			if step < 1 || step > 16 || zero < 0 || zero > 15 {
				return
			}
			var loss float64
			for c, v := range row[lo:hi] {
				_, w8 := qoqCode(qoqInteger(v, inverse), step, zero)
				d := float64(v - float32(scale*w8))
				weight := 1.0
				if importance != nil {
					weight = float64(importance[lo+c])
				}
				loss += float64(weight * float64(d*d))
			}
			if loss < best {
				best, q.steps[k], q.zeros[k] = loss, byte(step), byte(zero)
			}
		}
		first, offsets := step, []int{0}
		if search {
			first, offsets = step-3, []int{-2, -1, 0, 1}
		}
		for s := first; s <= step+1; s++ {
			zero := min(int(nearestInt(-low/float32(max(s, 1)))), 15)
			for _, d := range offsets {
				try(s, zero+d)
			}
		}
		total += best
	}
	return total
}

// qoqInteger returns a weight in units of the row's scale, in the protective range.
func qoqInteger(v, inverse float32) float32 {
	return clampFloat(float32(v*inverse), -qoqRange, qoqRange)
}

// qoqCode returns the nearest code of v in units of the row's scale, and the integer it stands for: |w8| ≤ 119 + 16/2 whatever v was.
func qoqCode(v float32, step, zero int) (code uint8, w8 float32) {
	q := min(max(int(nearestInt(v/float32(step)))+zero, 0), 15)
	return uint8(q), float32((q - zero) * step)
}

// qoqGrid rounds to the scales of term.
type qoqGrid struct {
	term  *qoqTerm
	codes []uint8 // (rows, cols), made by the first Round
}

func (g *qoqGrid) Step() int { return 1 }

func (g *qoqGrid) Round(w tensor.Mat, c int) {
	g.unpacked()
	g.round(w, c, 0)
}

func (g *qoqGrid) unpacked() {
	if t := g.term; g.codes == nil {
		g.codes = make([]uint8, t.rows*t.cols)
	}
}

// round rounds column c of w, whose first row is row r0 of the grid.
func (g *qoqGrid) round(w tensor.Mat, c, r0 int) {
	t := g.term
	groups, k := t.groups(t.cols), c/t.group
	for r := range w.Rows {
		i := (r0+r)*groups + k
		stored := binary.LittleEndian.Uint16(t.scales[2*(r0+r):])
		v := &w.Data[r*w.Stride+c]
		code, w8 := qoqCode(qoqInteger(*v, inverseOf(stored)), int(t.steps[i]), int(t.zeros[i]))
		g.codes[(r0+r)*t.cols+c] = code
		*v = w8 * tensor.F16ToFloat32(stored)
	}
}

// Bands cuts the rows evenly: every one has its own scales.
func (g *qoqGrid) Bands() []Band {
	g.unpacked()
	return rowBands(g.term.rows, 1, g.round)
}

func (g *qoqGrid) Refit(row int, factor float32) float32 {
	return refitScale(g.term.scales[2*row:], factor)
}

func (g *qoqGrid) RoundAll(w tensor.Mat) {
	t := g.term
	g.codes = nil
	groups, rowBytes := t.groups(t.cols), packedBytes(t.cols, 4)
	codes := make([]uint8, t.cols)
	for r := range t.rows {
		inverse := inverseOf(binary.LittleEndian.Uint16(t.scales[2*r:]))
		for c, v := range w.Row(r) {
			i := r*groups + c/t.group
			codes[c], _ = qoqCode(qoqInteger(v, inverse), int(t.steps[i]), int(t.zeros[i]))
		}
		packCodes(t.codes[r*rowBytes:(r+1)*rowBytes], codes, 4)
	}
}

func (g *qoqGrid) Pack() Term {
	t := g.term
	if g.codes != nil {
		rowBytes := packedBytes(t.cols, 4)
		for r := range t.rows {
			packCodes(t.codes[r*rowBytes:(r+1)*rowBytes], g.codes[r*t.cols:(r+1)*t.cols], 4)
		}
		g.codes = nil
	}
	return t.ready()
}
