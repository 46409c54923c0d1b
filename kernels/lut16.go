package kernels

// Tables multiplies rows of packed codes of 2, 3 or 4 bits, which count in tables, by int8 activations. A table's numbers are rounded to
// integers of 15 bits with one scale: numbers are off by at most max|table|/32766. It is safe for concurrent use.
type Tables struct {
	width, cols, each int
	entries           []int16   // (tables, 2^width)
	scales            []float32 // of each table
}

// maxEntry bounds an entry so that the sum of two products with int8 numbers is exact in float32.
const maxEntry = 16383

// NewTables returns the product of rows of cols codes; each columns, a multiple of 128 (or all), share a table, the next each the table after it.
// values holds the tables of 2^width numbers, all finite, one after another.
func NewTables(values []float32, width, cols, each int) *Tables {
	n := 1 << width
	if width < 2 || width > 4 || len(values)%n != 0 || each < cols && each%tableStep != 0 {
		panic("kernels: tables that do not fit their codes")
	}
	t := &Tables{width: width, cols: cols, each: each, entries: make([]int16, len(values)), scales: make([]float32, len(values)/n)}
	for i := range t.scales {
		table := values[i*n : (i+1)*n]
		pos, neg, _ := Extremes(table)
		if peak := max(pos, neg); peak > 0 {
			t.scales[i] = peak / maxEntry
			inverse := maxEntry / float64(peak)
			for k, v := range table {
				t.entries[i*n+k] = int16(roundHalfUp(float64(v) * inverse))
			}
		}
	}
	return t
}

// roundHalfUp rounds to the nearest integer.
func roundHalfUp(v float64) int {
	if v < 0 {
		return -int(0.5 - v)
	}
	return int(v + 0.5)
}

// tableStep is how many columns ranges are multiples of.
const tableStep = 128

// tablePair is how many columns vector kernels take at once; tableSlack, what they may read beyond.
const (
	tablePair  = 2 * Q8Block
	tableSlack = 8
)

// Row returns the product of a row of codes, the first of whose tables is number first, with x. Four bits are packed as MatVecInt4's, two and three as
// MatVecInt6's. Every level gives the same bytes.
func (t *Tables) Row(codes []byte, first int, x Q8) float32 { return t.row(chosen, codes, first, x) }

func (t *Tables) row(l level, codes []byte, first int, x Q8) float32 {
	ranges := (t.cols + t.each - 1) / t.each
	if len(codes) < (t.cols*t.width+7)/8 || t.cols == 0 || first < 0 || first+ranges > len(t.scales) || !x.holds(t.cols) {
		panic("kernels: product of tables with a row shorter than its shape")
	}
	if l != generic {
		span := (t.cols+tablePair-1)/tablePair*tablePair*t.width/8 + tableSlack
		if len(codes) < span {
			padded := getPadded(span)
			defer paddedPool.Put(padded)
			copy(*padded, codes)
			codes = *padded
		}
		if v, ok := t.vector(l, codes, first, &x); ok {
			return v
		}
	}
	return t.rowPlain(codes, first, &x)
}

// tableLanes is how many partial sums there are: one for each two columns of a block of 32.
const tableLanes = 16

// rowPlain is the definition. In each range, block b adds to lane i of accumulator b%2 the exact integer sum of columns 2i and 2i+1 times
// the activations' scale, by a fused multiply-add; lanes of both accumulators are added, and times the table's scale added to the total's
// by another. The upper half of the lanes is then added to the lower until one is left.
func (t *Tables) rowPlain(codes []byte, first int, x *Q8) float32 {
	var total [tableLanes]float64
	var block [Q8Block]uint8
	n := 1 << t.width
	codes = codes[:(t.cols*t.width+7)/8]
	for c := 0; c < t.cols; first++ {
		table := t.entries[first*n : (first+1)*n]
		var acc [2][tableLanes]float64
		end := min(t.cols, c+t.each)
		for b0 := c / Q8Block; c < end; c += Q8Block {
			b := c / Q8Block
			unpackTableCodes(&block, codes, b, t.width)
			a := x.Codes[b*Q8Block:][:Q8Block]
			var sums [tableLanes]int32
			for i := range sums {
				sums[i] = int32(table[block[2*i]])*int32(a[2*i]) + int32(table[block[2*i+1]])*int32(a[2*i+1])
			}
			fusedScaled(acc[(b-b0)%2][:], x.Scales[b], sums[:])
		}
		c = end
		scale := float64(t.scales[first])
		for i := range total {
			sum := float32(acc[0][i]) + float32(acc[1][i])
			total[i] = fusedSum(scale*float64(sum), total[i])
		}
	}
	var s [tableLanes]float32
	for i, v := range total {
		s[i] = float32(v)
	}
	for half := tableLanes / 2; half > 0; half /= 2 {
		for i := range half {
			s[i] += s[i+half]
		}
	}
	return s[0]
}

// unpackTableCodes sets dst to the codes of block b of a row; those past the row's end to anything below 2^width.
func unpackTableCodes(dst *[Q8Block]uint8, codes []byte, b, width int) {
	var last [16]byte
	block := codes[4*width*b:]
	if len(block) < 4*width {
		if width == 4 { // a shorter block has its high nibbles for columns after half of it, which layouts of 32 do not
			panic("kernels: a row of 4-bit codes that does not end with a block of 32")
		}
		copy(last[:], block)
		block = last[:]
	}
	if width == 4 {
		unpackNibbles(dst[:], block)
		return
	}
	mask := uint32(1)<<width - 1
	for i := range dst {
		at := i * width
		v := uint32(block[at>>3]) >> (at & 7)
		if at&7+width > 8 {
			v |= uint32(block[at>>3+1]) << (8 - at&7)
		}
		dst[i] = uint8(v & mask)
	}
}

// LookUp sets each dst[i] to table[codes[i]], codes below 16.
func LookUp(dst []float32, codes []byte, table *[16]float32) { lookUp(chosen, dst, codes, table) }

func lookUp(l level, dst []float32, codes []byte, table *[16]float32) {
	codes = codes[:len(dst)]
	if blocks := len(dst) / 16; l != generic && blocks > 0 {
		lookUpBlocks(l, dst, codes, table, blocks)
		dst, codes = dst[16*blocks:], codes[16*blocks:]
	}
	for i, c := range codes {
		dst[i] = table[c&15]
	}
}
