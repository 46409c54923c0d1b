package kernels

import (
	"encoding/binary"
	"math/bits"
)

// ScaleColumns sets dst to (codes[i] - bias)·scale for elements whose columns DotColumns describes: scale is that of the element's group
// of 32, 64 or 128 columns. scales holds those of the row, and 8 numbers more. The product is exact if scales are binary16.
func ScaleColumns(dst []float32, codes, columns, counts []byte, scales []float32, group, bias int) {
	scaleColumnsAt(chosen, dst, codes, columns, counts, scales, group, bias)
}

func scaleColumnsAt(l level, dst []float32, codes, columns, counts []byte, scales []float32, group, bias int) {
	if group != 32 && group != 64 && group != 128 {
		panic("kernels: groups of columns that are not of 32, 64 or 128")
	}
	blocks := len(counts) / 2
	total := 0
	for i := range blocks {
		total += int(binary.LittleEndian.Uint16(counts[2*i:]))
	}
	if len(dst) < total || len(codes) < total || len(columns) < total || len(scales) < (blocks-1)*(256/group)+8 {
		panic("kernels: fewer columns, codes or scales than their counts")
	}
	if total > 0 {
		scaleColumns(l, dst, codes, columns, counts, scales, group, bias)
	}
}

// scaleColumnsPlain is the definition.
func scaleColumnsPlain(dst []float32, codes, columns, counts []byte, scales []float32, group, bias int) {
	shift := bits.TrailingZeros(uint(group))
	for c0 := 0; len(counts) >= 2; c0 += 256 {
		n := int(binary.LittleEndian.Uint16(counts))
		for i, column := range columns[:n] {
			dst[i] = scales[(c0+int(column))>>shift] * float32(int(codes[i])-bias)
		}
		dst, codes, columns, counts = dst[n:], codes[n:], columns[n:], counts[2:]
	}
}
