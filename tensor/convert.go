package tensor

import (
	"encoding/binary"
	"math"

	"pith/kernels"
)

// Decodable reports whether Decode knows d: every real scalar dtype, so neither C64 nor GGML's block types.
func (d DType) Decodable() bool { return d.Scalar() && d != C64 }

// Decode converts elements first … first+len(dst) of data, laid out as d says, to float32. Values that float32 cannot hold are
// rounded to nearest even (F64, wide integers); Bool gives 0 or 1. It panics if d is not Decodable or data is too short.
func Decode(dst []float32, d DType, data []byte, first int) {
	if !d.Decodable() {
		panic("tensor: Decode of a dtype that has no float32 form")
	}
	if len(dst) == 0 {
		return
	}
	block, size := d.Block()
	last := first + len(dst)
	if first < 0 || (last+block-1)/block*size > len(data) {
		panic("tensor: Decode beyond the end of the data")
	}
	if block > 1 {
		decodePacked(dst, d, data, first)
		return
	}
	data = data[first*size : last*size]
	switch size {
	case 1:
		decode8(dst, d, data)
	case 2:
		decode16(dst, d, data)
	default:
		decodeWide(dst, d, data)
	}
}

// DecodeRows overwrites dst with rows r0 … r0+dst.Rows of a matrix of dst.Cols columns stored in data as d.
func DecodeRows(dst Mat, d DType, data []byte, r0 int) {
	for r := range dst.Rows {
		Decode(dst.Row(r), d, data, (r0+r)*dst.Cols)
	}
}

func decode8(dst []float32, d DType, data []byte) {
	switch d {
	case Bool:
		for i, b := range data {
			dst[i] = 0
			if b != 0 {
				dst[i] = 1
			}
		}
	case U8:
		for i, b := range data {
			dst[i] = float32(b)
		}
	case I8:
		for i, b := range data {
			dst[i] = float32(int8(b))
		}
	default:
		table := float8Table(d)
		for i, b := range data {
			dst[i] = table[b]
		}
	}
}

func decode16(dst []float32, d DType, data []byte) {
	switch d {
	case F16:
		kernels.F16ToF32(dst, data)
	case BF16:
		kernels.BF16ToF32(dst, data)
	case I16:
		for i := range dst {
			dst[i] = float32(int16(binary.LittleEndian.Uint16(data[2*i:])))
		}
	case U16:
		for i := range dst {
			dst[i] = float32(binary.LittleEndian.Uint16(data[2*i:]))
		}
	}
}

func decodeWide(dst []float32, d DType, data []byte) {
	if d == F32 {
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		return
	}
	for i := range dst {
		switch d {
		case I32:
			dst[i] = float32(int32(binary.LittleEndian.Uint32(data[4*i:])))
		case U32:
			dst[i] = float32(binary.LittleEndian.Uint32(data[4*i:]))
		case F64:
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])))
		case I64:
			dst[i] = float32(int64(binary.LittleEndian.Uint64(data[8*i:])))
		case U64:
			dst[i] = float32(binary.LittleEndian.Uint64(data[8*i:]))
		}
	}
}

// Encode converts src to d (F32, F16 or BF16), rounding to nearest even; dst must hold len(src) elements exactly.
func Encode(dst []byte, d DType, src []float32) {
	_, size := d.Block()
	if len(dst) != len(src)*size {
		panic("tensor: Encode into a slice of another length")
	}
	switch d {
	case F32:
		for i, v := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case F16:
		kernels.F32ToF16(dst, src)
	case BF16:
		kernels.F32ToBF16(dst, src)
	default:
		panic("tensor: Encode to a dtype other than F32, F16, BF16")
	}
}
