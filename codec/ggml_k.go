package codec

import (
	"encoding/binary"

	"pith/kernels"
	"pith/tensor"
)

// The types of 256 columns (K-quants): F16 scales of the 8 or 16 sub-blocks' own small integer scales.
//
//	q2_k  16×16: scales[16] (low nibble scale, high nibble min), codes 2 bits [64], d, dmin
//	q3_k  16×16: third bits [32], codes 2 bits [64], scales 6 bits [12], d
//	q4_k   8×32: d, dmin, scales and mins 6 bits [12], codes 4 bits [128]
//	q5_k   8×32: d, dmin, scales and mins 6 bits [12], fifth bits [32], codes 4 bits [128]
//	q6_k  16×16: codes low 4 bits [128], high 2 bits [64], scales int8 [16], d
var (
	q2K = blockFormat{dt: tensor.Q2_K, sub: 16, levels: 4,
		affines: affinesQ2K, unpack: unpackQ2K, pack: packQ2K, fit: fitQ2K, search: searchK(storeQ2K, 15), kernel: kernels.MatVecQ2_K}
	q3K = blockFormat{dt: tensor.Q3_K, sub: 16, levels: 8, bias: 4,
		affines: affinesQ3K, unpack: unpackQ3K, pack: packQ3K, fit: fitQ3K, search: searchSignedK(storeQ3K, 32), kernel: kernels.MatVecQ3_K}
	q4K = blockFormat{dt: tensor.Q4_K, sub: 32, levels: 16,
		affines: affinesQ45K, unpack: unpackQ4K, pack: packQ4K, fit: fitQ45K(15, -1, 20), search: searchK(storeQ45K, 63), kernel: kernels.MatVecQ4_K}
	q5K = blockFormat{dt: tensor.Q5_K, sub: 32, levels: 32,
		affines: affinesQ45K, unpack: unpackQ5K, pack: packQ5K, fit: fitQ45K(31, -0.5, 15), search: searchK(storeQ45K, 63), kernel: kernels.MatVecQ5_K}
	q6K = blockFormat{dt: tensor.Q6_K, sub: 16, levels: 64, bias: 32,
		affines: affinesQ6K, unpack: unpackQ6K, pack: packQ6K, fit: fitQ6K, search: searchSignedK(storeQ6K, 128), kernel: kernels.MatVecQ6_K}
)

func affinesQ2K(block []byte, a *[maxSubBlocks]affine) {
	d, dmin := f16At(block, 80), f16At(block, 82)
	for s, b := range block[:16] {
		a[s] = affine{d * float32(b&15), -(dmin * float32(b>>4))}
	}
}

// storeQ2K writes F16 scales and the sub-blocks' integers.
func storeQ2K(block []byte, d, dmin float32, scales, mins *[maxSubBlocks]uint8) {
	for s := range 16 {
		block[s] = scales[s] | mins[s]<<4
	}
	putF16(block, 80, d)
	putF16(block, 82, dmin)
}

// unpackCrumbs reads 2-bit codes: 32 bytes hold 128 columns, the first 32 columns in the low bits.
func unpackCrumbs(codes *[maxBlock]uint8, qs []byte) {
	for at := 0; at < 64; at += 8 {
		v := binary.LittleEndian.Uint64(qs[at:])
		c := codes[at/32*128+at%32:]
		for k := range 4 {
			binary.LittleEndian.PutUint64(c[32*k:], v&(3*each8))
			v >>= 2
		}
	}
}

func packCrumbs(qs []byte, codes *[maxBlock]uint8) {
	for h := range 2 {
		for l := range 32 {
			c := codes[h*128+l:]
			qs[h*32+l] = c[0]&3 | c[32]&3<<2 | c[64]&3<<4 | c[96]&3<<6
		}
	}
}

func unpackQ2K(codes *[maxBlock]uint8, block []byte) { unpackCrumbs(codes, block[16:80]) }
func packQ2K(block []byte, codes *[maxBlock]uint8)   { packCrumbs(block[16:80], codes) }

// q3_k's scale j has its low nibble in byte j%8 (low half for j < 8) and its top two bits in byte 8+j%4, at bit 2·(j/4).
func affinesQ3K(block []byte, a *[maxSubBlocks]affine) {
	d, sc := f16At(block, 108), block[96:108]
	for j := range 16 {
		s := sc[j%8]>>(j/8*4)&15 | sc[8+j%4]>>(j/4*2)&3<<4
		a[j] = affine{d * float32(int(s)-32), 0}
	}
}

func storeQ3K(block []byte, d float32, scales *[maxSubBlocks]int) {
	sc := block[96:108]
	clear(sc)
	for j := range 16 {
		s := uint8(scales[j] + 32)
		sc[j%8] |= s & 15 << (j / 8 * 4)
		sc[8+j%4] |= s >> 4 << (j / 4 * 2)
	}
	putF16(block, 108, d)
}

func unpackQ3K(codes *[maxBlock]uint8, block []byte) {
	unpackCrumbs(codes, block[32:96])
	orHighBits(codes, block[:32], 2)
}

// orHighBits sets bit at of column c to bit ⌊c/32⌋ of byte c mod 32.
func orHighBits(codes *[maxBlock]uint8, high []byte, at uint) {
	for l := 0; l < 32; l += 8 {
		v := binary.LittleEndian.Uint64(high[l:])
		for c := l; c < maxBlock; c += 32 {
			binary.LittleEndian.PutUint64(codes[c:], binary.LittleEndian.Uint64(codes[c:])|v&each8<<at)
			v >>= 1
		}
	}
}

func packQ3K(block []byte, codes *[maxBlock]uint8) {
	packCrumbs(block[32:96], codes)
	clear(block[:32])
	for i, q := range codes {
		block[i%32] |= q >> 2 << (i / 32)
	}
}

// q4_k and q5_k keep scale and min of sub-blocks 0…3 in the low 6 bits of bytes 0…3 and 4…7; those of 4…7 have their low nibbles
// in bytes 8…11 (scale low, min high) and their top two bits on top of the former.
func affinesQ45K(block []byte, a *[maxSubBlocks]affine) {
	d, dmin, q := f16At(block, 0), f16At(block, 2), block[4:16]
	for j := range 4 {
		a[j] = affine{d * float32(q[j]&63), -(dmin * float32(q[j+4]&63))}
		sc, m := q[j+8]&15|q[j]>>6<<4, q[j+8]>>4|q[j+4]>>6<<4
		a[j+4] = affine{d * float32(sc), -(dmin * float32(m))}
	}
}

func storeQ45K(block []byte, d, dmin float32, scales, mins *[maxSubBlocks]uint8) {
	putF16(block, 0, d)
	putF16(block, 2, dmin)
	q := block[4:16]
	for j := range 4 {
		q[j] = scales[j] | scales[j+4]>>4<<6
		q[j+4] = mins[j] | mins[j+4]>>4<<6
		q[j+8] = scales[j+4]&15 | mins[j+4]<<4
	}
}

// unpackStrips reads 4-bit codes: 32 bytes hold 64 columns, the first 32 in the low nibbles.
func unpackStrips(codes *[maxBlock]uint8, qs []byte) {
	for at := 0; at < 128; at += 8 {
		v := binary.LittleEndian.Uint64(qs[at:])
		c := codes[at/32*64+at%32:]
		binary.LittleEndian.PutUint64(c, v&(15*each8))
		binary.LittleEndian.PutUint64(c[32:], v>>4&(15*each8))
	}
}

func packStrips(qs []byte, codes *[maxBlock]uint8) {
	for h := range 4 {
		for l := range 32 {
			qs[h*32+l] = codes[h*64+l]&15 | codes[h*64+l+32]<<4
		}
	}
}

func unpackQ4K(codes *[maxBlock]uint8, block []byte) { unpackStrips(codes, block[16:144]) }
func packQ4K(block []byte, codes *[maxBlock]uint8)   { packStrips(block[16:144], codes) }

func unpackQ5K(codes *[maxBlock]uint8, block []byte) {
	unpackStrips(codes, block[48:176])
	orHighBits(codes, block[16:48], 4)
}

func packQ5K(block []byte, codes *[maxBlock]uint8) {
	packStrips(block[48:176], codes)
	clear(block[16:48])
	for h := range 8 {
		for l := range 32 {
			block[16+l] |= codes[h*32+l] >> 4 << h
		}
	}
}

func affinesQ6K(block []byte, a *[maxSubBlocks]affine) {
	d := f16At(block, 208)
	for s, b := range block[192:208] {
		a[s] = affine{d * float32(int8(b)), 0}
	}
}

func storeQ6K(block []byte, d float32, scales *[maxSubBlocks]int) {
	for s, v := range scales {
		block[192+s] = byte(int8(v))
	}
	putF16(block, 208, d)
}

// q6_k: per 128 columns, 64 bytes of low nibbles (columns l and l+64, l+32 and l+96) and 32 bytes of high bit pairs.
func unpackQ6K(codes *[maxBlock]uint8, block []byte) {
	for at := 0; at < 64; at += 8 {
		h, l := at/32, at%32
		low := binary.LittleEndian.Uint64(block[h*64+l:])
		low2 := binary.LittleEndian.Uint64(block[h*64+l+32:])
		high := binary.LittleEndian.Uint64(block[128+at:])
		c := codes[h*128+l:]
		binary.LittleEndian.PutUint64(c, low&(15*each8)|high&(3*each8)<<4)
		binary.LittleEndian.PutUint64(c[32:], low2&(15*each8)|high>>2&(3*each8)<<4)
		binary.LittleEndian.PutUint64(c[64:], low>>4&(15*each8)|high>>4&(3*each8)<<4)
		binary.LittleEndian.PutUint64(c[96:], low2>>4&(15*each8)|high>>6&(3*each8)<<4)
	}
}

func packQ6K(block []byte, codes *[maxBlock]uint8) {
	for h := range 2 {
		ql, qh, c := block[h*64:h*64+64], block[128+h*32:160+h*32], codes[h*128:h*128+128]
		for l := range qh {
			ql[l] = c[l]&15 | c[l+64]<<4
			ql[l+32] = c[l+32]&15 | c[l+96]<<4
			qh[l] = c[l]>>4 | c[l+32]>>4<<2 | c[l+64]>>4<<4 | c[l+96]>>4<<6
		}
	}
}
