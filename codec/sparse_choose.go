package codec

import (
	"math"
	"math/bits"

	"pith/tensor"
)

// chooseMask keeps the elements of largest |w|·√importance: n of each group of m columns, or as many as c stores of the whole matrix.
// Of equal ones those that come first are kept, so that their number is exact.
func (c sparseCodec) chooseMask(w tensor.Mat, importance []float32) *Mask {
	roots := make([]float32, w.Cols)
	for i := range roots {
		roots[i] = 1
		if importance != nil {
			roots[i] = float32(math.Sqrt(float64(importance[i])))
		}
	}
	if c.kind == groupPattern {
		return c.chooseGroups(w, roots)
	}
	return chooseLargest(w, roots, c.Kept(w.Rows, w.Cols))
}

// score orders elements: the bits of a magnitude, which grow with it; NaN is above all.
func score(v, root float32) uint32 { return math.Float32bits(v*root) & 0x7fffffff }

// chooseLargest keeps kept elements. Three passes find the lowest score that is kept, a third of its bits each, so that no scores are stored.
func chooseLargest(w tensor.Mat, roots []float32, kept int64) *Mask {
	m := NewMask(w.Rows, w.Cols)
	if kept == 0 {
		return m
	}
	least, left := uint32(0), kept
	counts := make([]int64, 1<<11)
	above := 31 // bits, of which least has those from here on
	for _, shift := range []int{20, 10, 0} {
		clear(counts)
		for r := range w.Rows {
			for c, v := range w.Row(r) {
				if s := score(v, roots[c]); s>>above == least>>above {
					counts[s>>shift&(1<<(above-shift)-1)]++
				}
			}
		}
		var digit uint32
		digit, left = lowestKept(counts, left)
		least |= digit << shift
		above = shift
	}
	for r := range w.Rows {
		for c, v := range w.Row(r) {
			switch s := score(v, roots[c]); {
			case s > least:
				m.Set(r, c, true)
			case s == least && left > 0:
				left--
				m.Set(r, c, true)
			}
		}
	}
	return m
}

// lowestKept returns the lowest score of the kept highest ones, and how many of that score are among them.
func lowestKept(counts []int64, kept int64) (at uint32, left int64) {
	left = kept
	for s := len(counts) - 1; s > 0; s-- {
		if counts[s] >= left {
			return uint32(s), left
		}
		left -= counts[s]
	}
	return 0, left
}

// chooseGroups keeps n of each group of m columns, of the last one as many as its share.
func (c sparseCodec) chooseGroups(w tensor.Mat, roots []float32) *Mask {
	m := NewMask(w.Rows, w.Cols)
	var scores [largestGroup]uint32
	for r := range w.Rows {
		row := w.Row(r)
		for c0 := 0; c0 < w.Cols; c0 += c.m {
			s := scores[:min(c.m, w.Cols-c0)]
			for i := range s {
				s[i] = score(row[c0+i], roots[c0+i])
			}
			words := m.Row(r)
			for kept := largestOf(s, c.groupKept(len(s))); kept != 0; kept &= kept - 1 {
				at := c0 + bits.TrailingZeros64(kept)
				words[at>>6] |= 1 << (at & 63)
			}
		}
	}
	return m
}

// largestOf returns which n of at most 64 scores are the largest, of equal ones the first.
func largestOf(s []uint32, n int) (kept uint64) {
	for i, v := range s {
		larger := 0
		for _, u := range s[:i] {
			larger += int(^(u - v) >> 31) // u ≥ v: scores have 31 bits
		}
		for _, u := range s[i+1:] {
			larger += int((v - u) >> 31)
		}
		if larger < n {
			kept |= 1 << i
		}
	}
	return kept
}

// groupKept returns how many elements of a group of cols ≤ m columns are stored.
func (c sparseCodec) groupKept(cols int) int { return (cols*c.n + c.m - 1) / c.m }
