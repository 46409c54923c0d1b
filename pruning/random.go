package pruning

import "pith/calib"

// Random scores by a fixed function of the seed and the element's place: what any other scorer must beat.
type Random struct{ Seed uint64 }

// Name returns "random".
func (Random) Name() string { return "random" }

// Needs returns calib.Nothing.
func (Random) Needs() calib.Need { return calib.Nothing }

// Scores always has scores, in 0 … 1.
func (s Random) Scores(*Inputs, int) (Score, string) {
	return func(dst, w []float32, row, col int) {
		for i := range w {
			h := mix(mix(s.Seed^uint64(row)) + uint64(col+i))
			dst[i] = float32(h>>40) / (1 << 24)
		}
	}, ""
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
