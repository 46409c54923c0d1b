package trellis

import "math"

// Units of targets and values per standard deviation of the target.
const metricUnit = 8192

// seamWindow is how many weights around the ring's seam the first pass searches to choose the bits that cross it.
const seamWindow = 128

// wideRate is the rate above which 16-bit costs are too coarse.
const wideRate = 72

// Encoder searches the tile nearest to 256 numbers. It is for one goroutine; what it finds depends on the numbers only.
type Encoder struct {
	code     *Code
	rate     Rate
	values   []float32 // as stored
	unit     float32   // of x, in search units
	search   viterbi
	x        []int16
	cost     []uint32
	back     []uint8
	stride   int
	path     []uint8
	decoder  *Decoder
	decoded  []float32
	narrowed bool
}

// NewEncoder returns an encoder of code c at rate r.
func NewEncoder(c *Code, r Rate) *Encoder {
	d := NewDecoder(c, r)
	gain := c.Gain(r)
	var peak float32
	for _, v := range d.values {
		peak = max(peak, v, -v)
	}
	unit := min(metricUnit*gain, 32767/peak)
	table := make([]int16, len(d.values))
	for s := range 1 << c.bits {
		for j := range c.v {
			table[j<<c.bits+int(reverse(uint32(s), c.bits))] = toUnits(d.values[s*c.v+j], unit)
		}
	}
	e := &Encoder{code: c, rate: r, values: d.values, unit: unit, decoder: d}
	e.search = viterbi{L: c.bits, V: c.v, Steps: d.advances, Table: table, wide: r > wideRate}
	least := c.bits
	for _, k := range d.advances {
		least = min(least, int(k))
	}
	e.stride = 1 << (c.bits - least)
	e.x = make([]int16, TileWeights)
	e.cost = make([]uint32, e.stride)
	e.back = make([]uint8, e.stride*len(d.advances))
	e.path = make([]uint8, len(d.advances))
	e.decoded = make([]float32, TileWeights)
	return e
}

// toUnits rounds v·unit to an int16, to the nearest that there is.
func toUnits(v, unit float32) int16 {
	return int16(math.RoundToEven(float64(min(max(float32(v*unit), -32767), 32767))))
}

// Encode overwrites dst, TileBytes long, with the tile found for x, TileWeights numbers on the grid of the code's values, and
// returns the sum of squared differences. NaN is taken for the smallest number.
func (e *Encoder) Encode(dst []byte, x []float32) float64 {
	if len(dst) != e.rate.TileBytes() || len(x) != TileWeights {
		panic("trellis: Encode of another length")
	}
	for i, v := range x {
		e.x[i] = toUnits(v, e.unit)
	}
	if !e.find() {
		wide := e.search.wide
		e.search.wide = true
		e.find()
		e.search.wide = wide
	}
	clear(dst)
	at := 0
	for t, k := range e.search.Steps {
		putBits(dst, at, reverse(uint32(e.path[t]), int(k)), int(k))
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

// find searches the ring of e.x in two passes (spec of tail-biting in QTIP): a free path through a window around the seam says
// which bits cross it, and the path of the whole tile is held to them at both ends. It reports whether it found one.
func (e *Encoder) find() bool {
	steps := e.search.Steps
	n := len(steps)
	half := seamWindow / 2 / e.code.v
	clear(e.cost)
	e.search.forward(e.x, n-half, n+half, e.cost, e.back, e.stride)
	last := int(steps[half-1])
	best := 0
	for s := range 1 << (e.code.bits - last) {
		if e.cost[s] < e.cost[best] {
			best = s
		}
	}
	seam := e.trace(best, n, n+half, n-half)

	for i := range e.cost {
		e.cost[i] = math.MaxUint16
		if e.search.wide {
			e.cost[i] = math.MaxUint32 >> 1
		}
	}
	e.cost[seam] = 0
	e.search.forward(e.x, 0, n, e.cost, e.back, e.stride)
	return e.trace(seam, 0, n, 0) == seam
}

// trace follows the path that ends at node after step to−1 back to before step from, and returns its node there; e.back starts at step origin.
func (e *Encoder) trace(node, from, to, origin int) int {
	steps := e.search.Steps
	n := len(steps)
	for t := to - 1; t >= from; t-- {
		k, in := int(steps[t%n]), int(steps[(t+n-1)%n])
		d := e.back[(t-origin)*e.stride+node]
		e.path[t%n] = d
		node = (int(d)<<(e.code.bits-k) | node) >> in
	}
	return node
}
