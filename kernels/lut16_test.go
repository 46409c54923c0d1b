package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// tablesCase is a random row of codes, packed, with its tables.
func tablesCase(rng *rand.Rand, width, cols, each int) (t *Tables, codes []uint8, packed []byte, values []float32) {
	ranges := (cols + each - 1) / each
	values = make([]float32, (ranges+1)<<width)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	codes = make([]uint8, cols)
	packed = make([]byte, (cols*width+7)/8)
	for i := range codes {
		codes[i] = uint8(rng.IntN(1 << width))
		if width == 4 {
			packed[i/32*16+i%16] |= codes[i] << (i % 32 / 16 * 4)
			continue
		}
		at := i * width
		packed[at>>3] |= codes[i] << (at & 7)
		if at&7+width > 8 {
			packed[at>>3+1] |= codes[i] >> (8 - at&7)
		}
	}
	return NewTables(values, width, cols, each), codes, packed, values
}

func eachTablesShape(f func(width, cols, each int)) {
	for width := 2; width <= 4; width++ {
		for _, cols := range []int{32, 64, 96, 128, 160, 256, 544, 1024} {
			f(width, cols, cols)
			f(width, cols, 128)
			f(width, cols, 256)
		}
		if width < 4 {
			for _, cols := range []int{1, 5, 31, 33, 65, 172, 255} {
				f(width, cols, cols)
			}
		}
	}
}

func TestTablesMultiplyWhatTheCodesStandFor(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	eachTablesShape(func(width, cols, each int) {
		tables, codes, packed, values := tablesCase(rng, width, cols, each)
		x := make([]float32, cols)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		q := QuantizeQ8(x)
		const first = 1
		ranges := (cols + each - 1) / each
		if first+ranges > len(values)>>width {
			t.Fatal("too few tables")
		}
		var want, bound float64
		for c, code := range codes {
			table := values[(first+c/each)<<width:][:1<<width]
			a := float64(q.Scales[c/Q8Block]) * float64(q.Codes[c])
			want += a * float64(table[code])
			var peak float64
			for _, v := range table {
				peak = max(peak, math.Abs(float64(v)))
			}
			bound += math.Abs(a) * peak * (1.0/32766 + float64(cols)*0x1p-23)
		}
		if got := tables.Row(packed, first, tables.Prepare(q)); math.Abs(float64(got)-want) > bound {
			t.Fatalf("width %d, %d columns by %d: %g, want %g ± %g", width, cols, each, got, want, bound)
		}
	})
}

func TestTablesGiveTheSameBytesAtEveryLevel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	eachTablesShape(func(width, cols, each int) {
		tables, _, packed, _ := tablesCase(rng, width, cols, each)
		x := make([]float32, cols)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * math.Exp2(float64(rng.IntN(40)-20)))
		}
		for name, alter := range map[string]func(){
			"":              func() {},
			"zero block":    func() { clear(x[:min(32, cols)]) },
			"not a number":  func() { x[cols-1] = float32(math.NaN()) },
			"zero entirely": func() { clear(x) },
		} {
			alter()
			q := QuantizeQ8(x)
			plain := tables.prepare(generic, q)
			want := tables.row(generic, packed, 0, &plain)
			for l := avx2; l <= best(); l++ {
				in := tables.prepare(l, q)
				for _, tail := range []int{0, 64} {
					codes := append(append([]byte(nil), packed...), make([]byte, tail)...)
					for i := len(packed); i < len(codes); i++ {
						codes[i] = 0xa5
					}
					got := tables.row(l, codes, 0, &in)
					if math.Float32bits(got) != math.Float32bits(want) && !(got != got && want != want) {
						t.Fatalf("%s, width %d, %d columns by %d %s: %g, plain %g", levelNames[l], width, cols, each, name, got, want)
					}
				}
			}
		}
	})
}

func TestTablesTakeTheVectorKernel(t *testing.T) {
	if best() == generic {
		t.Skip("no vector instructions")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	tables, _, packed, _ := tablesCase(rng, 4, 256, 128)
	q := QuantizeQ8(make([]float32, 256))
	for l := avx2; l <= best(); l++ {
		in := tables.prepare(l, q)
		if _, ok := tables.vector(l, append(packed, make([]byte, 64)...), 0, &in); !ok {
			t.Errorf("%s multiplies in plain Go", levelNames[l])
		}
	}
}

func TestLookUpIsTheSameAtEveryLevel(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var table [16]float32
	for i := range table {
		table[i] = float32(rng.NormFloat64())
	}
	for _, n := range []int{0, 1, 15, 16, 17, 100, 256} {
		codes := make([]byte, n)
		for i := range codes {
			codes[i] = byte(rng.IntN(16))
		}
		for l := generic; l <= best(); l++ {
			dst := make([]float32, n+1)
			lookUp(l, dst[:n], codes, &table)
			for i, c := range codes {
				if dst[i] != table[c] {
					t.Fatalf("%s: number %d is %g, want %g", levelNames[l], i, dst[i], table[c])
				}
			}
			if dst[n] != 0 {
				t.Fatal("written past the end")
			}
		}
	}
}

// BenchmarkTables compares the product with that of 4-bit integers, whose kernel rounds activations the same way, with sums by
// buckets, and with dense float32: weights per second of one core, from the caches.
func BenchmarkTables(b *testing.B) {
	const rows, cols = 512, 4096
	rng := rand.New(rand.NewPCG(9, 10))
	x := make([]float32, cols)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	q := QuantizeQ8(x)
	rate := func(b *testing.B) {
		b.ReportMetric(float64(b.N)*rows*cols/b.Elapsed().Seconds()/1e9, "Gw/s")
	}
	y := make([]float32, rows)
	for _, each := range []int{cols, 1024} {
		for width := 2; width <= 4; width++ {
			tables, codes, packed, values := tablesCase(rng, width, cols, each)
			all := make([]byte, 0, rows*len(packed)+64)
			for range rows {
				all = append(all, packed...)
			}
			b.Run(fmt.Sprintf("table%d-by%d", width, each), func(b *testing.B) {
				for b.Loop() {
					in := tables.Prepare(q)
					for r := range rows {
						y[r] += tables.Row(all[r*len(packed):], 0, in)
					}
					in.Free()
				}
				rate(b)
			})
			if width == 4 && each == cols {
				b.Run("buckets4", func(b *testing.B) {
					for b.Loop() {
						for r := range rows {
							var sums [16]float32
							for c, code := range codes {
								sums[code&15] += x[c]
							}
							for k, v := range sums {
								y[r] += v * values[k]
							}
						}
					}
					rate(b)
				})
			}
		}
	}
	codes, scales := make([]byte, rows*cols/2), make([]byte, 2*rows)
	for i := range codes { // memory that was never written is one page
		codes[i] = byte(i)
	}
	b.Run("int4", func(b *testing.B) {
		for b.Loop() {
			MatVecInt4(y, codes, scales, rows, cols, 0, q)
		}
		rate(b)
	})
	b.Run("int3", func(b *testing.B) {
		for b.Loop() {
			MatVecInt3(y, codes, scales, rows, cols, 0, q)
		}
		rate(b)
	})
	w := make([]float32, rows*cols)
	for i := range w {
		w[i] = 1
	}
	b.Run("f32", func(b *testing.B) {
		for b.Loop() {
			for r := range rows {
				y[r] += Dot(w[r*cols:(r+1)*cols], x)
			}
		}
		rate(b)
	})
}
