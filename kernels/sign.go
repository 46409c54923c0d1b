package kernels

// SignSums sets dst[i] to the sum of z[j] over the columns j whose bit is set in row i of signs: bit j%8 of byte i·stride + j/8. len(z) is a
// multiple of 64, z is zero beyond the row's columns (whatever the bits there are), and signs may end with the last row's last byte. Column j is
// added to partial sum j%64; the upper half of these is then added to the lower until one is left. Every level gives the same bytes (but
// for which NaN a NaN is). One float per set bit, none of them multiplied: what a matrix of signs costs.
func SignSums(dst []float32, signs []byte, stride int, z []float32) {
	signSums(chosen, dst, signs, stride, z)
}

// SignSumsOf is SignSums of k vectors, (k, len(z)/k), with the same signs: sums f of the rows are dst[f·rows …], rows = len(dst)/k.
func SignSumsOf(k int, dst []float32, signs []byte, stride int, z []float32) {
	signSumsOf(chosen, k, dst, signs, stride, z)
}

func signSumsOf(l level, k int, dst []float32, signs []byte, stride int, z []float32) {
	rows, n := len(dst)/k, len(z)/k
	if len(dst) != k*rows || len(z) != k*n {
		panic("kernels: SignSumsOf of parts of rows")
	}
	for f := 0; f < k; {
		done, together := 0, min(4, k-f)
		if together == 4 && n%signLanes == 0 && n > 0 {
			done = signRowsFour(l, dst[f*rows:], signs, stride, z[f*n:], rows, n)
		}
		for i := f; i < f+together; i++ {
			signSums(l, dst[i*rows+done:(i+1)*rows], signs[min(done*stride, len(signs)):], stride, z[i*n:(i+1)*n])
		}
		f += together
	}
}

// AddSigned adds (−1)^bit·Σ u[t]·v[t·len(dst)+j] to each dst[j], the bit being bit j%8 of signs[j/8]. Products and sums are rounded one by one,
// in the order of t; every level gives the same bytes.
func AddSigned(dst []float32, signs []byte, u, v []float32) { addSigned(chosen, dst, signs, u, v) }

// MulF16 sets dst[i] to x[i] times the binary16 number i of v.
func MulF16(dst []float32, v []byte, x []float32) {
	F16ToF32(dst, v)
	mulInto(chosen, dst, x)
}

// signLanes is how many partial sums SignSums has.
const signLanes = 64

func signSums(l level, dst []float32, signs []byte, stride int, z []float32) {
	words := len(z) / signLanes
	if len(z)%signLanes != 0 || stride < 0 || len(dst) > 0 && len(signs) < (len(dst)-1)*stride+min(stride, 8*words) {
		panic("kernels: SignSums of slices that are too short")
	}
	done := 0
	if words > 0 {
		done = signRows(l, dst, signs, stride, z, words)
	}
	var last [8]byte
	for i := done; i < len(dst); i++ {
		row := signs[i*stride:]
		var sums [signLanes]float32
		for w := range words {
			bits := row[min(len(row), 8*w):]
			if len(bits) < 8 {
				clear(last[copy(last[:], bits):])
				bits = last[:]
			}
			addSelected(&sums, bits, (*[signLanes]float32)(z[w*signLanes:]))
		}
		dst[i] = halvedSigns(&sums)
	}
}

// addSelected adds the elements of z whose bits are set.
func addSelected(sums *[signLanes]float32, bits []byte, z *[signLanes]float32) {
	for b, set := range bits[:signLanes/8] {
		for j := 8 * b; set != 0; j++ {
			if set&1 != 0 {
				sums[j] += z[j]
			}
			set >>= 1
		}
	}
}

func halvedSigns(sums *[signLanes]float32) float32 {
	for half := signLanes / 2; half > 0; half /= 2 {
		for i, v := range sums[half : 2*half] {
			sums[i] += v
		}
	}
	return sums[0]
}

func addSigned(l level, dst []float32, signs []byte, u, v []float32) {
	n := len(dst)
	if 8*len(signs) < n || len(v) < len(u)*n {
		panic("kernels: AddSigned of slices that are too short")
	}
	done := 0
	if len(u) > 0 {
		done = addSignedBlocks(l, dst, signs, u, v)
	}
	for j := done; j < n; j++ {
		var p float32
		for t, a := range u {
			p += float32(a * v[t*n+j])
		}
		if signs[j/8]>>(j%8)&1 != 0 {
			p = -p
		}
		dst[j] += p
	}
}

func mulPlain(dst, x []float32) {
	for i, v := range x[:len(dst)] {
		dst[i] *= v
	}
}

// SignTotal returns what SignSums gives where all bits are set.
func SignTotal(z []float32) float32 {
	var sums [signLanes]float32
	if len(z)%signLanes != 0 {
		panic("kernels: SignTotal of a part of a word")
	}
	for ; len(z) > 0; z = z[signLanes:] {
		axpy(chosen, sums[:], 1, z[:signLanes])
	}
	return halvedSigns(&sums)
}
