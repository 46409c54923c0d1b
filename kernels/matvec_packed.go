package kernels

import "encoding/binary"

// MatVecQ6_K is MatVecQ8_0 for Q6_K; cols is a multiple of 256, as it is for all whose names end with K.
func MatVecQ6_K(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ6_K, y, w, rows, cols, x)
}

// MatVecQ5_K is MatVecQ8_0 for Q5_K.
func MatVecQ5_K(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ5_K, y, w, rows, cols, x)
}

// MatVecQ3_K is MatVecQ8_0 for Q3_K.
func MatVecQ3_K(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ3_K, y, w, rows, cols, x)
}

// MatVecQ2_K is MatVecQ8_0 for Q2_K.
func MatVecQ2_K(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ2_K, y, w, rows, cols, x)
}

// MatVecQ5_0 is MatVecQ8_0 for Q5_0.
func MatVecQ5_0(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ5_0, y, w, rows, cols, x)
}

// MatVecQ5_1 is MatVecQ8_0 for Q5_1.
func MatVecQ5_1(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ5_1, y, w, rows, cols, x)
}

// MatVecQ4_1 is MatVecQ8_0 for Q4_1.
func MatVecQ4_1(y []float32, w []byte, rows, cols int, x Q8) {
	matVecBlocks(chosen, &formatQ4_1, y, w, rows, cols, x)
}

// MatVecInt6 is MatVecInt8 for dense codes of 6 bits stored plus 32: code i occupies bits 6i … 6i+5 of its row, counted from the
// lowest bit of the first byte; a row is whole bytes.
func MatVecInt6(y []float32, codes, scales []byte, rows, cols, group int, x Q8) {
	matVecGroups(chosen, &formatInt6, y, codes, scales, rows, cols, group, x)
}

// MatVecInt5 is MatVecInt6 for codes of 5 bits stored plus 16.
func MatVecInt5(y []float32, codes, scales []byte, rows, cols, group int, x Q8) {
	matVecGroups(chosen, &formatInt5, y, codes, scales, rows, cols, group, x)
}

// MatVecInt3 is MatVecInt6 for codes of 3 bits stored plus 4.
func MatVecInt3(y []float32, codes, scales []byte, rows, cols, group int, x Q8) {
	matVecGroups(chosen, &formatInt3, y, codes, scales, rows, cols, group, x)
}

// MatVecInt2 is MatVecInt6 for codes of 2 bits stored plus 2.
func MatVecInt2(y []float32, codes, scales []byte, rows, cols, group int, x Q8) {
	matVecGroups(chosen, &formatInt2, y, codes, scales, rows, cols, group, x)
}

// The layouts are those of docs/formats/ggml.md.
var (
	formatQ6_K = blockFormat{columns: 256, bytes: 210, run: runQ6_K, row: unpackedRow(256, 210, 16, 32, unpackQ6_K)}
	formatQ5_K = blockFormat{columns: 256, bytes: 176, run: runQ5_K, row: unpackedRow(256, 176, 32, 0, unpackQ5_K)}
	formatQ3_K = blockFormat{columns: 256, bytes: 110, run: runQ3_K, row: unpackedRow(256, 110, 16, 4, unpackQ3_K)}
	formatQ2_K = blockFormat{columns: 256, bytes: 84, run: runQ2_K, row: unpackedRow(256, 84, 16, 0, unpackQ2_K)}
	formatQ5_0 = blockFormat{columns: 32, bytes: 22, run: runQ5_0, row: unpackedRow(32, 22, 32, 16, unpackQ5_0)}
	formatQ5_1 = blockFormat{columns: 32, bytes: 24, run: runQ5_1, row: unpackedRow(32, 24, 32, 0, unpackQ5_1)}
	formatQ4_1 = blockFormat{columns: 32, bytes: 20, run: runQ4_1, row: unpackedRow(32, 20, 32, 0, unpackQ4_1)}
)

// unpacked is one block: the value of column i is scale·(code - bias) - minimum, the scale and minimum those of its sub-block.
type unpacked struct {
	codes          [256]uint8
	scale, minimum [16]float32
}

// unpackedRow returns the definition of a product with rows of blocks of columns columns and bytes bytes, sub of them to a scale.
func unpackedRow(columns, bytes, sub, bias int, unpack func(u *unpacked, block []byte)) func(w []byte, x Q8) float32 {
	return func(w []byte, x Q8) float32 {
		var sum float32
		var u unpacked
		for i := range len(w) / bytes {
			unpack(&u, w[i*bytes:(i+1)*bytes])
			for s := range columns / sub {
				at := i*columns + s*sub
				a := x.Scales[at/Q8Block]
				if a == 0 {
					continue
				}
				var dot, total int32
				for j, c := range x.Codes[at : at+sub] {
					dot += (int32(u.codes[s*sub+j]) - int32(bias)) * int32(c)
					total += int32(c)
				}
				sum += a * (u.scale[s]*float32(dot) - u.minimum[s]*float32(total))
			}
		}
		return sum
	}
}

func halfFloat(b []byte, at int) float32 { return F16ToFloat32(binary.LittleEndian.Uint16(b[at:])) }

func unpackQ6_K(u *unpacked, w []byte) {
	for i := range u.codes {
		h, l, s := i/128, i%32, i%128/32
		u.codes[i] = w[64*h+s%2*32+l]>>(s/2*4)&15 | w[128+32*h+l]>>(2*s)&3<<4
	}
	d := halfFloat(w, 208)
	for j := range u.scale {
		u.scale[j] = d * float32(int8(w[192+j]))
	}
}

func unpackQ5_K(u *unpacked, w []byte) {
	for i := range u.codes {
		b, l := i/32, i%32
		u.codes[i] = w[48+b/2*32+l]>>(b%2*4)&15 | w[16+l]>>b&1<<4
	}
	d, dmin := halfFloat(w, 0), halfFloat(w, 2)
	for j := range 8 {
		scale, minimum := q4kScale(w[4:16], j)
		u.scale[j], u.minimum[j] = d*float32(scale), dmin*float32(minimum)
	}
}

func unpackQ3_K(u *unpacked, w []byte) {
	for i := range u.codes {
		u.codes[i] = w[32+i/128*32+i%32]>>(i%128/32*2)&3 | w[i%32]>>(i/32)&1<<2
	}
	d := halfFloat(w, 108)
	for j := range u.scale {
		sc := w[96+j%8]>>(j/8*4)&15 | w[104+j%4]>>(j/4*2)&3<<4
		u.scale[j] = d * float32(int(sc)-32)
	}
}

func unpackQ2_K(u *unpacked, w []byte) {
	for i := range u.codes {
		u.codes[i] = w[16+i/128*32+i%32] >> (i % 128 / 32 * 2) & 3
	}
	d, dmin := halfFloat(w, 80), halfFloat(w, 82)
	for j := range u.scale {
		u.scale[j], u.minimum[j] = d*float32(w[j]&15), dmin*float32(w[j]>>4)
	}
}

func unpackNibbles(u *unpacked, w []byte) {
	for j, c := range w[:16] {
		u.codes[j], u.codes[j+16] = c&15, c>>4
	}
}

func unpackFifthBits(u *unpacked, w []byte) {
	for j := range 32 {
		u.codes[j] |= w[j/8] >> (j % 8) & 1 << 4
	}
}

func unpackQ5_0(u *unpacked, w []byte) {
	unpackNibbles(u, w[6:])
	unpackFifthBits(u, w[2:])
	u.scale[0] = halfFloat(w, 0)
}

func unpackQ5_1(u *unpacked, w []byte) {
	unpackNibbles(u, w[8:])
	unpackFifthBits(u, w[4:])
	u.scale[0], u.minimum[0] = halfFloat(w, 0), -halfFloat(w, 2)
}

func unpackQ4_1(u *unpacked, w []byte) {
	unpackNibbles(u, w[4:])
	u.scale[0], u.minimum[0] = halfFloat(w, 0), -halfFloat(w, 2)
}

var (
	formatInt6 = denseFormat(6, runInt6)
	formatInt5 = denseFormat(5, runInt5)
	formatInt3 = denseFormat(3, runInt3)
	formatInt2 = denseFormat(2, runInt2)
)

// denseSlack is how far beyond a step the kernels for dense codes may read.
const denseSlack = 64

func denseFormat(width int, run func(l level, k *rowKernel, rows int)) groupFormat {
	return groupFormat{
		rowBytes: func(cols int) int { return (cols*width + 7) / 8 },
		step:     stepColumns / 8 * width,
		slack:    denseSlack,
		block: func(codes []byte, b int, x []int8) int32 {
			codes = codes[4*width*b : min(len(codes), 4*width*(b+1))]
			var s int32
			for i := range min(Q8Block, len(codes)*8/width) {
				bit := i * width
				v := uint(codes[bit/8])
				if bit%8+width > 8 {
					v |= uint(codes[bit/8+1]) << 8
				}
				s += (int32(v>>(bit%8)&(1<<width-1)) - 1<<(width-1)) * int32(x[i])
			}
			return s
		},
		run: run,
	}
}
