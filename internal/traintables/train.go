package main

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"pith/trellis"
)

// budget says how long the tables of one code are trained.
type budget struct {
	drawn, climbed int    // maps tried: drawn at random, and changed from the best so far
	short          rounds // for each of these
	probe          int    // chunks by which results are compared, the same for all
	long, last     rounds // for the best map: to converge, and with many samples
}

// budgetOf returns that of c at rate r. Searches of long states take long and differ little.
func budgetOf(c *trellis.Code, r trellis.Rate, effort int) budget {
	b := budget{
		drawn: 20 * effort, climbed: 40 * effort, short: rounds{free: 4, chunks: 4, fade: 0.5}, probe: 8,
		long: rounds{free: 30 * effort, chunks: 8, fade: 0.5}, last: rounds{free: 10 * effort, rounded: 5 * effort, chunks: 32, fade: 0.8},
	}
	switch l := c.StateBits(); {
	case l >= 16:
		b.drawn, b.climbed = 4*effort, 4*effort
		b.short, b.probe = rounds{free: 2, chunks: 2, fade: 0.5}, 4
		b.long, b.last = rounds{free: 2 * effort, chunks: 4, fade: 0.7}, rounds{free: effort, rounded: 2, chunks: 8, fade: 0.8}
	case l >= 12:
		b.drawn, b.climbed = 10*effort, 10*effort
		b.long, b.last = rounds{free: 6 * effort, chunks: 8, fade: 0.7}, rounds{free: 2 * effort, rounded: 2 * effort, chunks: 16, fade: 0.8}
	}
	if r > trellis.LargestByteRate { // where maps matter less, and nothing is stored often
		b.drawn, b.climbed = b.drawn/4, b.climbed/4
	}
	return b
}

// probeSeeds are chunks that no training uses.
const probeSeeds = 1 << 40

// job is one table to train.
type job struct {
	code    *trellis.Code
	rate    trellis.Rate
	budget  budget
	workers int
	rng     *rand.Rand
	spread  float64
}

// train returns the table of c at rate r and its mean squared error. Maps of a neighbouring rate's table may be given to begin with.
func train(c *trellis.Code, r trellis.Rate, b budget, known [][]uint16, workers int) (trellis.Table, float64) {
	j := &job{code: c, rate: r, budget: b, workers: workers, rng: rand.New(rand.NewPCG(uint64(r), uint64(c.StateBits())))}
	limit := float64(trellis.LargestEntry(r))
	first := j.draw()
	if len(known) > 0 {
		first = known[0]
	}
	j.spread = j.bestSpread(first)
	t := j.search(append(known, first))
	if !c.Linear() && !c.Hashed() {
		t = t.unfolded()
	}
	t.lloyd(b.long, limit)
	t.lloyd(b.last, limit)
	table := t.rounded(limit)
	mse, _, _ := t.round(table.Values(), probeSeeds, max(32, b.probe))
	return table, mse
}

// masks returns how many bits the index of a map has: for codes without a linear index a map is where their table starts.
func (j *job) masks() int {
	if j.code.Hashed() {
		return 0
	}
	return min(j.code.StateBits(), j.code.TableBits(j.rate))
}

// draw returns a random map. The newest and the oldest bits of a state, in which paths differ that part or meet, decide the highest
// bits of its index, so that the values at a fork are a fraction of the distribution apart.
func (j *job) draw() []uint16 {
	q, l := j.masks(), j.code.StateBits()
	rows := make([]uint16, q)
	for i := range rows {
		rows[i] = uint16(j.rng.Uint32() & (1<<l - 1))
	}
	lead := func(bit, row int) { // bit is in the mask of row, and of none above
		if row < 0 {
			return
		}
		rows[row] |= 1 << bit
		for i := row + 1; i < q; i++ {
			rows[i] &^= 1 << bit
		}
	}
	fork := max(4, int(j.rate+15)/16)
	for n := range fork {
		lead(l-1-n, q-1-n)
	}
	for n := range min(4, l-fork) {
		lead(n, q-1-n)
	}
	return rows
}

// changed returns rows with one to three bits of its masks flipped.
func (j *job) changed(rows []uint16) []uint16 {
	rows = slices.Clone(rows)
	for range 1 + j.rng.IntN(3) {
		rows[j.rng.IntN(len(rows))] ^= 1 << j.rng.IntN(j.code.StateBits())
	}
	return rows
}

// try trains the map shortly from quantiles of the given spread and returns its error, or gives up and returns infinity if its error
// after the first of its moves, on a quarter of the probe, is more than limit.
func (j *job) try(rows []uint16, spread, limit float64) (*trainer, float64) {
	t := newTrainer(j.code, j.rate, rows, j.workers)
	t.start(spread)
	first, rest := j.budget.short, j.budget.short
	first.free, rest.free = 1, rest.free-1
	t.lloyd(first, 0)
	mse, _, _ := t.round(t.values, probeSeeds, j.budget.probe/4)
	if t.early = mse; mse > limit {
		return t, math.Inf(1)
	}
	t.lloyd(rest, 0)
	mse, _, _ = t.round(t.values, probeSeeds, j.budget.probe)
	return t, mse
}

// promising is by how much a map's early error may exceed that of the best so far.
const promising = 1.02

// bestSpread returns the standard deviation of the quantiles to start from. From 1 at low rates, where values are used as often as
// the Gaussian has them, it grows towards √3 (Panter and Dite 1951), and Lloyd's iteration is slow to find it.
func (j *job) bestSpread(rows []uint16) float64 {
	best, least := 1., math.Inf(1)
	for _, spread := range []float64{1, 1.06, 1.12, 1.18, 1.25, 1.35, 1.5, 1.73} {
		_, mse := j.try(rows, spread, math.Inf(1))
		if mse < least {
			best, least = spread, mse
		}
		if mse > 1.02*least {
			break
		}
	}
	return best
}

// search returns the trainer of the best map it finds.
func (j *job) search(known [][]uint16) *trainer {
	var best *trainer
	least := math.Inf(1)
	consider := func(rows []uint16) {
		limit := math.Inf(1)
		if best != nil {
			limit = promising * best.early
		}
		if t, mse := j.try(rows, j.spread, limit); mse < least {
			best, least = t, mse
		}
	}
	for _, rows := range known {
		consider(rows)
	}
	if j.masks() == 0 {
		return best
	}
	for range j.budget.drawn {
		consider(j.draw())
	}
	for range j.budget.climbed {
		consider(j.changed(best.rows))
	}
	return best
}

// unfolded returns a trainer with an entry for each state and the values that t has for them.
func (t *trainer) unfolded() *trainer {
	u := *t
	u.entries = 1 << t.bits
	u.values, u.sums, u.counts = make([]float64, u.entries), make([]float64, u.entries), make([]float64, u.entries)
	u.index = make([]int32, u.entries)
	for s := range uint32(u.entries) {
		at := trellis.Reverse(s, t.bits)
		u.index[at] = int32(s)
		u.values[s] = t.values[t.index[at]]
	}
	u.rows = nil
	return &u
}

// newTrainer returns a trainer of c's table at rate r, states choosing their entry by the masks rows, or by hash.
func newTrainer(c *trellis.Code, r trellis.Rate, rows []uint16, workers int) *trainer {
	shape := trellis.Table{Rows: rows, Entries: make([]int16, 1<<c.TableBits(r))}
	t := &trainer{bits: c.StateBits(), steps: r.Advances(1), rows: rows, entries: len(shape.Entries), seed: uint64(r)<<8 | uint64(c.StateBits()), workers: workers}
	t.mirror = t.entries == 256 && (c.Linear() || c.Hashed())
	t.unit, t.doubled = trellis.SearchUnit(r), trellis.Doublings(r)
	t.index = make([]int32, 1<<t.bits)
	for s := range uint32(1 << t.bits) {
		i := trellis.LinearIndex(s, rows)
		if c.Hashed() {
			i = c.Index(shape, s)
		}
		t.index[trellis.Reverse(s, t.bits)] = int32(i)
	}
	if n := bits.Len(uint(slices.Max(t.index))); 1<<n > t.entries {
		panic("traintables: a map leaves its table")
	}
	t.values, t.sums, t.counts = make([]float64, t.entries), make([]float64, t.entries), make([]float64, t.entries)
	return t
}
