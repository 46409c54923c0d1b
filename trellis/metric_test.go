package trellis

import (
	"math"
	"math/rand/v2"
	"testing"
)

// float64Search searches with squared differences in float64, in two passes: one around the seam to choose what passes it, one of the tile.
type float64Search struct {
	e *Encoder
	l int
}

func (f float64Search) run(x []float64, from, to int, cost []float64) (end []float64, back [][]int) {
	steps := f.e.decoder.advances
	n := len(steps)
	for t := from; t < to; t++ {
		i := (t + n) % n
		k, in := int(steps[i]), int(steps[(i+n-1)%n])
		next, from := make([]float64, 1<<(f.l-k)), make([]int, 1<<(f.l-k))
		for e := range next {
			next[e] = math.Inf(1)
			for d := range 1 << k {
				s := d<<(f.l-k) | e
				diff := x[i] - float64(f.e.decoder.values[Reverse(uint32(s), f.l)])
				if c := cost[s>>in] + diff*diff; c < next[e] {
					next[e], from[e] = c, d
				}
			}
		}
		cost = next
		back = append(back, from)
	}
	return cost, back
}

// tile returns the squared error of the ring that both passes find.
func (f float64Search) tile(x []float64) float64 {
	steps := f.e.decoder.advances
	n, half := len(steps), 64
	free := make([]float64, 1<<(f.l-int(steps[n-half-1])))
	cost, back := f.run(x, -half, half, free)
	node := 0
	for e := range cost {
		if cost[e] < cost[node] {
			node = e
		}
	}
	for t := half - 1; t >= 0; t-- {
		node = (back[t+half][node]<<(f.l-int(steps[t])) | node) >> steps[(t+n-1)%n]
	}
	held := make([]float64, 1<<(f.l-int(steps[n-1])))
	for e := range held {
		held[e] = math.Inf(1)
	}
	held[node] = 0
	cost, _ = f.run(x, 0, n, held)
	return cost[node]
}

// 16-bit costs and targets find rings as good as those of exact squares.
func TestIntegerCostsLoseNothing(t *testing.T) {
	c, err := Lookup("lut8")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Rate{16, 32, 48, 56, 64, 72, 80, 96, 112} {
		e := NewEncoder(c, r)
		exact := float64Search{e, c.bits}
		gain := float64(c.Gain(r))
		rng := rand.New(rand.NewPCG(7, uint64(r)))
		var whole, sum float64
		for range 60 {
			x, x32 := make([]float64, TileWeights), make([]float32, TileWeights)
			for i := range x {
				x32[i] = float32(rng.NormFloat64() / gain)
				x[i] = float64(x32[i])
			}
			sum += e.Encode(make([]byte, r.TileBytes()), x32)
			whole += exact.tile(x)
		}
		t.Logf("rate %s: ratio %.5f", r, sum/whole)
		if sum > whole*1.003 {
			t.Errorf("rate %s: integer costs lose %.2f %%", r, 100*(sum/whole-1))
		}
	}
}
