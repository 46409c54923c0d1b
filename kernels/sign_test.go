package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// signCase is random signs of rows with padding bits set, and activations that end with zeros.
func signCase(r *rand.Rand, rows, cols int) (signs []byte, stride int, z []float32) {
	stride = (cols + 7) / 8
	z = make([]float32, (cols+63)/64*64)
	copy(z, randoms(r, cols))
	return randomBytes(r, rows*stride), stride, z
}

func bitOf(signs []byte, stride, row, col int) bool { return signs[row*stride+col/8]>>(col%8)&1 != 0 }

func TestSignSumsAgreeWithFloat64AndAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	for _, cols := range []int{0, 1, 7, 8, 63, 64, 65, 72, 100, 127, 128, 172, 256, 352, 700} {
		for _, rows := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9} {
			signs, stride, z := signCase(r, rows, cols)
			for _, l := range levels() {
				got := make([]float32, rows+1)
				got[rows] = guard
				signSums(l, got[:rows], signs, stride, z)
				if got[rows] != guard {
					t.Fatalf("%s (%d, %d): wrote beyond the rows", levelNames[l], rows, cols)
				}
				for i, v := range got[:rows] {
					var want, abs float64
					for c := range cols {
						if bitOf(signs, stride, i, c) {
							want += float64(z[c])
							abs += math.Abs(float64(z[c]))
						}
					}
					if math.Abs(float64(v)-want) > abs*float64(cols)*0x1p-24 {
						t.Fatalf("%s (%d, %d) row %d: %g, want %g", levelNames[l], rows, cols, i, v, want)
					}
					one := make([]float32, 1)
					if signSums(generic, one, signs[i*stride:], stride, z); !same(one[0], v) {
						t.Fatalf("%s (%d, %d) row %d: %g, the definition gives %g", levelNames[l], rows, cols, i, v, one[0])
					}
				}
			}
		}
	}
}

func TestSumsOfSeveralVectorsAreThoseOfEach(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	for _, cols := range []int{1, 64, 100, 200} {
		for _, rows := range []int{0, 1, 3, 9} {
			for _, k := range []int{1, 2, 4, 5, 9} {
				signs, stride, _ := signCase(r, rows, cols)
				wide := (cols + 63) / 64 * 64
				z := make([]float32, k*wide)
				for f := range k {
					copy(z[f*wide:], randoms(r, cols))
				}
				for _, l := range levels() {
					got := make([]float32, k*rows)
					signSumsOf(l, k, got, signs, stride, z)
					for f := range k {
						want := make([]float32, rows)
						signSums(generic, want, signs, stride, z[f*wide:(f+1)*wide])
						for i, v := range want {
							if !same(got[f*rows+i], v) {
								t.Fatalf("%s (%d, %d), vector %d of %d, row %d: %g, want %g", levelNames[l], rows, cols, f, k, i, got[f*rows+i], v)
							}
						}
					}
				}
			}
		}
	}
}

func TestAddSignedIsIdenticalAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 5))
	for _, n := range []int{0, 1, 15, 16, 17, 63, 64, 65, 200} {
		for _, k := range []int{0, 1, 2, 5, 16} {
			signs, u, v, before := randomBytes(r, (n+7)/8), randoms(r, k), randoms(r, k*n), randoms(r, n+1)
			for _, l := range levels() {
				got := append([]float32(nil), before...)
				addSigned(l, got[:n], signs, u, v)
				for j := range n {
					var p float32
					for i, a := range u {
						p += float32(a * v[i*n+j])
					}
					if bitOf(signs, 0, 0, j) {
						p = -p
					}
					if want := before[j] + p; !same(got[j], want) {
						t.Fatalf("%s n=%d k=%d: element %d is %g, want %g", levelNames[l], n, k, j, got[j], want)
					}
				}
				if got[n] != before[n] {
					t.Fatalf("%s n=%d k=%d: wrote beyond the row", levelNames[l], n, k)
				}
			}
		}
	}
}

func TestMulF16IsTheProductAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	for n := range 70 {
		x, values, v, dst := randoms(r, n), randoms(r, n), make([]byte, 2*n), make([]float32, n+1)
		dst[n] = guard
		F32ToF16(v, values)
		MulF16(dst[:n], v, x)
		for i := range n {
			if want := float32(halfAt(v[2*i:])) * x[i]; dst[i] != want {
				t.Fatalf("n=%d: element %d is %g, want %g", n, i, dst[i], want)
			}
		}
		for _, l := range levels() {
			got := append([]float32(nil), values...)
			mulInto(l, got, x)
			for i, g := range got {
				if g != values[i]*x[i] {
					t.Fatalf("%s n=%d: element %d is %g", levelNames[l], n, i, g)
				}
			}
		}
		if dst[n] != guard {
			t.Fatalf("n=%d: wrote beyond the end", n)
		}
	}
}

func BenchmarkSignSums(b *testing.B) {
	for _, l := range levels() {
		for _, n := range []int{256, 2048, 4096} {
			b.Run(fmt.Sprintf("%s/n=%d", levelNames[l], n), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 1))
				signs, stride, z := signCase(r, n, n)
				y := make([]float32, n)
				bestOf(b, float64(n*n), "Gweights/s", func() { signSums(l, y, signs, stride, z) })
			})
		}
	}
}

func BenchmarkSignSumsOf16(b *testing.B) {
	for _, l := range levels() {
		b.Run(levelNames[l], func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			const n, k = 2048, 16
			signs, stride, _ := signCase(r, n, n)
			z, y := randoms(r, k*n), make([]float32, k*n)
			bestOf(b, float64(n*n), "Gweights/s", func() { signSumsOf(l, k, y, signs, stride, z) })
		})
	}
}

func BenchmarkAddSigned(b *testing.B) {
	for _, l := range levels() {
		for _, k := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("%s/k=%d", levelNames[l], k), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 1))
				const n = 4096
				signs, u, v, y := randomBytes(r, n/8), randoms(r, k), randoms(r, k*n), make([]float32, n)
				bestOf(b, float64(n), "Gweights/s", func() { addSigned(l, y, signs, u, v) })
			})
		}
	}
}
