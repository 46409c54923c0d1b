package kernels

import "encoding/binary"

// formatQ8_0: 34 bytes for 32 columns: binary16 d, 32 int8 codes; value d·code.
var formatQ8_0 = blockFormat{columns: 32, bytes: 34, run: runQ8_0, row: func(w []byte, x Q8) float32 {
	var sum float32
	for b := range len(w) / 34 {
		block, codes := w[34*b:34*b+34], x.Codes[32*b:32*b+32]
		var s int32
		for i, c := range block[2:] {
			s += int32(int8(c)) * int32(codes[i])
		}
		if x.Scales[b] != 0 {
			sum += F16ToFloat32(binary.LittleEndian.Uint16(block)) * x.Scales[b] * float32(s)
		}
	}
	return sum
}}

// formatQ4_0: 18 bytes for 32 columns: binary16 d, 16 bytes of codes; value d·(code-8).
var formatQ4_0 = blockFormat{columns: 32, bytes: 18, run: runQ4_0, row: func(w []byte, x Q8) float32 {
	var sum float32
	for b := range len(w) / 18 {
		block := w[18*b : 18*b+18]
		if x.Scales[b] != 0 {
			sum += F16ToFloat32(binary.LittleEndian.Uint16(block)) * x.Scales[b] * float32(nibbleDot(block[2:], x.Codes[32*b:]))
		}
	}
	return sum
}}

// formatQ4_K: 144 bytes for 256 columns: binary16 d and dmin, 12 bytes of scales and minima (6 bits each, 8 of both), 128 bytes of
// codes: in each strip of 32 bytes the low nibbles are one block of 32 columns and the high ones the next; value d·scale·code - dmin·min.
var formatQ4_K = blockFormat{columns: 256, bytes: 144, run: runQ4_K, row: func(w []byte, x Q8) float32 {
	var sum float32
	for s := range len(w) / 144 {
		block := w[144*s : 144*s+144]
		d, dmin := F16ToFloat32(binary.LittleEndian.Uint16(block)), F16ToFloat32(binary.LittleEndian.Uint16(block[2:]))
		for j := range 8 {
			b := 8*s + j
			strip, codes := block[16+j/2*32:][:32], x.Codes[32*b:32*b+32]
			var dot int32
			for i, c := range strip {
				dot += int32(c>>(j%2*4)&15) * int32(codes[i])
			}
			scale, minimum := q4kScale(block[4:16], j)
			if x.Scales[b] != 0 {
				sum += x.Scales[b] * (d*float32(scale)*float32(dot) - dmin*float32(minimum)*float32(x.Sums[b]))
			}
		}
	}
	return sum
}}

// q4kScale returns the 6-bit scale and minimum of block j of 8.
func q4kScale(q []byte, j int) (scale, minimum byte) {
	if j < 4 {
		return q[j] & 63, q[j+4] & 63
	}
	return q[j+4]&15 | q[j-4]>>6<<4, q[j+4]>>4 | q[j]>>6<<4
}
