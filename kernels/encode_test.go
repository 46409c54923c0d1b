package kernels

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// weights returns n floats: plain, of few values so that ties are many, or of any bit pattern.
func weights(r *rand.Rand, n, kind int) []float32 {
	x := randoms(r, n)
	for i := range x {
		switch kind {
		case 1:
			x[i] = float32(r.IntN(64)-32) / 4
		case 2:
			x[i] = math.Float32frombits(r.Uint32())
		case 3:
			x[i] = -float32(math.Abs(float64(x[i])))
		}
	}
	return x
}

func TestExtremesAreIdenticalAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 150 {
		for kind := range 4 {
			x := weights(r, n, kind)
			p, q, ok := extremes(generic, x)
			for _, l := range fast() {
				if gp, gq, gok := extremes(l, x); math.Float32bits(gp) != math.Float32bits(p) || math.Float32bits(gq) != math.Float32bits(q) || gok != ok {
					t.Fatalf("%s n=%d kind %d: %g %g %v, want %g %g %v", levelNames[l], n, kind, gp, gq, gok, p, q, ok)
				}
			}
			if kind == 2 || n == 0 {
				continue
			}
			lo, hi := minMax(generic, x)
			if !ok || p != max(hi, 0) || q != max(-lo, 0) {
				t.Fatalf("n=%d: extremes %g %g %v of [%g, %g]", n, p, q, ok, lo, hi)
			}
			for _, l := range fast() {
				if glo, ghi := minMax(l, x); glo != lo || ghi != hi {
					t.Fatalf("%s n=%d kind %d: [%g, %g], want [%g, %g]", levelNames[l], n, kind, glo, ghi, lo, hi)
				}
			}
		}
	}
}

func TestExtremesNoticeEveryValueThatIsNotFinite(t *testing.T) {
	for _, l := range levels() {
		for i := range 70 {
			for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -math.NaN()} {
				x := make([]float32, 70)
				x[i] = float32(v)
				if _, _, ok := extremes(l, x); ok {
					t.Fatalf("%s: %g at %d was not noticed", levelNames[l], v, i)
				}
			}
		}
	}
}

// roundings returns ways to round to bits bits, symmetric and shifted.
func roundings(bits int) []Rounding {
	low := int32(RoundMagicBits) - 1<<(bits-1)
	var rs []Rounding
	for _, inverse := range []float32{1, -3.7, 0, 1e30, 0x1p24} {
		for _, zero := range []int32{0, 100, -128} {
			rs = append(rs, Rounding{inverse, low - zero, low - zero + 1<<bits - 1, low - zero})
		}
	}
	return rs
}

func TestRoundingIsIdenticalAtAllLevelsAndWritesNothingElse(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for n := range 140 {
		for kind := range 4 {
			x := weights(r, n, kind)
			for i, rounding := range append(append(roundings(4), roundings(8)...), roundings(3)...) {
				rounding.Base += int32(i % 2 * 128)
				want, got := bytes.Repeat([]byte{0xa5}, n+2), bytes.Repeat([]byte{0xa5}, n+2)
				roundCodes(generic, want[1:n+1], x, &rounding)
				for _, l := range fast() {
					roundCodes(l, got[1:n+1], x, &rounding)
					if !bytes.Equal(got, want) {
						t.Fatalf("%s n=%d %+v: %x, want %x", levelNames[l], n, rounding, got, want)
					}
				}
				if i >= len(roundings(4)) || i%2 == 1 {
					continue
				}
				packed, unpacked := bytes.Repeat([]byte{0xa5}, n/2+2), make([]float32, n/32*32)
				for _, l := range levels() {
					roundNibbles(l, packed[1:n/32*16+1], x, &rounding)
					for j := range n / 32 * 32 {
						if got := packed[1+j/32*16+j%16] >> (j % 32 / 16 * 4) & 15; got != want[1+j] {
							t.Fatalf("%s n=%d: nibble %d is %d, want %d", levelNames[l], n, j, got, want[1+j])
						}
					}
					if packed[0] != 0xa5 || packed[n/32*16+1] != 0xa5 {
						t.Fatalf("%s n=%d: wrote outside the result", levelNames[l], n)
					}
					scaleNibbles(l, unpacked, packed[1:], 0.37, -8, 0.5)
					for j, v := range unpacked {
						if v != float32(0.37*float32(int(want[1+j])-8))+0.5 {
							t.Fatalf("%s n=%d: value %d is %g of code %d", levelNames[l], n, j, v, want[1+j])
						}
					}
				}
			}
		}
	}
}

func TestScaleCodesIsIdenticalAtAllLevelsAndWritesNothingElse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for n := range 70 {
		codes, scale, offset := randomBytes(r, n), float32(r.NormFloat64()), r.IntN(512)-256
		for _, l := range levels() {
			out := make([]float32, n+2)
			out[0], out[n+1] = guard, guard
			scaleCodes(l, out[1:n+1], codes, scale, int32(offset), 0.25)
			for i, c := range codes {
				if out[1+i] != float32(scale*float32(int(c)+offset))+0.25 {
					t.Fatalf("%s n=%d: value %d is %g", levelNames[l], n, i, out[1+i])
				}
			}
			scaleInt8(l, out[1:n+1], codes, scale, int32(offset), 0.25)
			for i, c := range codes {
				if out[1+i] != float32(scale*float32(int(int8(c))+offset))+0.25 {
					t.Fatalf("%s n=%d: signed value %d is %g", levelNames[l], n, i, out[1+i])
				}
			}
			if out[0] != guard || out[n+1] != guard {
				t.Fatalf("%s n=%d: wrote outside the result", levelNames[l], n)
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	const n = 128
	x := randoms(rand.New(rand.NewPCG(4, 1)), n)
	codes, rounding := make([]byte, n), roundings(4)[0]
	for _, l := range levels() {
		for _, f := range []struct {
			name string
			run  func()
		}{
			{"extremes", func() { extremes(l, x) }},
			{"minMax", func() { minMax(l, x) }},
			{"roundCodes", func() { roundCodes(l, codes, x, &rounding) }},
			{"roundNibbles", func() { roundNibbles(l, codes, x, &rounding) }},
			{"scaleCodes", func() { scaleCodes(l, x, codes, 0.5, -8, 0) }},
			{"scaleNibbles", func() { scaleNibbles(l, x, codes, 0.5, -8, 0) }},
		} {
			b.Run(fmt.Sprintf("%s/%s", f.name, levelNames[l]), func(b *testing.B) {
				bestOf(b, 100*n*1000, "Mweights/s", func() {
					for range 100 {
						f.run()
					}
				})
			})
		}
	}
}
