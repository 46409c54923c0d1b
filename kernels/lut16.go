package kernels

// Tables multiplies rows of packed codes of 2, 3 or 4 bits, which count in tables, by int8 activations. A table's numbers are rounded to
// integers of 15 bits with one scale: numbers are off by at most max|table|/32766. It is safe for concurrent use.
type Tables struct {
	width, cols, each int
	entries           []int16   // (tables, 2^width)
	scales            []float32 // of each table
}

// maxEntry bounds an entry so that the sum of eight products with int8 numbers is exact in float32.
const maxEntry = 16383

// NewTables returns the product of rows of cols codes; each columns, a multiple of 128 (or all), share a table, the next each the table after it.
// values holds the tables of 2^width numbers, all finite, one after another.
func NewTables(values []float32, width, cols, each int) *Tables {
	n := 1 << width
	if width < 2 || width > 4 || len(values)%n != 0 || each < 1 || each < cols && each%tableStep != 0 || width == 4 && cols%Q8Block != 0 {
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

// tableSpan returns how many bytes vector kernels may read of a row: whole steps of 128 columns for 4 bits; for others whole pairs
// of blocks of 32, and 8 bytes.
func (t *Tables) span() int {
	if t.width == 4 {
		return (t.cols + tableStep - 1) / tableStep * tableStep / 2
	}
	return (t.cols+tablePair-1)/tablePair*tablePair/8*t.width + 8
}

// tablePair is how many columns vector kernels take at once, for 4 bits twice as many.
const tablePair = 2 * Q8Block

// TableInput is activations in the form that Tables multiply by.
type TableInput struct {
	x        Q8
	arranged *[]byte // nil: not needed
}

// Prepare returns the form of x that t multiplies by, which must stay as it is until Free.
func (t *Tables) Prepare(x Q8) TableInput { return t.prepare(chosen, x) }

func (t *Tables) prepare(l level, x Q8) TableInput {
	if !x.holds(t.cols) {
		panic("kernels: product of tables with activations of another number")
	}
	return TableInput{x, t.arrange(l, &x)}
}

// Free lets others use the memory.
func (in TableInput) Free() {
	if in.arranged != nil {
		paddedPool.Put(in.arranged)
	}
}

// Row returns the product of a row of codes, the first of whose tables is number first, with what Prepare made. Four bits are packed as
// MatVecInt4's, and columns then a multiple of 32; two and three as MatVecInt6's. Every level gives the same bytes.
func (t *Tables) Row(codes []byte, first int, in TableInput) float32 {
	return t.row(chosen, codes, first, &in)
}

func (t *Tables) row(l level, codes []byte, first int, in *TableInput) float32 {
	ranges := (t.cols + t.each - 1) / t.each
	if len(codes) < (t.cols*t.width+7)/8 || t.cols == 0 || first < 0 || first+ranges > len(t.scales) {
		panic("kernels: product of tables with a row shorter than its shape")
	}
	if l != generic {
		if span := t.span(); len(codes) < span {
			padded := getPadded(span)
			defer paddedPool.Put(padded)
			copy(*padded, codes)
			codes = *padded
		}
		if v, ok := t.vector(l, codes, first, in); ok {
			return v
		}
	}
	return t.rowPlain(codes, first, &in.x)
}

// tableLanes is how many partial sums there are.
const tableLanes = 16

// rowPlain is the definition. In each range, blocks of 32 columns add exact integer sums of products, times the activations' scale, to lanes by
// fused multiply-adds: of 4 bits, four columns j and j+4 of block b together to lane 4·(b%4) + j of the first accumulator; of others, columns 2i and 2i+1 of
// block b to lane i of accumulator b%2. Lanes of both accumulators, added, and times the table's scale, are added to the total's
// by another. The upper half of the lanes is then added to the lower until one is left.
func (t *Tables) rowPlain(codes []byte, first int, x *Q8) float32 {
	var total [tableLanes]float64
	n := 1 << t.width
	codes = codes[:(t.cols*t.width+7)/8]
	for c := 0; c < t.cols; first++ {
		var acc [2][tableLanes]float64
		end := min(t.cols, c+t.each)
		for b0 := c / Q8Block; c < end; c += Q8Block {
			b := c / Q8Block
			products := tableProducts(t.entries[first*n:(first+1)*n], codes, b, t.width, x.Codes)
			if t.width != 4 {
				fusedScaled(acc[(b-b0)%2][:], x.Scales[b], products[:])
				continue
			}
			var quarters [4]int32
			for i, v := range products {
				quarters[i/2%4] += v
			}
			fusedScaled(acc[0][(b-b0)%4*4:], x.Scales[b], quarters[:])
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

// tableProducts returns the sums of products of two columns each of block b.
func tableProducts(table []int16, codes []byte, b, width int, x []int8) (sums [tableLanes]int32) {
	var block [Q8Block]uint8
	unpackTableCodes(&block, codes, b, width)
	x = x[b*Q8Block:][:Q8Block]
	for i := range sums {
		sums[i] = int32(table[block[2*i]])*int32(x[2*i]) + int32(table[block[2*i+1]])*int32(x[2*i+1])
	}
	return sums
}

// unpackTableCodes sets dst to the codes of block b of a row; those past the row's end to anything below 2^width.
func unpackTableCodes(dst *[Q8Block]uint8, codes []byte, b, width int) {
	block := codes[4*width*b:]
	if width == 4 {
		unpackNibbles(dst[:], block)
		return
	}
	var last [16]byte
	copy(last[:], block[:min(len(block), 4*width)])
	mask := uint32(1)<<width - 1
	for i := range dst {
		at := i * width
		v := (uint32(last[at>>3]) | uint32(last[at>>3+1])<<8) >> (at & 7)
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
