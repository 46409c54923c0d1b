package kernels

// ScaleCodes sets dst[i] = scale·(codes[i] + offset), codes unsigned, for all codes. Every level gives the same bytes.
func ScaleCodes(dst []float32, codes []byte, scale float32, offset int) {
	scaleCodes(chosen, dst, codes, scale, int32(offset))
}

func scaleCodes(l level, dst []float32, codes []byte, scale float32, offset int32) {
	dst = dst[:len(codes)]
	if blocks := len(codes) / 16; l != generic && blocks > 0 {
		scaleCodeBlocks(dst, codes, scale, offset, blocks)
		dst, codes = dst[16*blocks:], codes[16*blocks:]
	}
	for i, c := range codes {
		dst[i] = scale * float32(int32(c)+offset)
	}
}

// ScaleNibbles sets dst to scale·(code + offset) of len(dst)/32 blocks of 16 bytes, packed as RoundNibbles does. Every level gives
// the same bytes.
func ScaleNibbles(dst []float32, packed []byte, scale float32, offset int) {
	scaleNibbles(chosen, dst, packed, scale, int32(offset))
}

func scaleNibbles(l level, dst []float32, packed []byte, scale float32, offset int32) {
	blocks := len(dst) / 32
	packed = packed[:16*blocks]
	if blocks == 0 {
		return
	}
	if l != generic {
		scaleNibbleBlocks(dst, packed, scale, offset, blocks)
		return
	}
	for b := range blocks {
		lo, hi := (*[16]float32)(dst[32*b:]), (*[16]float32)(dst[32*b+16:])
		for j, c := range packed[16*b : 16*b+16] {
			lo[j], hi[j] = scale*float32(int32(c&15)+offset), scale*float32(int32(c>>4)+offset)
		}
	}
}
