package kernels

import "math"

// Rows64 is how many rows DotRows64, AddRows64 and DotsAddRows64 take at once.
const Rows64 = 4

// DotRows64 returns the products of four rows of a, ld apart, with v: of each row 8 fused partial sums (column j in sum j mod 8), halves
// added to halves, then the rest of len(v) mod 8 columns one after another. The same bytes at every level.
func DotRows64(v, a []float64, ld int) [Rows64]float64 {
	return rowsTimes64(chosen, v, nil, nil, a, ld, len(v))
}

// AddRows64 adds f[0] times the first row of a to p, then f[1] times the second, …, each sum fused.
func AddRows64(p []float64, f *[Rows64]float64, a []float64, ld int) {
	rowsTimes64(chosen, nil, p, f, a, ld, len(p))
}

// DotsAddRows64 is DotRows64 and AddRows64 in one reading of a: the product of a symmetric matrix with v takes each of its rows on
// both sides of the diagonal. p is as long as v.
func DotsAddRows64(v, p []float64, f *[Rows64]float64, a []float64, ld int) [Rows64]float64 {
	if len(p) != len(v) {
		panic("kernels: rows64 vectors of different lengths")
	}
	return rowsTimes64(chosen, v, p, f, a, ld, len(v))
}

// rowsTimes64 takes n columns; without v there are no dots, without f nothing is added.
func rowsTimes64(l level, v, p []float64, f *[Rows64]float64, a []float64, ld, n int) (out [Rows64]float64) {
	if n == 0 {
		return out
	}
	if ld < n || len(a) < (Rows64-1)*ld+n {
		panic("kernels: rows64 slice or stride shorter than its shape")
	}
	blocks := n / 8
	if blocks > 0 {
		rowBlocks64(l, &out, v, p, f, a, ld, blocks)
	}
	for r := range Rows64 {
		for j := blocks * 8; j < n; j++ {
			x := a[r*ld+j]
			if v != nil {
				out[r] = math.FMA(x, v[j], out[r])
			}
			if f != nil {
				p[j] = math.FMA(x, f[r], p[j])
			}
		}
	}
	return out
}

func rowBlocks64Plain(out *[Rows64]float64, v, p []float64, f *[Rows64]float64, a []float64, ld, blocks int) {
	for r := range Rows64 {
		row := a[r*ld:][:8*blocks]
		if f != nil {
			for j, x := range row {
				p[j] = math.FMA(x, f[r], p[j])
			}
		}
		if v == nil {
			continue
		}
		var s [8]float64
		for j, x := range row {
			s[j%8] = math.FMA(x, v[j], s[j%8])
		}
		out[r] = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
	}
}
