package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// steps returns n steps of which step i has floor((i+1)r) - floor(i r) bits, r = sixteenths/16.
func steps(n, sixteenths int) []uint8 {
	s := make([]uint8, n)
	for i := range s {
		s[i] = uint8((i+1)*sixteenths/16 - i*sixteenths/16)
	}
	return s
}

// gaussian returns n normal values with 8192 to the standard deviation, limited to int16.
func gaussian(r *rand.Rand, n int) []int16 {
	x := make([]int16, n)
	for i := range x {
		x[i] = int16(max(math.MinInt16, min(math.MaxInt16, r.NormFloat64()*8192)))
	}
	return x
}

func randomTrellis(r *rand.Rand, l, v, n, sixteenths int) *Viterbi {
	return &Viterbi{L: l, V: v, Steps: steps(n, sixteenths), Table: gaussian(r, v<<l)}
}

// stateAt returns the window of L bits that begins with the bits of step t in the ring d.
func (v *Viterbi) stateAt(d []uint16, t int) int {
	s, n := 0, 0
	for ; n < v.L; t++ {
		k := int(v.Steps[t%len(d)])
		s, n = s<<k|int(d[t%len(d)]), n+k
	}
	return s >> (n - v.L)
}

// pathCost is what the ring d costs, from its bits alone.
func (v *Viterbi) pathCost(d []uint16, x []int16) uint32 {
	var c uint32
	for t := range d {
		c += uint32(v.metrics(x[t*v.V:], v.stateAt(d, t)))
	}
	return c
}

func TestSearchFindsTheCheapestPathThroughItsSeam(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for l := 2; l <= 11; l++ {
		for _, sixteenths := range []int{16, 20, 24, 32, 39, 48, 56, 72} {
			if (sixteenths+15)/16 > l {
				continue
			}
			for v := 1; v <= 2; v++ {
				trellis := randomTrellis(r, l, v, 64, sixteenths)
				x, d := gaussian(r, v*64), make([]uint16, 64)
				if !newViterbiSearch(trellis, chosen).run(d, x) {
					t.Fatalf("L=%d V=%d rate %d/16: all costs saturate", l, v, sixteenths)
				}
				seam, cost := trellis.stateAt(d, 0)>>trellis.Steps[63], make([]uint16, trellis.Nodes())
				for e := range cost {
					cost[e] = unreachable
				}
				cost[seam] = 0
				want := trellis.Forward(x, 0, 64, cost, nil) + uint32(cost[seam])
				if got := trellis.pathCost(d, x); got != want {
					t.Errorf("L=%d V=%d rate %d/16: the ring costs %d, the cheapest through its seam %d", l, v, sixteenths, got, want)
				}
			}
		}
	}
}

func TestForwardFindsTheCheapestPathToEveryNode(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	for _, ks := range [][]uint8{{1, 1, 1, 1, 1, 1}, {2, 2, 2, 2}, {1, 2, 1, 2, 1}, {3, 1, 2, 3}, {2, 3, 3, 1}} {
		v := &Viterbi{L: 4, V: 1, Steps: ks, Table: gaussian(r, 16)}
		x, nodes := gaussian(r, len(ks)), v.Nodes()
		for _, begin := range []int{-1, 1} {
			cost, back := make([]uint16, nodes), make([]uint16, len(ks)*nodes)
			for e := range cost {
				if begin >= 0 && e != begin {
					cost[e] = unreachable
				}
			}
			total := v.Forward(x, 0, len(ks), cost, back)
			last := len(ks) - 1
			want := make([]uint32, 1<<(4-ks[last]))
			for e := range want {
				want[e] = math.MaxUint32
			}
			for n := range 1 << (4 - ks[last]) {
				v.enumerate(x, 0, n, begin, 0, want)
			}
			for e, w := range want {
				if begin >= 0 && w == math.MaxUint32 {
					if cost[e] != unreachable {
						t.Errorf("steps %v: node %d reached at %d, no path leads there", ks, e, cost[e])
					}
				} else if got := total + uint32(cost[e]); got != w {
					t.Errorf("steps %v from %d: node %d costs %d, want %d", ks, begin, e, got, w)
				}
			}
		}
	}
}

// enumerate walks all paths from node n before step t and keeps the least cost of every node after the last step.
func (v *Viterbi) enumerate(x []int16, t, n, begin int, sum uint32, best []uint32) {
	if t == 0 && begin >= 0 && n != begin {
		return
	}
	if t == len(x) {
		best[n] = min(best[n], sum)
		return
	}
	kin, k := v.Steps[(t+len(x)-1)%len(x)], v.Steps[t]
	for c := range 1 << kin {
		s := n<<kin | c
		v.enumerate(x, t+1, s&(1<<(v.L-int(k))-1), begin, sum+uint32(v.metric(x[t], v.Table[s])), best)
	}
}

func TestSearchOverTheWholeRingIsNearTheCheapestRing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	exact, trials := 0, 60
	for range trials {
		v := randomTrellis(r, 4, 1, 12, 16)
		x, d := gaussian(r, 12), make([]uint16, 12)
		v.Search(d, x)
		got, best := v.pathCost(d, x), uint32(math.MaxUint32)
		ring := make([]uint16, 12)
		for bits := range 1 << 12 {
			for i := range ring {
				ring[i] = uint16(bits >> i & 1)
			}
			best = min(best, v.pathCost(ring, x))
		}
		if got < best {
			t.Fatalf("cost %d is below the least, %d", got, best)
		}
		if got == best {
			exact++
		}
	}
	if exact < trials/2 {
		t.Errorf("%d of %d searches found the cheapest ring", exact, trials)
	}
}

func TestPaddingATrellisDoesNotChangeTheCost(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		v := randomTrellis(r, 6, 1, 64, 32)
		x, d, bareBits := gaussian(r, 64), make([]uint16, 64), make([]uint16, 64)
		s := newViterbiSearch(v, generic)
		if s.L != 7 {
			t.Fatalf("padded to %d bits", s.L)
		}
		bare := *s
		bare.Viterbi, bare.padding = *v, 0
		if !s.run(d, x) || !bare.run(bareBits, x) {
			t.Fatal("costs saturate")
		}
		if a, b := v.pathCost(d, x), v.pathCost(bareBits, x); a != b {
			t.Fatalf("cost %d padded, %d not", a, b)
		}
	}
}

func TestOutliersAreSearchedWithCoarserCosts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	for doublings := range 5 {
		v := randomTrellis(r, 8, 1, 64, 48)
		v.Doublings = doublings
		x, d := gaussian(r, 64), make([]uint16, 64)
		for i := range x {
			if i%7 < 3 {
				x[i] = math.MaxInt16
			}
		}
		v.Search(d, x)
		got := v.squares(d, x)
		coarse := newViterbiSearch(v, generic)
		for coarse.shift == 0 {
			coarse = coarse.coarse()
		}
		if !coarse.run(d, x) {
			t.Fatal("costs saturate in a unit in which they cannot")
		}
		if want := v.squares(d, x); got > 1.2*want {
			t.Errorf("%d doublings: squared error %g, %g in the coarsest unit", doublings, got, want)
		}
	}
}

func (v *Viterbi) squares(d []uint16, x []int16) (sum float64) {
	for t := range d {
		e := float64(x[t]) - float64(v.Table[v.stateAt(d, t)])
		sum += e * e
	}
	return sum
}

func TestViterbiRefusesShapesThatCannotBe(t *testing.T) {
	for i, v := range []*Viterbi{
		{},
		{L: 4, V: 3, Steps: steps(8, 16), Table: make([]int16, 48)},
		{L: 4, V: 1, Steps: steps(8, 16), Table: make([]int16, 8)},
		{L: 4, V: 1, Steps: steps(7, 16), Table: make([]int16, 16)},
		{L: 4, V: 1, Steps: []uint8{1, 1, 1, 1, 1, 1, 1, 5}, Table: make([]int16, 16)},
		{L: 12, V: 1, Steps: steps(8, 16), Table: make([]int16, 1<<12)},
		{L: 4, V: 1, Steps: steps(8, 16), Table: make([]int16, 16), Lead: -1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("case %d did not panic", i)
				}
			}()
			v.Search(make([]uint16, 8), make([]int16, 8))
		}()
	}
}

func TestViterbiPathsAreIdenticalAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 6))
	for _, c := range []struct{ l, v, sixteenths, doublings int }{
		{6, 1, 16, 0}, {6, 2, 16, 0}, {7, 1, 32, 0}, {8, 1, 24, 0}, {8, 1, 39, 0}, {8, 1, 64, 0}, {10, 1, 40, 0}, {10, 2, 32, 0}, {10, 2, 48, 0},
		{12, 1, 16, 0}, {12, 1, 32, 0}, {11, 1, 53, 0}, {9, 1, 80, 1}, {11, 1, 96, 2}, {10, 1, 112, 3}, {13, 1, 128, 4}, {12, 1, 88, 1},
		{13, 2, 128, 0}, {15, 2, 160, 1}, {12, 2, 112, 2},
	} {
		const n = 64
		v := randomTrellis(r, c.l, c.v, n, c.sixteenths)
		v.Doublings = c.doublings
		if r.IntN(2) == 0 { // ties
			for i, value := range v.Table {
				v.Table[i] = value &^ 4095
			}
		}
		want, got := make([]uint16, n), make([]uint16, n)
		plain := newViterbiSearch(v, generic)
		for trial := range 3 {
			x := gaussian(r, c.v*n)
			if trial == 2 {
				x[5], x[6], x[20] = math.MaxInt16, math.MinInt16, math.MinInt16
			}
			ok := plain.run(want, x)
			for _, l := range fast() {
				s := newViterbiSearch(v, l)
				if s.pass == nil {
					t.Fatalf("%s %+v: no kernel", levelNames[l], c)
				}
				if gok := s.run(got, x); gok != ok || !slices.Equal(got, want) {
					t.Fatalf("%s %+v: %v, want %v\n%v\n%v", levelNames[l], c, gok, ok, got, want)
				}
			}
		}
	}
}

func TestViterbiPathsOfUnevenStepsAreIdenticalAtAllLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	fastPaths := 0
	for range 100 {
		const n = 24
		v := randomTrellis(r, 7+r.IntN(5), 1+r.IntN(2), n, 16)
		v.Doublings, v.Lead = r.IntN(3)*r.IntN(2), r.IntN(30)
		widest, least := 1+r.IntN(7), 1+r.IntN(2)
		for i := range v.Steps {
			v.Steps[i] = uint8(max(least, 1+r.IntN(widest)))
		}
		want, got, x := make([]uint16, n), make([]uint16, n), gaussian(r, v.V*n)
		ok := newViterbiSearch(v, generic).run(want, x)
		for _, l := range fast() {
			s := newViterbiSearch(v, l)
			if s.pass != nil {
				fastPaths++
			}
			if s.run(got, x) != ok || !slices.Equal(got, want) {
				t.Fatalf("%s L=%d V=%d steps %v: %v, want %v", levelNames[l], v.L, v.V, v.Steps, got, want)
			}
		}
	}
	if fastPaths < 30*len(fast()) {
		t.Errorf("%d searches used kernels", fastPaths)
	}
}

func BenchmarkViterbi(b *testing.B) {
	for _, c := range []struct{ l, sixteenths, tiles int }{
		{7, 32, 64}, {8, 16, 64}, {8, 32, 64}, {8, 36, 64}, {8, 48, 64}, {8, 64, 64}, {10, 32, 16}, {12, 16, 8}, {12, 32, 8}, {12, 48, 8}, {12, 64, 8}, {12, 88, 8},
		{16, 16, 1}, {16, 32, 1}, {16, 48, 1}, {16, 64, 1}, {16, 88, 1},
	} {
		for _, l := range fast() {
			b.Run(fmt.Sprintf("L%d/%gbits/%s", c.l, float64(c.sixteenths)/16, levelNames[l]), func(b *testing.B) {
				r := rand.New(rand.NewPCG(3, 7))
				v := randomTrellis(r, c.l, 1, 256, c.sixteenths)
				v.Doublings = max(0, c.sixteenths-72+15) / 16
				v.search = newViterbiSearch(v, l)
				x, d := gaussian(r, 256*c.tiles), make([]uint16, 256)
				bestOf(b, float64(256*c.tiles)*1000, "Mweights/s", func() {
					for t := range c.tiles {
						v.Search(d, x[256*t:][:256])
					}
				})
			})
		}
	}
}

func TestSearchTakesTheKernelsOfTheLevelInUse(t *testing.T) {
	v := randomTrellis(rand.New(rand.NewPCG(3, 8)), 8, 1, 256, 36)
	v.Search(make([]uint16, 256), make([]int16, 256))
	if p := v.search.pass; (p == nil) != (chosen == generic) || p != nil && p.l != chosen {
		t.Errorf("search does not use level %s", levelNames[chosen])
	}
}
