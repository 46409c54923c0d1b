package codec

import (
	"math"
	"math/bits"
	"sync"
)

// e8pBook is E8P12 of QuIP# (Tseng et al. 2024, arXiv 2402.04396, section 4.2): 2^16 vectors of eight weights, 2 bits each, out of the E8 lattice
// moved by 1/4, in which every vector has half-odd coordinates plus or minus 1/4:
//
//	vector = sign ⊙ pattern ± 1/4
//
// Bits 0…7 of a code are the pattern, one of 256 vectors of 1/2, 3/2 and 5/2: the 227 whose squares sum to at most 10, and 29 of the 56 with five
// 3/2 and three 1/2 (which 29 is our choice). Bits 8…14 are the signs of coordinates 0…6, 1 for minus; the last sign makes the sum of sign ⊙ pattern even.
// Bit 15 adds 1/4, else 1/4 is taken off.
//
// The scale for unit Gaussians, 1/1.04, has the least error, 0.0911.
var e8pBook = sync.OnceValue(func() *book {
	p := newE8P()
	return &book{family: "e8p", dim: 8, width: 16, scale: 1 / 1.04, top: 2.75, encode: p.encode, decode: p.decode}
})

// e8p holds the patterns.
type e8p struct {
	patterns [256][8]float32
	odd      [256]bool      // the sum of the pattern is odd, so an odd number of signs is minus
	index    [1 << 16]uint8 // of patterns, by two bits a coordinate
	last     []int          // the 29
}

// e8pKey packs a pattern whose coordinates are 1/2, 3/2, 5/2 into two bits each.
func e8pKey(levels [8]uint8) (key uint16) {
	for i, l := range levels {
		key |= uint16(l) << (2 * i)
	}
	return key
}

// newE8P lists patterns in the order of keys within squares summing to 2, 4, 6, 8, 10; then the first 29 with five 3/2.
func newE8P() *e8p {
	p := &e8p{}
	n := 0
	for norm := 2; norm <= 12; norm += 2 {
		for key := range 1 << 16 {
			sum, total, fives, valid := 0.0, 0.0, 0, true
			var v [8]float32
			for i := range v {
				level := key >> (2 * i) & 3
				valid = valid && level < 3
				fives += level / 2
				v[i] = float32(level) + 0.5
				sum += float64(v[i] * v[i])
				total += float64(v[i])
			}
			if !valid || sum != float64(norm) || norm == 12 && fives > 0 || n == 256 {
				continue
			}
			if norm == 12 {
				p.last = append(p.last, n)
			}
			p.patterns[n], p.odd[n], p.index[key] = v, int(total)&1 == 1, uint8(n)
			n++
		}
	}
	return p
}

// decode overwrites dst with scale times the vectors of codes.
func (p *e8p) decode(dst []float32, codes []uint16, scale float32) {
	for _, code := range codes[:(len(dst)+7)/8] {
		v := p.vector(code)
		n := min(8, len(dst))
		for i := range n {
			dst[i] = scale * v[i]
		}
		dst = dst[n:]
	}
}

// vector returns what a code stands for.
func (p *e8p) vector(code uint16) (v [8]float32) {
	k := code & 255
	signs := uint(code>>8) & 127
	if (bits.OnesCount(signs)&1 == 1) != p.odd[k] {
		signs |= 128
	}
	shift := float32(-0.25)
	if code>>15 == 1 {
		shift = 0.25
	}
	for i, a := range p.patterns[k] {
		if signs>>i&1 == 1 {
			a = -a
		}
		v[i] = a + shift
	}
	return v
}

// encode returns the code nearest to x: the nearer of the two that its halves, with and without bit 15, have.
func (p *e8p) encode(x []float32) uint16 {
	low, lowGain := p.half((*[8]float32)(x), 0.25)
	high, highGain := p.half((*[8]float32)(x), -0.25)
	var sum float32
	for _, v := range x {
		sum += v
	}
	if highGain+sum > lowGain { // |x + 1/4|² exceeds |x - 1/4|² by the sum of x
		return high | 1<<15
	}
	return low
}

// e8pShapes are how many 5/2 and 3/2 the patterns with squares of up to 10 have: every arrangement of each is a pattern.
var e8pShapes = [...]struct{ fives, threes int }{{0, 0}, {0, 1}, {0, 2}, {0, 3}, {0, 4}, {1, 0}, {1, 1}}

// half returns the code, without bit 15, of the vector v = sign ⊙ pattern nearest to y = x + shift, and its gain: what |y|² exceeds
// |y - v|² by, 2·y·v - |v|².
//
// Of one shape the best arrangement gives the largest magnitudes of y the largest coordinates. All signs are y's if their parity is right;
// else the one that costs least is turned, that of the smallest magnitude, which has the coordinate 1/2.
func (p *e8p) half(x *[8]float32, shift float32) (code uint16, gain float32) {
	var a [8]float32 // magnitudes
	var order [8]uint8
	minus := uint(0)
	for i, v := range x {
		v += shift
		a[i] = v
		if v < 0 {
			a[i] = -v
			minus |= 1 << i
		}
		j := i
		for ; j > 0 && a[order[j-1]] < a[i]; j-- {
			order[j] = order[j-1]
		}
		order[j] = uint8(i)
	}
	var sum float32
	for _, i := range order {
		sum += a[i]
	}
	m := func(i int) float32 { return a[order[i]] }
	threes := [6]float32{0, m(0), m(0) + m(1), m(0) + m(1) + m(2), m(0) + m(1) + m(2) + m(3), m(0) + m(1) + m(2) + m(3) + m(4)}
	flipped := bits.OnesCount(minus)&1 == 1
	// 2·y·v - |v|² = sum + 2·(what exceeds 1/2) - |v|², less twice the smallest magnitude if its sign is turned.
	value := func(fives, threesAfter int, odd bool) float32 {
		g := sum + 2*(threes[fives+threesAfter]+threes[fives]) - float32(2+6*fives+2*threesAfter)
		if odd != flipped {
			g -= 2 * m(7)
		}
		return g
	}
	best, shape := float32(math.Inf(-1)), 0
	for s, e := range e8pShapes {
		if g := value(e.fives, e.threes, (e.fives*2+e.threes)&1 == 1); g > best {
			best, shape = g, s
		}
	}
	var levels [8]uint8
	for i := range e8pShapes[shape].fives + e8pShapes[shape].threes {
		levels[order[i]] = 1
	}
	if e8pShapes[shape].fives == 1 {
		levels[order[0]] = 2
	}
	k, turned := int(p.index[e8pKey(levels)]), int(order[7])
	if value(0, 5, true) > best { // one of the 29 may be nearer; no sum below exceeds this bound by more than rounding
		k, turned, best = p.lastPatterns(&a, flipped, k, turned, best)
	}
	if p.odd[k] != flipped {
		minus ^= 1 << turned
	}
	return uint16(k) | uint16(minus&127)<<8, best
}

// lastPatterns compares the best so far with the 29 patterns that are not all of a shape.
func (p *e8p) lastPatterns(a *[8]float32, flipped bool, k, turned int, best float32) (int, int, float32) {
	for _, i := range p.last {
		g, least, at := float32(-12), float32(math.Inf(1)), 0
		for j, c := range p.patterns[i] {
			t := float32(a[j] * c)
			g += 2 * t
			if t < least {
				least, at = t, j
			}
		}
		if !flipped { // five 3/2: an odd sum
			g -= 4 * least
		}
		if g > best {
			k, turned, best = i, at, g
		}
	}
	return k, turned, best
}
