//go:build !noasm

package kernels

// signBits are the bits of a word, which AVX2 turns into masks.
var signBits = func() (b [32]uint32) {
	for i := range b {
		b[i] = 1 << i
	}
	return b
}()

// signRows is signSums of rows whose whole words of 64 columns lie within signs, and returns how many these are.
func signRows(l level, dst []float32, signs []byte, stride int, z []float32, words int) int {
	if l == generic {
		return 0
	}
	rows := len(dst)
	for rows > 0 && (rows-1)*stride+8*words > len(signs) {
		rows--
	}
	if rows == 0 {
		return 0
	}
	if l < avx512 {
		signSums1x256(&dst[0], &signs[0], stride, &z[0], rows, words, &signBits)
		return rows
	}
	done := rows / 4 * 4
	if done > 0 {
		signSums4x512(&dst[0], &signs[0], stride, &z[0], done/4, words)
	}
	if done < rows {
		signSums1x512(&dst[done], &signs[done*stride], stride, &z[0], rows-done, words)
	}
	return rows
}

// signRowsFour is signSumsOf of four vectors and of the rows whose whole words lie within signs, and returns how many these are.
func signRowsFour(l level, dst []float32, signs []byte, stride int, z []float32, rows, n int) int {
	if l < avx512 {
		return 0
	}
	words, whole := n/signLanes, rows
	for whole > 0 && (whole-1)*stride+8*words > len(signs) {
		whole--
	}
	if whole > 0 {
		signSumsFourx512(&dst[0], &signs[0], stride, &z[0], 4*rows, 4*n, whole, words)
	}
	return whole
}

// addSignedBlocks is addSigned of whole blocks of 16 columns, and returns how many columns these are.
func addSignedBlocks(l level, dst []float32, signs []byte, u, v []float32) int {
	blocks := len(dst) / 16
	if l == generic || blocks == 0 {
		return 0
	}
	if l < avx512 {
		addSigned256(&dst[0], &signs[0], &u[0], &v[0], len(u), 4*len(dst), blocks, &signBits)
	} else {
		addSigned512(&dst[0], &signs[0], &u[0], &v[0], len(u), 4*len(dst), blocks, &signBits)
	}
	return 16 * blocks
}

func mulInto(l level, dst, x []float32) {
	x = x[:len(dst)]
	blocks := len(dst) / 16
	switch {
	case l == generic || blocks == 0:
		blocks = 0
	case l < avx512:
		multiply256(&dst[0], &x[0], blocks)
	default:
		multiply512(&dst[0], &x[0], blocks)
	}
	mulPlain(dst[16*blocks:], x[16*blocks:])
}
