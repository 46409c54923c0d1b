package kernels

// Dot returns Σ a[i]·b[i] over the length of a; b must be as long. Every level gives the same bytes (but for which NaN a NaN is).
func Dot(a, b []float32) float32 { return dot(chosen, a, b) }

// Dots sets y[t] to Dot of b and row t of a, rows of len(b) elements stride apart: the same bytes, and b is read once for several rows.
func Dots(y, a []float32, stride int, b []float32) { dots(chosen, y, a, stride, b) }

// dotsPlain is the definition.
func dotsPlain(l level, y, a []float32, stride int, b []float32) {
	for t := range y {
		y[t] = dot(l, a[t*stride:t*stride+len(b)], b)
	}
}

// Axpy adds alpha·x to y over the length of x; y must be as long. Product and sum are each rounded, so every level gives the same bytes.
func Axpy(y []float32, alpha float32, x []float32) { axpy(chosen, y, alpha, x) }

const (
	dotLanes = 64 // partial sums of Dot
	dotBlock = 16 // elements in a block
)

// dotPlain is the definition: the whole blocks of 16, and a rest that is summed apart.
func dotPlain(a, b []float32) float32 {
	b = b[:len(a)]
	whole := len(a) / dotBlock * dotBlock
	if whole == 0 {
		return dotRest(a, b)
	}
	s := dotBlocks(a[:whole], b)
	if whole < len(a) {
		s += dotRest(a[whole:], b[whole:])
	}
	return s
}

// dotBlocks adds element i's product to partial sum i%64 by a fused multiply-add; of the blocks after the last whole 64 elements
// to partial sum i%16. The upper half of the sums is then added to the lower until one is left.
func dotBlocks(a, b []float32) float32 {
	var sums [dotLanes]float64
	lanes := dotLanes
	for len(a) > 0 {
		if len(a) < dotLanes {
			lanes = dotBlock
		}
		fusedProducts(sums[:lanes], a, b)
		a, b = a[lanes:], b[lanes:]
	}
	for half := dotLanes / 2; half > 0; half /= 2 {
		for i, v := range sums[half : 2*half] {
			sums[i] = float64(float32(sums[i]) + float32(v))
		}
	}
	return float32(sums[0])
}

// dotRest is the sum of fewer elements than a block, each product and sum rounded.
func dotRest(a, b []float32) float32 {
	b = b[:len(a)]
	var s [4]float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		for j := range s {
			s[j] += float32(a[i+j] * b[i+j])
		}
	}
	for ; i < len(a); i++ {
		s[0] += float32(a[i] * b[i])
	}
	return (s[0] + s[2]) + (s[1] + s[3])
}

func axpyPlain(y []float32, alpha float32, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float32(alpha * v)
	}
}
