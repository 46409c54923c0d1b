package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// trellisCase is a code under test, with the value of a state computed a second time.
type trellisCase struct {
	name    string
	decoder *TrellisDecoder
	value   func(state int) int8
}

func randomLUT(r *rand.Rand, n int) []int8 {
	lut := make([]int8, n)
	for i := range lut {
		lut[i] = int8(r.Uint32())
	}
	return lut
}

// mirrorLUT returns a table whose second half is the first, mirrored and negative.
func mirrorLUT(r *rand.Rand) []int8 {
	lut := randomLUT(r, 256)
	for i := range 128 {
		lut[i] = max(lut[i], -127)
		lut[255-i] = -lut[i]
	}
	return lut
}

func mirrorName(lut []int8) string {
	if mirrored(lut) {
		return "-mirrored"
	}
	return ""
}

func lutCase(lut []int8, rate int) trellisCase {
	l := log2(len(lut))
	return trellisCase{fmt.Sprintf("lut%d%s-%d", l, mirrorName(lut), rate), NewTrellisDecoder(l, rate, false, 0, lut), func(s int) int8 { return lut[s] }}
}

func hashCase(lut []int8, rate int) trellisCase {
	q := log2(len(lut))
	return trellisCase{fmt.Sprintf("hash16-q%d%s-%d", q, mirrorName(lut), rate), NewTrellisDecoder(16, rate, true, 0xe6d5, lut), func(s int) int8 {
		return lut[s*(s+0xe6d5)%65536/(65536>>q)]
	}}
}

func linearCase(r *rand.Rand, l int, lut []int8, rate int) trellisCase {
	q := log2(len(lut))
	rows := make([]uint16, q)
	for i := range rows {
		rows[i] = uint16(r.Uint32()) >> (16 - l)
	}
	return trellisCase{fmt.Sprintf("linear%d-q%d%s-%d", l, q, mirrorName(lut), rate), NewLinearTrellisDecoder(l, rate, rows, lut), func(s int) int8 {
		at := 0
		for i, row := range rows {
			for b := range l {
				at ^= (s & int(row)) >> b & 1 << i
			}
		}
		return lut[at]
	}}
}

// trellisRates are rates at every phase of the pattern, and the bounds.
func trellisRates() []int {
	rates := []int{16, 17, 20, 23, 24, 31, 32, 33, 34, 35, 36, 38, 39, 40, 44, 47, 48, 49, 52, 56, 57, 63, 64, 65, 71, 72, 73, 80, 96, 97, 112, 120, 127, 128}
	if testing.Short() {
		return []int{16, 23, 32, 36, 39, 48, 57, 72, 97, 128}
	}
	return rates
}

func trellisCases(r *rand.Rand) (cases []trellisCase) {
	for _, rate := range trellisRates() {
		for l := 7; l <= 12; l++ {
			cases = append(cases, lutCase(randomLUT(r, 1<<l), rate))
		}
		cases = append(cases, hashCase(randomLUT(r, 1<<7), rate), hashCase(randomLUT(r, 1<<8), rate))
		cases = append(cases, lutCase(mirrorLUT(r), rate), hashCase(mirrorLUT(r), rate), linearCase(r, 14, mirrorLUT(r), rate))
		cases = append(cases, linearCase(r, 16, randomLUT(r, 1<<7), rate), linearCase(r, 12, randomLUT(r, 1<<8), rate), linearCase(r, 9, randomLUT(r, 1<<7), rate), linearCase(r, 16, randomLUT(r, 1<<8), rate))
	}
	return append(cases, lutCase(randomLUT(r, 1<<16), 40), hashCase(randomLUT(r, 1<<9), 40), hashCase(randomLUT(r, 1<<1), 32), hashCase(randomLUT(r, 1<<15), 32))
}

// at reads the weight at (row, col) of a band bit by bit.
func (c trellisCase) at(tiles []byte, bandRows, row, col int) int8 {
	d := c.decoder
	width := 256 / bandRows
	tile := tiles[col/width*2*d.rate:][:2*d.rate]
	group := row/16 + col%width/4*(bandRows/16)
	step := 64*group + row%16*4 + col%4
	at := 0
	for t := range step { // the pattern of the format: step t takes ⌊(t+1)·rate/16⌋ - ⌊t·rate/16⌋ bits
		at += (t%16+1)*d.rate/16 - t%16*d.rate/16
	}
	state := 0
	for i := range d.l {
		bit := (at + i) % (16 * d.rate)
		state |= int(tile[bit/8]>>(bit%8)&1) << i
	}
	return c.value(state)
}

var trellisShapes = []struct{ rows, bandRows, cols int }{
	{64, 64, 96}, {64, 64, 4}, {63, 64, 37}, {32, 32, 64}, {32, 32, 8}, {17, 32, 71}, {16, 16, 32}, {16, 16, 160}, {1, 16, 50}, {0, 16, 16}, {16, 16, 0},
}

func TestTrellisMatVecIsTheBandReadBitByBit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	for _, c := range trellisCases(r) {
		for _, s := range trellisShapes {
			tiles := randomBytes(r, c.decoder.BandBytes(s.bandRows, s.cols))
			x, scales, before := QuantizeQ8(randoms(r, s.cols)), randoms(r, s.rows), randoms(r, s.rows)
			want := make([]float32, s.rows)
			for row := range want {
				var sum float32
				for b := 0; b < s.cols; b += 32 {
					dot := 0
					for col := b; col < min(b+32, s.cols); col++ {
						dot += int(c.at(tiles, s.bandRows, row, col)) * int(x.Codes[col])
					}
					sum += float32(float32(dot) * x.Scales[b/32])
				}
				want[row] = before[row] + float32(sum*scales[row])
			}
			for _, l := range levels() {
				got := append([]float32(nil), before...)
				c.decoder.matVec(l, got, scales, tiles, s.bandRows, s.cols, x)
				for i := range want {
					if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
						t.Fatalf("%s %s %v: row %d is %g, want %g", c.name, levelNames[l], s, i, got[i], want[i])
					}
				}
			}
		}
	}
}

func TestTrellisDecodeBandIsTheBandReadBitByBit(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 7))
	for _, c := range trellisCases(r) {
		for _, s := range trellisShapes {
			tiles := randomBytes(r, c.decoder.BandBytes(s.bandRows, s.cols))
			scales, stride := randoms(r, s.rows), s.cols+3
			width := 256 / s.bandRows
			c0 := s.cols / 2 / width * width
			for _, l := range levels() {
				got := make([]float32, s.rows*stride)
				c.decoder.decodeBand(l, got, stride, s.rows, scales, tiles, s.bandRows, c0, s.cols)
				for i, v := range got {
					var want float32
					if row, col := i/stride, i%stride; col < s.cols-c0 {
						want = float32(c.at(tiles, s.bandRows, row, c0+col)) * scales[row]
					}
					if v != want {
						t.Fatalf("%s %s %v: element %d is %g, want %g", c.name, levelNames[l], s, i, v, want)
					}
				}
			}
		}
	}
}

func TestTrellisMatVecPropagatesNaN(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 7))
	d := lutCase(randomLUT(r, 1<<8), 32).decoder
	input := randoms(r, 64)
	input[40] = float32(math.NaN())
	for _, l := range levels() {
		y := make([]float32, 64)
		d.matVec(l, y, randoms(r, 64), randomBytes(r, d.BandBytes(64, 64)), 64, 64, QuantizeQ8(input))
		for i, v := range y {
			if v == v {
				t.Errorf("%s: row %d is %g", levelNames[l], i, v)
			}
		}
	}
}

// A processor with AVX-512 VBMI multiplies by vector kernels at every rate up to 4.5 bits and beyond.
func TestTrellisTakesTheFastPath(t *testing.T) {
	if best() >= avx2 && trellisPathOf(avx2, hashCase(randomLUT(rand.New(rand.NewPCG(4, 7)), 512), 128).decoder) != trellisNarrow {
		t.Error("AVX2 is not used for every code")
	}
	if best() < avx512 || trellisPathOf(avx512, lutCase(mirrorLUT(rand.New(rand.NewPCG(4, 7))), 32).decoder) == trellisPlain {
		t.Skip("no AVX-512 VBMI here")
	}
	r := rand.New(rand.NewPCG(5, 7))
	for rate := TrellisMinRate; rate <= trellisLongest; rate++ {
		for want, c := range map[trellisPath]trellisCase{
			trellisLUT7: lutCase(randomLUT(r, 1<<7), rate), trellisLUT8: lutCase(randomLUT(r, 1<<8), rate), trellisHash7: hashCase(randomLUT(r, 1<<7), rate), trellisHash8: hashCase(randomLUT(r, 1<<8), rate),
			trellisLinear7: linearCase(r, 16, randomLUT(r, 1<<7), rate), trellisLinear8: linearCase(r, 12, randomLUT(r, 1<<8), rate),
			trellisLUTMirror: lutCase(mirrorLUT(r), rate), trellisHashMirror: hashCase(mirrorLUT(r), rate), trellisLinearMirror: linearCase(r, 16, mirrorLUT(r), rate),
		} {
			if got := trellisPathOf(chosen, c.decoder); got != want && chosen == avx512 {
				t.Errorf("%s takes path %d, want %d", c.name, got, want)
			}
		}
	}
}

// BenchmarkTrellis multiplies by bands of 64 rows × 4096 columns, from cache and from memory.
func BenchmarkTrellis(b *testing.B) {
	const cols = 4096
	r := rand.New(rand.NewPCG(6, 7))
	x, scales := QuantizeQ8(randoms(r, cols)), randoms(r, 64)
	var memory []byte
	for _, rate := range []int{32, 40, 48, 64, 72} {
		for _, c := range []trellisCase{lutCase(randomLUT(r, 1<<7), rate), lutCase(randomLUT(r, 1<<8), rate), linearCase(r, 16, randomLUT(r, 1<<7), rate), linearCase(r, 16, randomLUT(r, 1<<8), rate), hashCase(randomLUT(r, 1<<7), rate), hashCase(randomLUT(r, 1<<8), rate), lutCase(randomLUT(r, 1<<12), rate),
			lutCase(mirrorLUT(r), rate), linearCase(r, 16, mirrorLUT(r), rate), hashCase(mirrorLUT(r), rate)} {
			band := c.decoder.BandBytes(64, cols)
			run := func(b *testing.B, l level, tiles []byte, bands int) {
				y, at, all := make([]float32, 64), 0, len(tiles)/band
				bestOf(b, float64(64*cols*bands), "Gweights/s", func() {
					for range bands {
						c.decoder.matVec(l, y, scales, tiles[at*band:], 64, cols, x)
						at = (at + 1) % all
					}
				})
			}
			for _, l := range levels() {
				b.Run(fmt.Sprintf("%s/%s/cache", c.name, levelNames[l]), func(b *testing.B) { run(b, l, randomBytes(r, band+trellisSlack), 1) })
			}
			b.Run(fmt.Sprintf("%s/%s/memory", c.name, levelNames[best()]), func(b *testing.B) {
				if memory == nil {
					memory = make([]byte, 1<<30)
					for n := copy(memory, randomBytes(r, 1<<20)); n < len(memory); n *= 2 {
						copy(memory[n:], memory[:n])
					}
				}
				run(b, best(), memory, 8<<20/band) // 8 MB a call: what is timed is seldom interrupted
			})
		}
	}
}

// BenchmarkTrellisDecode decodes a band of 64 rows × 2048 columns to float32, as products with prompts do.
func BenchmarkTrellisDecode(b *testing.B) {
	const cols = 2048
	r := rand.New(rand.NewPCG(8, 7))
	dst, scales := make([]float32, 64*cols), randoms(r, 64)
	for _, rate := range []int{32, 48} {
		for _, c := range []trellisCase{lutCase(randomLUT(r, 1<<8), rate), linearCase(r, 16, randomLUT(r, 1<<7), rate), hashCase(randomLUT(r, 1<<7), rate), lutCase(randomLUT(r, 1<<12), rate)} {
			tiles := randomBytes(r, c.decoder.BandBytes(64, cols))
			for _, l := range levels() {
				b.Run(fmt.Sprintf("%s/%s", c.name, levelNames[l]), func(b *testing.B) {
					bestOf(b, 64*cols, "Gweights/s", func() { c.decoder.decodeBand(l, dst, cols, 64, scales, tiles, 64, 0, cols) })
				})
			}
		}
	}
}

func TestTrellisMatVecDoesNotAllocate(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	x, scales, y := QuantizeQ8(randoms(r, 64)), randoms(r, 64), make([]float32, 64)
	for _, c := range []trellisCase{lutCase(randomLUT(r, 128), 32), hashCase(randomLUT(r, 512), 32)} {
		tiles := randomBytes(r, c.decoder.BandBytes(64, 64))
		if n := testing.AllocsPerRun(10, func() { c.decoder.MatVec(y, scales, tiles, 64, 64, x) }); n != 0 {
			t.Errorf("%s: %g allocations", c.name, n)
		}
	}
}
