package kernels

// formatQ8_0: 34 bytes for 32 columns: binary16 d, 32 int8 codes; value d·code.
var formatQ8_0 = blockFormat{columns: 32, bytes: 34, sumOrder: sumOrder{sub: 32, bias: 128}, run: runQ8_0,
	unpack: func(u *unpacked, w []byte) {
		unpackInt8(u.codes[:32], w[2:34])
		u.scale[0] = halfFloat(w, 0)
	}}

// unpackInt8 stores int8 codes plus 128.
func unpackInt8(dst []uint8, codes []byte) {
	for i, c := range codes {
		dst[i] = c ^ 128
	}
}

// formatQ4_0: 18 bytes for 32 columns: binary16 d, 16 bytes of codes; value d·(code-8).
var formatQ4_0 = blockFormat{columns: 32, bytes: 18, sumOrder: sumOrder{sub: 32, bias: 8, places: inQuarters}, run: runQ4_0,
	unpack: func(u *unpacked, w []byte) {
		unpackNibbles(u.codes[:32], w[2:])
		u.scale[0] = halfFloat(w, 0)
	}}

// unpackNibbles reads 16 bytes, whose low nibbles are the first 16 codes.
func unpackNibbles(dst []uint8, codes []byte) {
	dst = dst[:32]
	for j, c := range codes[:16] {
		dst[j], dst[j+16] = c&15, c>>4
	}
}

// formatQ4_K: 144 bytes for 256 columns: binary16 d and dmin, 12 bytes of scales and minima (6 bits each, 8 of both), 128 bytes of
// codes: in each strip of 32 bytes the low nibbles are one block of 32 columns and the high ones the next; value d·scale·code - dmin·min.
var formatQ4_K = blockFormat{columns: 256, bytes: 144, sumOrder: sumOrder{sub: 32, minima: true, places: inStrips}, run: runQ4_K,
	unpack: func(u *unpacked, w []byte) {
		for p := range 4 {
			out := u.codes[64*p:][:64]
			for l, c := range w[16+32*p:][:32] {
				out[l], out[l+32] = c&15, c>>4
			}
		}
		u.unpackSixBits(w)
	}}

// unpackSixBits reads the scales and minima that q4_K and q5_K begin with.
func (u *unpacked) unpackSixBits(w []byte) {
	d, dmin := halfFloat(w, 0), halfFloat(w, 2)
	for j := range 8 {
		scale, minimum := q4kScale(w[4:16], j)
		u.scale[j], u.minimum[j] = d*float32(scale), dmin*float32(minimum)
	}
}

// q4kScale returns the 6-bit scale and minimum of block j of 8.
func q4kScale(q []byte, j int) (scale, minimum byte) {
	if j < 4 {
		return q[j] & 63, q[j+4] & 63
	}
	return q[j+4]&15 | q[j-4]>>6<<4, q[j+4]>>4 | q[j]>>6<<4
}
