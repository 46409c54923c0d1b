package trellis

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// pairs calls f with codes and rates that cover every kind: whole, mixed and highest rates, one and two weights a step.
func pairs(t *testing.T, f func(t *testing.T, c *Code, r Rate)) {
	for _, c := range codes() {
		rates := []Rate{16, 32, 39, 64}
		if c.bits <= 8 {
			rates = append(rates, 17, 48, 73, 100, 128)
		}
		if c.bits == 16 {
			rates = []Rate{32, 64}
		}
		if testing.Short() && c.bits > 10 {
			rates = rates[:1]
		}
		for _, r := range rates {
			if c.Check(r) != nil {
				continue
			}
			t.Run(c.name+"-"+r.String(), func(t *testing.T) { f(t, c, r) })
		}
	}
}

func gaussian(seed uint64, scale float32) []float32 {
	rng := rand.New(rand.NewPCG(seed, 3))
	x := make([]float32, TileWeights)
	for i := range x {
		x[i] = float32(rng.NormFloat64()) * scale
	}
	return x
}

func TestWindowsWrapAroundTheRing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, r := range []Rate{16, 17, 33, 71, 128} {
		src := make([]byte, r.TileBytes())
		for i := range src {
			src[i] = byte(rng.Uint32())
		}
		for at := range len(src) * 8 {
			var want uint32
			for j := range 16 {
				n := (at + j) % (len(src) * 8)
				want |= uint32(src[n>>3]>>(n&7)&1) << j
			}
			if got := window(src, at, 16); got != want {
				t.Fatalf("rate %s: window at %d is %x, want %x", r, at, got, want)
			}
		}
	}
}

func TestAdvancesAddUpToTheTile(t *testing.T) {
	for r := MinRate; r <= MaxRate; r++ {
		for v := 1; v <= 2; v++ {
			if v == 2 && r%8 != 0 {
				continue
			}
			sum := 0
			for i, k := range r.Advances(v) {
				sum += int(k)
				if whole := int(r) * v / 16; int(k) != whole && int(k) != whole+1 {
					t.Fatalf("rate %s: step %d moves by %d bits", r, i, k)
				}
			}
			if sum != 8*r.TileBytes() {
				t.Fatalf("rate %s: steps add up to %d bits", r, sum)
			}
		}
	}
}

func TestRatesParseBack(t *testing.T) {
	for r := MinRate; r <= MaxRate; r++ {
		if got, err := ParseRate(r.String()); err != nil || got != r {
			t.Errorf("ParseRate(%q) = %v, %v", r, got, err)
		}
	}
	for _, s := range []string{"", "0.9375", "8.0625", "2.03", "2.50", "02.5", "2,5", "NaN", "Inf", "1e1", "-2", "0x2", "1e300"} {
		if r, err := ParseRate(s); err == nil {
			t.Errorf("ParseRate(%q) = %v", s, r)
		}
	}
}

// The path that a search finds is a ring: every state shares L − k bits with the next, the last with the first.
func TestStatesOverlapAroundTheSeam(t *testing.T) {
	pairs(t, func(t *testing.T, c *Code, r Rate) {
		e, d := NewEncoder(c, r), NewDecoder(c, r)
		tile := make([]byte, r.TileBytes())
		for seed := range uint64(3) {
			e.Encode(tile, gaussian(seed, 1/c.Gain(r)))
			s := make([]uint32, len(d.advances))
			states(s, tile, c.bits, d.advances)
			for i, k := range d.advances {
				next := s[(i+1)%len(s)]
				if s[i]>>k != next&(1<<(c.bits-int(k))-1) {
					t.Fatalf("states %d and %d do not overlap: %x, %x", i, i+1, s[i], next)
				}
				if path := Reverse(uint32(e.path[i]), int(k)); path != s[i]&(1<<k-1) {
					t.Fatalf("step %d stores %x, the path has %x", i, s[i]&(1<<k-1), path)
				}
			}
		}
	})
}

func TestEncodingDecodedValuesGivesTheSameValues(t *testing.T) {
	pairs(t, func(t *testing.T, c *Code, r Rate) {
		e, d := NewEncoder(c, r), NewDecoder(c, r)
		rng := rand.New(rand.NewPCG(5, 5))
		tile, again := make([]byte, r.TileBytes()), make([]byte, r.TileBytes())
		x, y := make([]float32, TileWeights), make([]float32, TileWeights)
		for range 4 {
			for i := range tile {
				tile[i] = byte(rng.Uint32())
			}
			d.Decode(x, tile)
			if mse := e.Encode(again, x); mse != 0 {
				t.Errorf("decoded values are encoded with squared error %g", mse)
			}
			if d.Decode(y, again); !slices.Equal(x, y) {
				t.Error("decoded values change")
			}
		}
	})
}

// Targets that no table reaches, and costs that 16 bits do not hold, still give a ring.
func TestWildTargetsAreEncoded(t *testing.T) {
	pairs(t, func(t *testing.T, c *Code, r Rate) {
		e := NewEncoder(c, r)
		tile := make([]byte, r.TileBytes())
		for _, period := range []int{1, 2, 3, 7, 64} {
			x := make([]float32, TileWeights)
			for i := range x {
				x[i] = []float32{1e30, -1e30, 5}[i/period%3]
			}
			e.Encode(tile, x)
		}
	})
}
