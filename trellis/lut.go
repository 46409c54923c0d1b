package trellis

import (
	"math"
	"strings"
)

// HashAdd is C of HASH16: state s has hash h = s·(s + C) mod 2^16 and the value of table entry h >> (16 − Q).
const HashAdd = 0xe6d5

// Hash16 returns the hash of state s.
func Hash16(s uint32) uint32 { return s * (s + HashAdd) & 0xffff }

// TableBits returns Q, the binary logarithm of the number of entries of the value table at rate r.
func (c *Code) TableBits(r Rate) int {
	if !c.Hashed() {
		return c.bits
	}
	if r < 48 {
		return 7
	}
	return 8
}

// Hashed reports whether states are hashed (Hash16) before they choose an entry of the table.
func (c *Code) Hashed() bool { return c.name == "hash16" }

// Bytes returns the value table at rate r, 2^TableBits entries, of the codes that have one of bytes.
func (c *Code) Bytes(r Rate) (lut []int8, ok bool) {
	if !strings.HasPrefix(c.name, "lut") && !c.Hashed() {
		return nil, false
	}
	n := 1 << c.TableBits(r)
	lut = make([]int8, n)
	unit := lutGain(r)
	for i := range lut {
		at := i
		if !c.Hashed() {
			at = (i*i + 0x55*i) & (n - 1)
		}
		v := math.Sqrt2 * math.Erfinv((2*float64(at)+1)/float64(n)-1)
		lut[i] = int8(math.Round(min(max(v/float64(unit), -127), 127)))
	}
	return lut, true
}

func lutGain(Rate) float32 { return 4. / 127 }

func lutValues(c *Code, r Rate) []float32 {
	lut, _ := c.Bytes(r)
	values := make([]float32, 1<<c.bits)
	q := c.TableBits(r)
	for s := range values {
		i := uint32(s)
		if c.Hashed() {
			i = Hash16(i) >> (16 - q)
		}
		values[s] = float32(lut[i])
	}
	return values
}
