//go:build !noasm

package kernels

// vector is rowPlain by the level's instructions; false where there are none. codes may be read up to span.
func (t *Tables) vector(l level, codes []byte, first int, x *Q8) (float32, bool) {
	if l == generic {
		return 0, false
	}
	ranges := (t.cols + t.each - 1) / t.each
	last := (t.cols - (ranges-1)*t.each + tablePair - 1) / tablePair
	run := tablesRow4x256
	switch wide := l == avx512; {
	case t.width == 4 && wide:
		run = tablesRow4x512
	case t.width == 3 && wide:
		run = tablesRow3x512
	case t.width == 3:
		run = tablesRow3x256
	case t.width == 2 && wide:
		run = tablesRow2x512
	case t.width == 2:
		run = tablesRow2x256
	}
	return run(&codes[0], &t.entries[first<<t.width], &t.scales[first], ranges, t.each/tablePair, last, &x.Codes[0], &x.Scales[0]), true
}

func lookUpBlocks(l level, dst []float32, codes []byte, table *[16]float32, blocks int) {
	f := lookUpx256
	if l == avx512 {
		f = lookUpx512
	}
	f(&dst[0], &codes[0], &table[0], blocks)
}
