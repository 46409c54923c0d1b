//go:build !noasm

package kernels

// vector is rowPlain by the level's instructions; false where there are none. codes holds span bytes.
func (t *Tables) vector(l level, codes []byte, first int, in *TableInput) (float32, bool) {
	if l == generic {
		return 0, false
	}
	ranges := (t.cols + t.each - 1) / t.each
	last := t.cols - (ranges-1)*t.each
	entries, scales := &t.entries[first<<t.width], &t.scales[first]
	if t.width == 4 && l == avx512 {
		steps := (last + tableStep - 1) / tableStep
		return tablesRow4x512(&codes[0], entries, scales, ranges, t.each/tableStep, steps, &(*in.arranged)[0]), true
	}
	run := tablesRow4x256
	switch wide := l == avx512; {
	case t.width == 3 && wide:
		run = tablesRow3x512
	case t.width == 3:
		run = tablesRow3x256
	case t.width == 2 && wide:
		run = tablesRow2x512
	case t.width == 2:
		run = tablesRow2x256
	}
	return run(&codes[0], entries, scales, ranges, t.each/tablePair, (last+tablePair-1)/tablePair, &in.x.Codes[0], &in.x.Scales[0]), true
}

// arrangedBytes is what arrangex512 makes of 128 activations.
const arrangedBytes = 256

// arrange returns what tablesRow4x512 needs of x, nil where that is not used.
func (t *Tables) arrange(l level, x *Q8) *[]byte {
	if l != avx512 || t.width != 4 || t.cols == 0 {
		return nil
	}
	steps := (t.cols + tableStep - 1) / tableStep
	buf := getPadded(steps * arrangedBytes)
	arrangex512(&(*buf)[0], &x.Codes[0], &x.Scales[0], steps)
	return buf
}

func lookUpBlocks(l level, dst []float32, codes []byte, table *[16]float32, blocks int) {
	f := lookUpx256
	if l == avx512 {
		f = lookUpx512
	}
	f(&dst[0], &codes[0], &table[0], blocks)
}
