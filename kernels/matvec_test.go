package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// matVecCase is one layout under test: its product at a level, and its decoder to float64.
type matVecCase struct {
	name    string
	columns int // a row is a whole number of these
	// make returns the bytes of random rows (finite scales), a function that multiplies by them, and one that decodes an
	// element: it is plus - minus, of which kernels may round the products separately.
	make func(r *rand.Rand, rows, cols int) (size int, run func(l level, y []float32, rows int, x Q8), at func(row, col int) (plus, minus float64))
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// putScale writes a random finite binary16 of either sign.
func putScale(r *rand.Rand, b []byte) {
	binary.LittleEndian.PutUint16(b, Float32ToF16(float32(r.NormFloat64())))
}

func halfAt(b []byte) float64 { return float64(F16ToFloat32(binary.LittleEndian.Uint16(b))) }

func blockCase(name string, f *blockFormat, scales []int, decode func(block []byte, i int) (plus, minus float64)) matVecCase {
	return matVecCase{name, f.columns, func(r *rand.Rand, rows, cols int) (int, func(level, []float32, int, Q8), func(int, int) (float64, float64)) {
		rowBytes := cols / f.columns * f.bytes
		w := randomBytes(r, rows*rowBytes)
		for b := 0; b < len(w); b += f.bytes {
			for _, s := range scales {
				putScale(r, w[b+s:])
			}
		}
		return len(w), func(l level, y []float32, rows int, x Q8) { matVecBlocks(l, f, y, w, rows, cols, x) },
			func(row, col int) (float64, float64) {
				return decode(w[row*rowBytes+col/f.columns*f.bytes:][:f.bytes], col%f.columns)
			}
	}}
}

func groupCase(name string, f *groupFormat, group int, decode func(row []byte, i int) (code, offset float64)) matVecCase {
	return matVecCase{fmt.Sprintf("%s-g%d", name, group), 1, func(r *rand.Rand, rows, cols int) (int, func(level, []float32, int, Q8), func(int, int) (float64, float64)) {
		g := group
		if g == 0 {
			g = cols
		}
		rowBytes, groups := f.rowBytes(cols), (cols+g-1)/g
		w, scales := randomBytes(r, rows*rowBytes), make([]byte, 2*rows*groups)
		for i := 0; i < len(scales); i += 2 {
			putScale(r, scales[i:])
		}
		return len(w) + len(scales), func(l level, y []float32, rows int, x Q8) { matVecGroups(l, f, y, w, scales, rows, cols, group, x) },
			func(row, col int) (float64, float64) {
				code, offset := decode(w[row*rowBytes:], col)
				scale := halfAt(scales[2*(row*groups+col/g):])
				return scale * code, scale * offset
			}
	}}
}

func nibbleAt(codes []byte, i int) (code, offset float64) {
	return float64(codes[i/32*16+i%16] >> (i % 32 / 16 * 4) & 15), 8
}

func matVecCases() []matVecCase {
	cases := []matVecCase{
		blockCase("q8_0", &formatQ8_0, []int{0}, func(b []byte, i int) (float64, float64) { return halfAt(b) * float64(int8(b[2+i])), 0 }),
		blockCase("q4_0", &formatQ4_0, []int{0}, func(b []byte, i int) (float64, float64) {
			code, offset := nibbleAt(b[2:], i)
			return halfAt(b) * code, halfAt(b) * offset
		}),
		blockCase("q4_k", &formatQ4_K, []int{0, 2}, func(b []byte, i int) (float64, float64) {
			j := i / 32
			var scale, minimum byte
			if q := b[4:16]; j < 4 {
				scale, minimum = q[j]&63, q[j+4]&63
			} else {
				scale, minimum = q[j+4]&15|q[j-4]>>6<<4, q[j+4]>>4|q[j]>>6<<4
			}
			return halfAt(b) * float64(scale) * float64(b[16+j/2*32+i%32]>>(j%2*4)&15), halfAt(b[2:]) * float64(minimum)
		}),
	}
	cases = append(append(cases, packedCases()...), denseCases()...)
	for _, g := range []int{32, 64, 128, 256, 96, 0} {
		cases = append(cases, groupCase("int8", &formatInt8, g, func(row []byte, i int) (float64, float64) { return float64(int8(row[i])), 0 }),
			groupCase("int4", &formatInt4, g, nibbleAt))
	}
	return cases
}

// checkMatVec compares one shape at every level with a float64 product of the decoded weights and the activations' int8 form.
func checkMatVec(t *testing.T, c matVecCase, r *rand.Rand, rows, cols int) {
	t.Helper()
	x := QuantizeQ8(randoms(r, cols))
	_, run, at := c.make(r, rows, cols)
	start := randoms(r, rows)
	var definition []float32
	for _, l := range levels() {
		y := make([]float32, rows+2)
		y[0], y[rows+1] = guard, guard
		copy(y[1:], start)
		run(l, y[1:rows+1], rows, x)
		if y[0] != guard || y[rows+1] != guard {
			t.Fatalf("%s %s %dx%d: wrote outside the result", c.name, levelNames[l], rows, cols)
		}
		for row := range rows {
			want, abs := float64(start[row]), math.Abs(float64(start[row]))
			for col := range cols {
				a := float64(x.Scales[col/32]) * float64(x.Codes[col])
				plus, minus := at(row, col)
				want += (plus - minus) * a
				abs += (math.Abs(plus) + math.Abs(minus)) * math.Abs(a)
			}
			if got := float64(y[1+row]); !(math.Abs(got-want) <= abs*0x1p-21) {
				t.Fatalf("%s %s %dx%d row %d: got %g, want %g", c.name, levelNames[l], rows, cols, row, got, want)
			}
		}
		if l == generic {
			definition = y
		}
		for i := range y {
			if !same(y[i], definition[i]) {
				t.Fatalf("%s %s %dx%d: element %d is %g, want %g", c.name, levelNames[l], rows, cols, i-1, y[i], definition[i])
			}
		}
	}
}

func TestMatVecIsIdenticalAtAllLevelsAndAgreesWithFloat64OnAllShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range matVecCases() {
		for _, cols := range []int{1, 16, 31, 32, 33, 64, 96, 128, 160, 224, 255, 256, 257, 288, 512, 544, 1024, 1376} {
			if cols%c.columns == 0 {
				for _, rows := range []int{1, 2, 9} {
					checkMatVec(t, c, r, rows, cols)
				}
			}
		}
	}
}

func TestMatVecIsIdenticalAtAllLevelsWhateverBytesAndActivationsAre(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	compare := func(name string, rows int, run func(l level, y []float32)) {
		start := randoms(r, rows)
		want := append([]float32{}, start...)
		run(generic, want)
		for _, l := range fast() {
			y := append([]float32{}, start...)
			run(l, y)
			for i := range y {
				if !same(y[i], want[i]) {
					t.Fatalf("%s %s: row %d is %g, want %g", name, levelNames[l], i, y[i], want[i])
				}
			}
		}
	}
	blocks := map[string]*blockFormat{"q8_0": &formatQ8_0, "q4_0": &formatQ4_0, "q4_k": &formatQ4_K, "q6_k": &formatQ6_K, "q5_k": &formatQ5_K,
		"q3_k": &formatQ3_K, "q2_k": &formatQ2_K, "q5_0": &formatQ5_0, "q5_1": &formatQ5_1, "q4_1": &formatQ4_1}
	groups := map[string]*groupFormat{"int8": &formatInt8, "int6": &formatInt6, "int5": &formatInt5, "int4": &formatInt4, "int3": &formatInt3, "int2": &formatInt2}
	for range 40 {
		const rows = 5
		cols := 256 * (1 + r.IntN(4))
		v := randoms(r, cols)
		for b := 0; b < cols; b += Q8Block {
			scale := []float32{0, 1, 0x1p-99, 0x1p100, 0x1p-60}[r.IntN(5)]
			for i := range v[b : b+Q8Block] {
				v[b+i] *= scale
			}
		}
		x := QuantizeQ8(v)
		for name, f := range blocks {
			w := randomBytes(r, rows*cols/f.columns*f.bytes)
			compare(name, rows, func(l level, y []float32) { matVecBlocks(l, f, y, w, rows, cols, x) })
		}
		for name, f := range groups {
			group := []int{32, 64, 128, 256, 0, 96}[r.IntN(6)]
			w, scales := randomBytes(r, rows*f.rowBytes(cols)), randomBytes(r, rows*(cols/32)*2+2*rows)
			compare(name, rows, func(l level, y []float32) { matVecGroups(l, f, y, w, scales, rows, cols, group, x) })
		}
	}
}

func TestMatVecDoesNotDependOnTheSplitOfRows(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for _, c := range []struct{ rows, cols int }{{37, 96}, {37, 288}, {37, 512}} {
		x := QuantizeQ8(randoms(r, c.cols))
		w := randomBytes(r, c.rows*c.cols/32*18)
		for b := 0; b < len(w); b += 18 {
			putScale(r, w[b:])
		}
		for _, l := range levels() {
			whole, split := make([]float32, c.rows), make([]float32, c.rows)
			matVecBlocks(l, &formatQ4_0, whole, w, c.rows, c.cols, x)
			for i := 0; i < c.rows; {
				n := min(c.rows-i, 1+r.IntN(7))
				matVecBlocks(l, &formatQ4_0, split[i:], w[i*c.cols/32*18:(i+n)*c.cols/32*18], n, c.cols, x)
				i += n
			}
			for i := range whole {
				if whole[i] != split[i] {
					t.Fatalf("%s: row %d is %g whole, %g split", levelNames[l], i, whole[i], split[i])
				}
			}
		}
	}
}

func TestMatVecPropagatesNaNActivationsAndIgnoresBlocksOfZeros(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, c := range matVecCases() {
		v := make([]float32, 512)
		_, run, _ := c.make(r, 3, 512)
		for _, l := range levels() {
			y := []float32{1, 2, 3}
			run(l, y, 3, QuantizeQ8(v))
			if y[0] != 1 || y[1] != 2 || y[2] != 3 {
				t.Errorf("%s %s: zero activations gave %g", c.name, levelNames[l], y)
			}
			for _, bad := range []float64{math.NaN(), math.Inf(-1)} {
				w := append([]float32(nil), v...)
				w[300] = float32(bad)
				run(l, y, 2, QuantizeQ8(w))
				if y[0] == y[0] || y[1] == y[1] || y[2] != 3 {
					t.Errorf("%s %s: activation %g gave %g", c.name, levelNames[l], bad, y)
				}
			}
		}
	}
}

func FuzzMatVec(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint16(256), uint8(0))
	f.Add(uint64(2), uint8(2), uint16(33), uint8(4))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint8, cols uint16, which uint8) {
		cases := matVecCases()
		c := cases[int(which)%len(cases)]
		n := max(1, int(cols)%2000/c.columns) * c.columns
		checkMatVec(t, c, rand.New(rand.NewPCG(seed, 0)), 1+int(rows)%12, n)
	})
}

func BenchmarkMatVec(b *testing.B) {
	for _, size := range []struct {
		name       string
		rows, cols int
	}{{"cache", 64, 2048}, {"memory", 65536, 2048}} {
		for _, c := range matVecCases() {
			for _, l := range levels() {
				if size.name == "memory" && l == generic {
					continue
				}
				b.Run(fmt.Sprintf("%s/%s/%s", size.name, c.name, levelNames[l]), func(b *testing.B) {
					r := rand.New(rand.NewPCG(4, 1))
					x := QuantizeQ8(randoms(r, size.cols))
					bytes, run, _ := c.make(r, size.rows, size.cols)
					y := make([]float32, size.rows)
					bestOf(b, float64(bytes), "GB/s", func() { run(l, y, size.rows, x) })
				})
			}
		}
	}
}
