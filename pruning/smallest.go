package pruning

import "math"

// ordered maps scores to integers of the same order; the two zeros are equal. NaN comes out on top or at the bottom, by its sign.
func ordered(v float32) uint32 {
	bits := math.Float32bits(v + 0)
	if bits>>31 != 0 {
		return ^bits
	}
	return bits | 1<<31
}

// threshold is where a number of lowest scores ends: those below value, and of those equal to it the first ties.
type threshold struct {
	value uint32
	ties  int
}

// lowest returns the threshold of the count lowest of n scores in rows; each calls its argument with every row, in order. Two passes over
// the halves of the bits count how often each occurs, so the time does not depend on the scores. count must be in 1 … n.
func lowest(count int, each func(f func(row []float32))) threshold {
	histogram := make([]int, 1<<16)
	each(func(row []float32) {
		for _, v := range row {
			histogram[ordered(v)>>16]++
		}
	})
	high, left := reach(histogram, count)
	clear(histogram)
	each(func(row []float32) {
		for _, v := range row {
			if key := ordered(v); key>>16 == high {
				histogram[key&0xffff]++
			}
		}
	})
	low, left := reach(histogram, left)
	return threshold{high<<16 | low, left}
}

// reach returns the entry at which the sum of the histogram reaches count, and what is then left for that entry.
func reach(histogram []int, count int) (at uint32, left int) {
	for i, n := range histogram {
		if count <= n {
			return uint32(i), count
		}
		count -= n
	}
	panic("pruning: more elements to prune than there are")
}

// below reports whether v is among the lowest, of equal ones those asked about first.
func (t *threshold) below(v float32) bool {
	key := ordered(v)
	if key == t.value && t.ties > 0 {
		t.ties--
		return true
	}
	return key < t.value
}
