package kernels

// ScaleCodes sets dst[i] = scale·(codes[i] + offset) + add, codes unsigned, for all codes. Every level gives the same bytes.
func ScaleCodes(dst []float32, codes []byte, scale float32, offset int, add float32) {
	scaleCodes(chosen, dst, codes, scale, int32(offset), add)
}

// ScaleInt8 is ScaleCodes for signed codes.
func ScaleInt8(dst []float32, codes []byte, scale float32, offset int, add float32) {
	scaleInt8(chosen, dst, codes, scale, int32(offset), add)
}

// ScaleNibbles sets dst to scale·(code + offset) + add of len(dst)/32 blocks of 16 bytes, packed as RoundNibbles does. Every level
// gives the same bytes.
func ScaleNibbles(dst []float32, packed []byte, scale float32, offset int, add float32) {
	scaleNibbles(chosen, dst, packed, scale, int32(offset), add)
}

func scaleCodes(l level, dst []float32, codes []byte, scale float32, offset int32, add float32) {
	dst = dst[:len(codes)]
	if blocks := len(codes) / 16; l != generic && blocks > 0 {
		scaleCodeBlocks(dst, codes, scale, offset, add, blocks)
		dst, codes = dst[16*blocks:], codes[16*blocks:]
	}
	for i, c := range codes {
		dst[i] = float32(scale*float32(int32(c)+offset)) + add
	}
}

func scaleInt8(l level, dst []float32, codes []byte, scale float32, offset int32, add float32) {
	dst = dst[:len(codes)]
	if blocks := len(codes) / 16; l != generic && blocks > 0 {
		scaleInt8Blocks(dst, codes, scale, offset, add, blocks)
		dst, codes = dst[16*blocks:], codes[16*blocks:]
	}
	for i, c := range codes {
		dst[i] = float32(scale*float32(int32(int8(c))+offset)) + add
	}
}

func scaleNibbles(l level, dst []float32, packed []byte, scale float32, offset int32, add float32) {
	blocks := len(dst) / 32
	packed = packed[:16*blocks]
	if blocks == 0 {
		return
	}
	if l != generic {
		scaleNibbleBlocks(dst, packed, scale, offset, add, blocks)
		return
	}
	for b := range blocks {
		lo, hi := (*[16]float32)(dst[32*b:]), (*[16]float32)(dst[32*b+16:])
		for j, c := range packed[16*b : 16*b+16] {
			lo[j] = float32(scale*float32(int32(c&15)+offset)) + add
			hi[j] = float32(scale*float32(int32(c>>4)+offset)) + add
		}
	}
}
