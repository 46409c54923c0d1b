package tensor

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

func TestEveryF16SurvivesARoundTrip(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		v := F16ToFloat32(h)
		got := Float32ToF16(v)
		if v != v {
			if got&0x7c00 != 0x7c00 || got&0x3ff == 0 {
				t.Fatalf("NaN %#04x became %#04x", h, got)
			}
			continue
		}
		if got != h {
			t.Fatalf("%#04x (%g) became %#04x", h, v, got)
		}
	}
}

// slowF16 finds the nearest binary16 by comparing float64 distances: the definition of rounding to nearest even.
func slowF16(v float32) uint16 {
	a := math.Abs(float64(v))
	best, dist := uint16(0), math.Inf(1)
	for h := range uint16(0x7c01) {
		u := float64(F16ToFloat32(h))
		if h == 0x7c00 {
			u = 65536 // where the next value would lie
		}
		d := math.Abs(u - a)
		if d < dist || d == dist && h&1 == 0 {
			best, dist = h, d
		}
	}
	if math.Signbit(float64(v)) {
		best |= 0x8000
	}
	return best
}

func TestFloat32ToF16RoundsToNearestEven(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	cases := []float32{0, 65504, 65519.996, 65520, 1e9, 0x1p-24, 0x1p-25, 0x1.000002p-25, 0x1.8p-24, 0x1p-14, 0x1.ffcp-15, 1 + 0x1p-11, 1 + 0x3p-11, 0x1.ffffp-15}
	for range 300 {
		cases = append(cases, float32(rng.NormFloat64())*float32(math.Exp2(float64(rng.IntN(44)-28))))
	}
	for _, v := range cases {
		for _, v := range []float32{v, -v} {
			if got, want := Float32ToF16(v), slowF16(v); got != want {
				t.Errorf("%x: got %#04x, want %#04x", v, got, want)
			}
		}
	}
}

func TestFloat32ToBF16RoundsToNearestEven(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100000 {
		v := math.Float32frombits(rng.Uint32())
		got := Float32ToBF16(v)
		if v != v {
			if u := BF16ToFloat32(got); u == u {
				t.Fatalf("NaN became %g", u)
			}
			continue
		}
		low := BF16ToFloat32(uint16(math.Float32bits(v) >> 16)) // toward zero
		high := BF16ToFloat32(uint16(math.Float32bits(v)>>16) + 1)
		dl, dh := math.Abs(float64(v)-float64(low)), math.Abs(float64(high)-float64(v))
		if math.IsInf(float64(high), 0) {
			continue
		}
		want := low
		if dh < dl || dh == dl && math.Float32bits(low)>>16&1 == 1 {
			want = high
		}
		if BF16ToFloat32(got) != want {
			t.Fatalf("%x: got %x, want %x", v, BF16ToFloat32(got), want)
		}
	}
}

func TestSmallFloatsHaveTheValuesOfTheirSpecifications(t *testing.T) {
	nan := float32(math.NaN())
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		d    DType
		code byte
		want float32
	}{
		{F8E4M3, 0x00, 0}, {F8E4M3, 0x01, 0x1p-9}, {F8E4M3, 0x08, 0x1p-6}, {F8E4M3, 0x38, 1}, {F8E4M3, 0x7e, 448}, {F8E4M3, 0xfe, -448}, {F8E4M3, 0x7f, nan}, {F8E4M3, 0xff, nan},
		{F8E5M2, 0x01, 0x1p-16}, {F8E5M2, 0x3c, 1}, {F8E5M2, 0x7b, 57344}, {F8E5M2, 0x7c, inf}, {F8E5M2, 0xfc, -inf}, {F8E5M2, 0x7d, nan}, {F8E5M2, 0xff, nan},
		{F8E4M3FNUZ, 0x01, 0x1p-10}, {F8E4M3FNUZ, 0x40, 1}, {F8E4M3FNUZ, 0x7f, 240}, {F8E4M3FNUZ, 0x80, nan}, {F8E4M3FNUZ, 0xc0, -1},
		{F8E5M2FNUZ, 0x01, 0x1p-17}, {F8E5M2FNUZ, 0x40, 1}, {F8E5M2FNUZ, 0x7f, 57344}, {F8E5M2FNUZ, 0x80, nan},
		{F8E8M0, 0, 0x1p-127}, {F8E8M0, 127, 1}, {F8E8M0, 254, 0x1p127}, {F8E8M0, 255, nan},
		{I8, 0xff, -1}, {U8, 0xff, 255}, {Bool, 2, 1}, {Bool, 0, 0},
	} {
		got := make([]float32, 1)
		Decode(got, c.d, []byte{c.code}, 0)
		if got[0] != c.want && (got[0] == got[0] || c.want == c.want) {
			t.Errorf("%v %#02x = %g, want %g", c.d, c.code, got[0], c.want)
		}
	}
}

func TestPackedFloatsDecodeFromAnyElement(t *testing.T) {
	f4 := []float32{0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6}
	var data []byte
	for i := 0; i < 16; i += 2 {
		data = append(data, byte(i|(i+1)<<4))
	}
	for first := range 16 {
		got := make([]float32, 16-first)
		Decode(got, F4, data, first)
		for i := range got {
			if got[i] != f4[first+i] {
				t.Fatalf("F4 from %d: element %d is %g, want %g", first, i, got[i], f4[first+i])
			}
		}
	}
	// Codes 1, 31, 32+1, 63 in 24 bits, little endian.
	packed := uint32(1 | 31<<6 | 33<<12 | 63<<18)
	six := []byte{byte(packed), byte(packed >> 8), byte(packed >> 16)}
	for d, want := range map[DType][]float32{F6E2M3: {.125, 7.5, -.125, -7.5}, F6E3M2: {.0625, 28, -.0625, -28}} {
		for first := range 4 {
			got := make([]float32, 4-first)
			Decode(got, d, six, first)
			for i := range got {
				if got[i] != want[first+i] {
					t.Errorf("%v element %d = %g, want %g", d, first+i, got[i], want[first+i])
				}
			}
		}
	}
}

func TestWideIntegersAndDoublesAreRoundedOnce(t *testing.T) {
	for _, v := range []uint64{0, 1, 1<<24 + 1, 1<<40 + 1<<16 + 1, 1<<63 + 1<<39, 1<<63 + 1<<39 + 1, math.MaxUint64} {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		got := make([]float32, 1)
		Decode(got, U64, b[:], 0)
		if got[0] != float32(v) {
			t.Errorf("U64 %d = %g", v, got[0])
		}
		Decode(got, I64, b[:], 0)
		if got[0] != float32(int64(v)) {
			t.Errorf("I64 %d = %g", int64(v), got[0])
		}
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], math.Float64bits(1+0x1p-24+0x1p-50))
	got := make([]float32, 1)
	if Decode(got, F64, b[:], 0); got[0] != 1+0x1p-23 {
		t.Errorf("F64 rounds to %x", got[0])
	}
}

func TestEveryDecodableDTypeReadsItsOwnWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for d := Bool; d < numDTypes; d++ {
		if !d.Decodable() {
			continue
		}
		block, size := d.Block()
		data := make([]byte, 48/block*size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		whole := make([]float32, 48)
		Decode(whole, d, data, 0)
		for _, w := range [][2]int{{0, 0}, {48, 48}, {0, 1}, {5, 6}, {5, 23}, {47, 48}} {
			part := make([]float32, w[1]-w[0])
			Decode(part, d, data, w[0])
			for i, v := range part {
				if math.Float32bits(v) != math.Float32bits(whole[w[0]+i]) {
					t.Fatalf("%v window %v differs at %d", d, w, i)
				}
			}
		}
	}
}
