package trellis

import (
	"fmt"
	"math/bits"
	"strings"
)

// Code says which value a state stands for.
type Code struct {
	name string
	bits int // L: bits of a state
	v    int // weights a step
	// Tables changed so often, before a first release, that what was written with those before decodes to something else.
	edition int
	// What chooses an entry of a trained table: the state itself, a linear map of it, or a hash.
	trained, linear, hashed bool
	value                   func(c *Code, r Rate) []float32
	gain                    func(c *Code, r Rate) float32
}

// codes lists every code, in the order in which Names gives them.
func codes() []*Code {
	var all []*Code
	edition := map[int]int{7: 1, 9: 1, 11: 1, 12: 2, 14: 1, 16: 1}
	for _, l := range []int{7, 8, 9, 10, 11, 12, 14, 16} {
		all = append(all, &Code{name: fmt.Sprint("lut", l), bits: l, v: 1, trained: true, linear: l > 8, value: trainedValues, gain: trainedGain, edition: edition[l]})
	}
	return append(all,
		&Code{name: "hash16", bits: 16, v: 1, trained: true, hashed: true, value: trainedValues, gain: trainedGain},
		&Code{name: "1mad", bits: 16, v: 1, value: computed(oneMAD), gain: byteGain},
		&Code{name: "3inst", bits: 16, v: 1, value: computed(threeInst), gain: halfGain},
		&Code{name: "mcg", bits: 16, v: 1, value: computed(mcg), gain: halfGain},
		&Code{name: "mul1", bits: 16, v: 1, value: computed(mul1), gain: byteGain},
		&Code{name: "hyb", bits: 16, v: 2, value: hybValues, gain: hybGain, edition: 1},
	)
}

// Names returns the names Lookup knows.
func Names() []string {
	var names []string
	for _, c := range codes() {
		names = append(names, c.name)
	}
	return names
}

// Lookup returns the code called name.
func Lookup(name string) (*Code, error) {
	for _, c := range codes() {
		if c.name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("unknown trellis code %q; use one of %s", name, strings.Join(Names(), ", "))
}

// Name returns the code's name.
func (c *Code) Name() string { return c.name }

// Edition counts from 1 and tells apart tables that c had at different times: bits chosen for one mean nothing to another.
func (c *Code) Edition() int { return 1 + c.edition }

// StateBits returns L, the bits of a state.
func (c *Code) StateBits() int { return c.bits }

// PerStep returns how many weights a state stands for, 1 or 2.
func (c *Code) PerStep() int { return c.v }

// Check returns an error that says what would do if there is no such code at rate r.
func (c *Code) Check(r Rate) error {
	switch {
	case !r.valid():
		return fmt.Errorf("%s at %s bits: use 1 to 8 bits", c.name, r)
	case c.v == 2 && r%8 != 0:
		return fmt.Errorf("%s at %s bits: two weights share a step; use a multiple of half a bit", c.name, r)
	case c.v*int(r) > 16*c.bits:
		return fmt.Errorf("%s at %s bits: a state has only %d bits; use a code of longer states", c.name, r, c.bits)
	case c.v == 2 && r > 80:
		return fmt.Errorf("%s at %s bits: its table has too few entries; use up to 5 bits", c.name, r)
	}
	return nil
}

// Values returns what each state stands for at rate r, states in order, PerStep values each. Those of codes with a table are whole
// numbers.
func (c *Code) Values(r Rate) []float32 {
	if c.Check(r) != nil {
		panic("trellis: no such code at this rate")
	}
	return c.value(c, r)
}

// Gain returns the scale that serves a unit Gaussian best at rate r: x is rounded to Gain·value.
func (c *Code) Gain(r Rate) float32 { return c.gain(c, r) }

// Reverse returns the low n bits of s in the opposite order.
func Reverse(s uint32, n int) uint32 { return bits.Reverse32(s) >> (32 - n) }
