package trellis

import (
	"fmt"
	"strconv"
)

// Rate is a number of bits per weight in sixteenths: 16 (one bit) … 128 (eight).
type Rate int

// The rates there are: every sixteenth of a bit between them, both included.
const (
	MinRate Rate = 16
	MaxRate Rate = 128
)

// ParseRate reads a decimal number of bits that is a whole number of sixteenths: "2", "2.5", "2.4375".
func ParseRate(s string) (Rate, error) {
	bits, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("rate %q is not a number; use bits per weight, such as 2.5", s)
	}
	r := Rate(bits * 16)
	if float64(r) != bits*16 || !r.valid() {
		return 0, fmt.Errorf("rate %q: use 1 to 8 bits in steps of 1/16, such as 2.5 or 2.4375", s)
	}
	if r.String() != s {
		return 0, fmt.Errorf("rate %q: write it as %s", s, r)
	}
	return r, nil
}

func (r Rate) valid() bool { return r >= MinRate && r <= MaxRate }

// Bits returns the bits per weight.
func (r Rate) Bits() float64 { return float64(r) / 16 }

// String returns the bits per weight in the fewest digits.
func (r Rate) String() string { return strconv.FormatFloat(r.Bits(), 'f', -1, 64) }

// TileBytes is the size of one tile of TileWeights weights.
func (r Rate) TileBytes() int { return 2 * int(r) }

// Advances returns by how many bits each step of a tile moves the window on, 256/v of them for codes of v weights a step:
//
//	v = 1: k_i = ⌊(i+1)·r/16⌋ − ⌊i·r/16⌋, of period 16
//	v = 2: k   = r/8, for which r is a multiple of 8
//
// They add up to 16·r bits.
func (r Rate) Advances(v int) []uint8 {
	if !r.valid() || v != 1 && (v != 2 || r%8 != 0) {
		panic("trellis: no such rate")
	}
	k := make([]uint8, TileWeights/v)
	for i := range k {
		k[i] = uint8((i+1)*v*int(r)/16 - i*v*int(r)/16)
	}
	return k
}
