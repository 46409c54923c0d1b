package trellis

import "math/bits"

// HashAdd is C of HASH16: state s has hash h = s·(s + C) mod 2^16 and the value of table entry h >> (16 − Q).
const HashAdd = 0xe6d5

// Hash16 returns the hash of state s.
func Hash16(s uint32) uint32 { return s * (s + HashAdd) & 0xffff }

// LinearIndex returns the entry that belongs to state s of a code with a linear index: bit i is the parity of s & rows[i]. It is
// what a convolutional code has for output (Ungerboeck 1982; Marcellin and Fischer 1990), here of up to 2^11 values trained freely.
func LinearIndex(s uint32, rows []uint16) (index uint32) {
	for i, row := range rows {
		index |= uint32(bits.OnesCount32(s&uint32(row))&1) << i
	}
	return index
}

// Hashed reports whether states are hashed (Hash16) before they choose an entry of the table.
func (c *Code) Hashed() bool { return c.hashed }

// Linear reports whether states choose an entry of the table by LinearIndex.
func (c *Code) Linear() bool { return c.linear }

// Trained reports whether c has tables that were trained for each rate.
func (c *Code) Trained() bool { return c.trained }

// TableBits returns Q, the binary logarithm of the number of entries of a trained table at rate r. A table of 128 bytes is one
// instruction, one of 256 three; more entries gain nothing that matters before their rounding does.
func (c *Code) TableBits(r Rate) int {
	if !c.linear && !c.hashed {
		return c.bits
	}
	switch r = trainedRate(r); {
	case r < 48:
		return 7
	case r <= LargestByteRate:
		return 8
	}
	return min(c.bits, 11)
}

// Bytes returns the value table at rate r, 2^TableBits entries, of the codes that have one of bytes.
func (c *Code) Bytes(r Rate) (lut []int8, ok bool) {
	if !c.trained || r > LargestByteRate {
		return nil, false
	}
	t := c.table(r)
	lut = make([]int8, len(t.Entries))
	for i, e := range t.Entries {
		lut[i] = int8(e)
	}
	return lut, true
}

// Rows returns the masks of LinearIndex at rate r, none for codes without a linear index.
func (c *Code) Rows(r Rate) []uint16 {
	if !c.linear {
		return nil
	}
	return c.table(r).Rows
}

// Index returns the entry of t that belongs to state s.
func (c *Code) Index(t Table, s uint32) uint32 {
	switch {
	case c.hashed:
		return Hash16(s) >> (16 - bits.TrailingZeros(uint(len(t.Entries))))
	case c.linear:
		return LinearIndex(s, t.Rows)
	}
	return s
}

func trainedValues(c *Code, r Rate) []float32 {
	t := c.table(r)
	values := make([]float32, 1<<c.bits)
	for s := range values {
		values[s] = float32(t.Entries[c.Index(t, uint32(s))])
	}
	return values
}

func trainedGain(c *Code, r Rate) float32 { return c.table(r).Gain }
