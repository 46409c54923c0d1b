package kernels

import "encoding/binary"

// Rows of 4-bit codes of which two of each four columns are stored, in units of 64 columns. With slot s = 2·(column/4) + i for the i-th
// of the two, byte j of a unit's codes holds slot j in its low and slot j+16 in its high nibble, plus 8; and byte j of its indices holds
// those of slots j, j+8, j+16 and j+24, columns within the four, two bits each from the lowest.
const (
	PairsCodes   = 16 // bytes of codes in a unit
	PairsIndices = 8  // bytes of indices in a unit
	pairsColumns = 64
)

// MatVecPairs adds W·x to y: W is rows × cols in units as above, with a binary16 scale for each group of columns, 32, 64, 128, a multiple
// of these, or all. The error is as MatVecQ8_0's, and every level gives the same bytes.
func MatVecPairs(y []float32, codes, indices, scales []byte, rows, cols, group int, x Q8) {
	matVecPairs(chosen, y, codes, indices, scales, rows, cols, group, x)
}

func matVecPairs(l level, y []float32, codes, indices, scales []byte, rows, cols, group int, x Q8) {
	if rows <= 0 || cols <= 0 {
		return
	}
	if group <= 0 || group >= cols {
		group = cols
	}
	if group != cols && group%Q8Block != 0 {
		panic("kernels: mat-vec group that is not a multiple of 32")
	}
	units, groups := (cols+pairsColumns-1)/pairsColumns, (cols+group-1)/group
	if len(y) < rows || len(codes) < rows*units*PairsCodes || len(indices) < rows*units*PairsIndices || len(scales) < rows*groups*2 || !x.holds(cols) {
		panic("kernels: mat-vec slice shorter than its shape")
	}
	done := vectorPairs(l, y, codes, indices, scales, rows, cols, group, x)
	for r := done; r < rows; r++ {
		y[r] += pairsRow(codes[r*units*PairsCodes:], indices[r*units*PairsIndices:], scales[r*groups*2:], cols, group, &x)
	}
}

// pairsRow is the definition. Of block b of 32 columns, each four slots (8 columns) are an exact sum of integers, which is converted and
// added by a fused multiply-add with the scale. The first block of a unit goes to accumulators 0 and 1, the second to 2 and 3; units 0 and
// 1 of each four to the first of these, in turn lanes 0…3 and 4…7.
func pairsRow(codes, indices, scales []byte, cols, group int, x *Q8) float32 {
	var sum rowSum
	for b := 0; b*Q8Block < cols; b++ {
		a := x.Scales[b]
		if a == 0 {
			continue
		}
		unit, high := b/2, b%2
		c, index := codes[unit*PairsCodes:][:PairsCodes], indices[unit*PairsIndices:][:PairsIndices]
		var dot [4]int32
		for j := range 16 {
			code := int32(c[j]>>(4*high)&15) - 8
			col := b*Q8Block + j/2*4 + int(index[j%8]>>(4*high+j/8*2)&3)
			dot[j/4] += code * int32(x.Codes[col])
		}
		scale := F16ToFloat32(binary.LittleEndian.Uint16(scales[b*Q8Block/group*2:]))
		fusedScaled(sum.lanes[2*high+unit/2%2][unit%2*4:], float32(scale*a), dot[:])
	}
	return sum.sum()
}

// ExpandPairs sets dst to a code for each column of the units in codes, 8 where none is stored. dst is whole units.
func ExpandPairs(dst, codes, indices []byte) {
	units := len(dst) / pairsColumns
	if len(dst)%pairsColumns != 0 || len(codes) < units*PairsCodes || len(indices) < units*PairsIndices {
		panic("kernels: expansion of a part of a unit, or of fewer units than asked for")
	}
	for u := range units {
		out := (*[pairsColumns]byte)(dst[u*pairsColumns:])
		c, index := (*[PairsCodes]byte)(codes[u*PairsCodes:]), (*[PairsIndices]byte)(indices[u*PairsIndices:])
		const eights = 0x0808080808080808
		for i := 0; i < pairsColumns; i += 8 {
			binary.LittleEndian.PutUint64(out[i:], eights)
		}
		for j, b := range index {
			four := j / 2 * 4
			lo, hi := c[j], c[j+8]
			out[four+int(b&3)] = lo & 15
			out[16+four+int(b>>2&3)] = hi & 15
			out[32+four+int(b>>4&3)] = lo >> 4
			out[48+four+int(b>>6)] = hi >> 4
		}
	}
}
