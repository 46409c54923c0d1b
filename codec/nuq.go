package codec

import (
	_ "embed"
	"encoding/binary"
	"strconv"
	"sync"
)

// Tables that internal/books writes: int16, little endian, in units of 1/4096.
var (
	//go:embed tables/nuq.bin
	nuqTable []byte
	//go:embed tables/vq2.bin
	vq2Table []byte
)

// tableUnit is what an entry of the tables counts.
const tableUnit = 1.0 / 4096

// tableAt returns n entries from entry at on.
func tableAt(table []byte, at, n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = tableUnit * float32(int16(binary.LittleEndian.Uint16(table[2*(at+i):])))
	}
	return values
}

// nuqBooks are the Lloyd–Max levels of the unit Gaussian, ascending, of 2 to 8 bits (Lloyd 1982, Max 1960): the scalar code of least
// squared error. As NUQ in Q-Palette (Lee and Song 2025, arXiv 2509.20214).
var nuqBooks = sync.OnceValue(func() (list []*book) {
	at := 0
	for bits := 2; bits <= 8; bits++ {
		n := 1 << bits
		levels := tableAt(nuqTable, at, n)
		at += n
		list = append(list, &book{family: "nuq", rate: strconv.Itoa(bits), dim: 1, width: bits, scale: 1, top: levels[n-1],
			encode: nuqEncoder(levels),
			decode: func(dst []float32, codes []uint16, scale float32) {
				codes = codes[:len(dst)]
				for i := range dst {
					dst[i] = scale * levels[int(codes[i])&(len(levels)-1)]
				}
			}})
	}
	return list
})

// nuqEncoder returns the search among levels: the number of midpoints below x.
func nuqEncoder(levels []float32) func(x []float32) uint16 {
	middles := make([]float32, len(levels)-1)
	for i := range middles {
		middles[i] = (levels[i] + levels[i+1]) / 2
	}
	return func(x []float32) uint16 {
		v, code := x[0], 0
		for step := len(levels) / 2; step > 0; step /= 2 {
			if middles[code+step-1] < v {
				code += step
			}
		}
		return uint16(code)
	}
}
