package trellis

import (
	"math"

	"pith/kernels"
)

// SearchUnit is how many units of the search a standard deviation of the target has at rate r: 16 bits hold 4 of them at low
// rates, and at high ones, where the error of the few targets that lie further out matters, 5.
func SearchUnit(r Rate) float64 {
	if r > 72 {
		return 6144
	}
	return 8192
}

// Encoder searches the tile nearest to 256 numbers. It is for one goroutine; what it finds depends on the numbers only.
type Encoder struct {
	rate    Rate
	unit    float32 // of targets, in units of the search
	search  kernels.Viterbi
	x       []int16
	path    []uint16 // bits of each step, the first of them the highest
	decoder *Decoder
	decoded []float32
}

// NewEncoder returns an encoder of code c at rate r.
func NewEncoder(c *Code, r Rate) *Encoder {
	d := NewDecoder(c, r)
	var peak float32
	for _, v := range d.values {
		peak = max(peak, v, -v)
	}
	e := &Encoder{rate: r, unit: min(float32(SearchUnit(r))*c.Gain(r), 32767/peak), decoder: d}
	e.search = kernels.Viterbi{L: c.bits, V: c.v, Steps: d.advances, Table: e.searchTable(), Doublings: Doublings(r), Lead: max(leastLead, 16*c.bits*c.bits/(c.v*int(r)))}
	e.x = make([]int16, TileWeights)
	e.path = make([]uint16, len(d.advances))
	e.decoded = make([]float32, TileWeights)
	return e
}

// leastLead is the fewest steps before the seam that a search runs over to judge what may pass it; more gain nothing that can be
// measured at two bits and above.
const leastLead = 32

// Doublings keeps the resolution of 16-bit costs up with the rate: the typical error halves with every bit. Vector kernels go up to 4;
// a fifth at 8 bits would lower the error by 0.003 % (lut8, 40 tiles).
func Doublings(r Rate) int { return min(4, max(0, (int(r)-56+15)/16)) }

// searchTable returns the values in units of the search, by states as the search has them: oldest bit first.
func (e *Encoder) searchTable() []int16 {
	l, v := e.decoder.bits, e.decoder.v
	table := make([]int16, v<<l)
	for s := range 1 << l {
		for j := range v {
			table[j<<l+int(Reverse(uint32(s), l))] = toUnits(e.decoder.values[s*v+j], e.unit)
		}
	}
	return table
}

// toUnits rounds v·unit to an int16, to the nearest that there is.
func toUnits(v, unit float32) int16 {
	return int16(math.RoundToEven(float64(min(max(float32(v*unit), -32767), 32767))))
}

// Encode overwrites dst, TileBytes long, with the tile found for x, TileWeights finite numbers in units of the code's values, and
// returns the sum of squared differences.
func (e *Encoder) Encode(dst []byte, x []float32) float64 {
	if len(dst) != e.rate.TileBytes() || len(x) != TileWeights {
		panic("trellis: Encode of another length")
	}
	for i, v := range x {
		e.x[i] = toUnits(v, e.unit)
	}
	e.search.Search(e.path, e.x)
	clear(dst)
	at := 0
	for t, k := range e.decoder.advances {
		putBits(dst, at, Reverse(uint32(e.path[t]), int(k)), int(k))
		at += int(k)
	}
	e.decoder.Decode(e.decoded, dst)
	var sum float64
	for i, v := range x {
		d := float64(v) - float64(e.decoded[i])
		sum += float64(d * d)
	}
	return sum
}
