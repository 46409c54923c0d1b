package kernels

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestConversionsUpAreIdenticalAtAllLevelsForEveryHalf(t *testing.T) {
	src := make([]byte, 2<<16)
	for i := range 1 << 16 {
		binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
	}
	for _, h := range []half{f16, bf16} {
		want, got := make([]float32, 1<<16), make([]float32, 1<<16)
		convertUp(generic, h, want, src)
		for _, l := range fast() {
			convertUp(l, h, got, src)
			for i := range want {
				if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
					t.Fatalf("%s: %#04x is %#x, want %#x", levelNames[l], i, math.Float32bits(got[i]), math.Float32bits(want[i]))
				}
			}
		}
	}
}

// edgeFloats returns floats around every rounding boundary of both halves, specials and random bit patterns; a multiple of 16 of them.
func edgeFloats() []float32 {
	var x []float32
	for i := range 1 << 16 {
		mid := uint32(i) << 16
		for _, low := range []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff} { // bfloat16 boundaries
			x = append(x, math.Float32frombits(mid|low))
		}
		b := math.Float32bits(F16ToFloat32(uint16(i)))
		for _, d := range []uint32{0, 1, 0xfff, 0x1000, 0x1001, 0x1fff} { // binary16 boundaries
			x = append(x, math.Float32frombits(b+d), math.Float32frombits(b-d))
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1 << 18 {
		x = append(x, math.Float32frombits(r.Uint32()))
	}
	return x
}

func TestConversionsDownAreIdenticalAtAllLevels(t *testing.T) {
	src := edgeFloats()
	for _, h := range []half{f16, bf16} {
		want, got := make([]byte, 2*len(src)), make([]byte, 2*len(src))
		convertDown(generic, h, want, src)
		for _, l := range fast() {
			convertDown(l, h, got, src)
			for i, v := range src {
				if g, w := binary.LittleEndian.Uint16(got[2*i:]), binary.LittleEndian.Uint16(want[2*i:]); g != w {
					t.Fatalf("%s half %d: %#x is %#04x, want %#04x", levelNames[l], h, math.Float32bits(v), g, w)
				}
			}
		}
	}
}

func TestConversionDownThenUpIsNearest(t *testing.T) {
	for _, v := range []struct{ in, f16, bf16 float32 }{
		{1, 1, 1}, {1 + 0x1p-11, 1, 1}, {1 + 0x3p-11, 1 + 0x1p-9, 1}, {65519, 65504, 65536}, {1e-8, 0, 1.0011717677116394e-08}, {0x1p-25, 0, 0x1p-25}, {0x1.8p-25, 0x1p-24, 0x1.8p-25},
	} {
		if g := F16ToFloat32(Float32ToF16(v.in)); g != v.f16 {
			t.Errorf("f16 of %g is %g, want %g", v.in, g, v.f16)
		}
		if g := BF16ToFloat32(Float32ToBF16(v.in)); g != v.bf16 {
			t.Errorf("bf16 of %g is %g, want %g", v.in, g, v.bf16)
		}
	}
	if Float32ToF16(65520) != 0x7c00 || Float32ToF16(float32(math.Inf(-1))) != 0xfc00 || Float32ToF16(float32(math.NaN()))&0x7e00 != 0x7e00 {
		t.Error("f16 of values beyond the range or NaN")
	}
}

func TestConversionsWriteNothingElseOnAllLengths(t *testing.T) {
	src := edgeFloats()[5000:]
	for _, l := range levels() {
		for n := range 70 {
			for _, h := range []half{f16, bf16} {
				down, want := bytes.Repeat([]byte{0xa5}, 2*n+2), bytes.Repeat([]byte{0xa5}, 2*n+2)
				convertDown(l, h, down[1:2*n+1], src[:n])
				convertDown(generic, h, want[1:2*n+1], src[:n])
				if !bytes.Equal(down, want) {
					t.Fatalf("%s n=%d: wrong bytes down", levelNames[l], n)
				}
				up := make([]float32, n+2)
				up[0], up[n+1] = guard, guard
				convertUp(l, h, up[1:n+1], want[1:])
				if up[0] != guard || up[n+1] != guard {
					t.Fatalf("%s n=%d: wrote outside the result", levelNames[l], n)
				}
			}
		}
	}
}

func BenchmarkConvert(b *testing.B) {
	const n = 4096
	floats, halves := make([]float32, n), make([]byte, 2*n)
	for _, l := range levels() {
		for h, name := range []string{"f16", "bf16"} {
			b.Run(fmt.Sprintf("%s/%sToF32", levelNames[l], name), func(b *testing.B) {
				b.SetBytes(6 * n)
				for b.Loop() {
					convertUp(l, half(h), floats, halves)
				}
			})
			b.Run(fmt.Sprintf("%s/f32To%s", levelNames[l], name), func(b *testing.B) {
				b.SetBytes(6 * n)
				for b.Loop() {
					convertDown(l, half(h), halves, floats)
				}
			})
		}
	}
}
