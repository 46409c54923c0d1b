package trellis

import "encoding/binary"

// window returns n ≤ 16 bits of the ring src from bit at on, wrapping around its end.
func window(src []byte, at, n int) uint32 {
	i := at >> 3
	var v uint32
	if i+4 <= len(src) {
		v = binary.LittleEndian.Uint32(src[i:])
	} else {
		for j := range 4 {
			v |= uint32(src[(i+j)%len(src)]) << (8 * j)
		}
	}
	return v >> (at & 7) & (1<<n - 1)
}

// putBits sets the n bits of dst from bit at on, which are zero, to those of v.
func putBits(dst []byte, at int, v uint32, n int) {
	for v <<= at & 7; v != 0; v >>= 8 {
		dst[at>>3] |= byte(v)
		at += 8
	}
}

// States returns the states of tile src in order, of l bits each, for the given advances.
func states(dst []uint32, src []byte, l int, advances []uint8) {
	at := 0
	for t, k := range advances {
		dst[t] = window(src, at, l)
		at += int(k)
	}
}
