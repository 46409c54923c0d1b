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
	formatQ6_K = blockFormat{columns: 256, bytes: 210, sumOrder: sumOrder{sub: 16, bias: 32}, run: runQ6_K, unpack: unpackQ6_K}
	formatQ5_K = blockFormat{columns: 256, bytes: 176, sumOrder: sumOrder{sub: 32, minima: true}, run: runQ5_K, unpack: unpackQ5_K}
	formatQ3_K = blockFormat{columns: 256, bytes: 110, sumOrder: sumOrder{sub: 16, bias: 4}, run: runQ3_K, unpack: unpackQ3_K}
	formatQ2_K = blockFormat{columns: 256, bytes: 84, sumOrder: sumOrder{sub: 16, minima: true}, run: runQ2_K, unpack: unpackQ2_K}
	formatQ5_0 = blockFormat{columns: 32, bytes: 22, sumOrder: sumOrder{sub: 32, offset: 16}, run: runQ5_0, unpack: unpackQ5_0}
	formatQ5_1 = blockFormat{columns: 32, bytes: 24, sumOrder: sumOrder{sub: 32, minima: true}, run: runQ5_1, unpack: unpackQ5_1}
	formatQ4_1 = blockFormat{columns: 32, bytes: 20, sumOrder: sumOrder{sub: 32, minima: true}, run: runQ4_1, unpack: unpackQ4_1}
)

func halfFloat(b []byte, at int) float32 { return F16ToFloat32(binary.LittleEndian.Uint16(b[at:])) }

func unpackQ6_K(u *unpacked, w []byte) {
	for h := range 2 {
		out, low := u.codes[128*h:][:128], w[64*h:][:64]
		for l, high := range w[128+32*h:][:32] {
			a, b := low[l], low[l+32]
			out[l], out[l+32] = a&15|high&3<<4, b&15|high>>2&3<<4
			out[l+64], out[l+96] = a>>4|high>>4&3<<4, b>>4|high>>6<<4
		}
	}
	d := halfFloat(w, 208)
	for j := range u.scale {
		u.scale[j] = d * float32(int8(w[192+j]))
	}
}

func unpackQ5_K(u *unpacked, w []byte) {
	for p := range 4 {
		out, fifth := u.codes[64*p:][:64], w[16:48]
		for l, c := range w[48+32*p:][:32] {
			out[l], out[l+32] = c&15|fifth[l]>>(2*p)&1<<4, c>>4|fifth[l]>>(2*p+1)&1<<4
		}
	}
	u.unpackSixBits(w)
}

func unpackQ3_K(u *unpacked, w []byte) {
	unpackPairs(u, w[32:])
	for b := range 8 {
		out := u.codes[32*b:][:32]
		for l, third := range w[:32] {
			out[l] |= third >> b & 1 << 2
		}
	}
	d := halfFloat(w, 108)
	for j := range u.scale {
		sc := w[96+j%8]>>(j/8*4)&15 | w[104+j%4]>>(j/4*2)&3<<4
		u.scale[j] = d * float32(int(sc)-32)
	}
}

func unpackQ2_K(u *unpacked, w []byte) {
	unpackPairs(u, w[16:])
	d, dmin := halfFloat(w, 80), halfFloat(w, 82)
	for j := range u.scale {
		u.scale[j], u.minimum[j] = d*float32(w[j]&15), dmin*float32(w[j]>>4)
	}
}

// unpackPairs reads codes of 2 bits: byte 32h+l holds those of columns 128h + l, +32, +64, +96.
func unpackPairs(u *unpacked, w []byte) {
	for h := range 2 {
		out := u.codes[128*h:][:128]
		for l, c := range w[32*h:][:32] {
			out[l], out[l+32], out[l+64], out[l+96] = c&3, c>>2&3, c>>4&3, c>>6
		}
	}
}

func unpackFifthBits(u *unpacked, w []byte) {
	high := binary.LittleEndian.Uint32(w)
	for j := range 32 {
		u.codes[j] |= uint8(high&1) << 4
		high >>= 1
	}
}

func unpackQ5_0(u *unpacked, w []byte) {
	unpackNibbles(u.codes[:32], w[6:])
	unpackFifthBits(u, w[2:])
	u.scale[0] = halfFloat(w, 0)
}

func unpackQ5_1(u *unpacked, w []byte) {
	unpackNibbles(u.codes[:32], w[8:])
	unpackFifthBits(u, w[4:])
	u.scale[0], u.minimum[0] = halfFloat(w, 0), -halfFloat(w, 2)
}

func unpackQ4_1(u *unpacked, w []byte) {
	unpackNibbles(u.codes[:32], w[4:])
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
		sumOrder: sumOrder{sub: Q8Block, offset: float32(int(1) << (width - 1))},
		unpack: func(dst *[Q8Block]uint8, codes []byte, b int) {
			codes = codes[4*width*b : min(len(codes), 4*width*(b+1))]
			*dst = [Q8Block]uint8{} // what is beyond the row's end is multiplied by 0
			for i := 0; i < Q8Block && len(codes) > 0; i += 8 {
				var bits uint64
				if len(codes) >= 8 {
					bits = binary.LittleEndian.Uint64(codes)
				} else {
					for j, c := range codes {
						bits |= uint64(c) << (8 * j)
					}
				}
				binary.LittleEndian.PutUint64(dst[i:], spreadCodes(bits, uint(width)))
				codes = codes[min(width, len(codes)):] // which 8 codes take
			}
		},
		run: run,
	}
}

// spreadCodes moves the 8 codes in the low 8·width bits of v to a byte each, halving the distance of what is to be parted three times.
func spreadCodes(v uint64, width uint) uint64 {
	mask := uint64(1)<<(4*width) - 1
	v = v&mask | v>>(4*width)&mask<<32
	mask = (1<<(2*width) - 1) * 0x0000000100000001
	v = v&mask | v>>(2*width)&mask<<16
	mask = (1<<width - 1) * 0x0001000100010001
	return v&mask | v>>width&mask<<8
}
