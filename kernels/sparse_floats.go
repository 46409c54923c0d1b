package kernels

import (
	"encoding/binary"
	"math"
	"sync"
)

// FloatKind is how floats are stored, little endian.
type FloatKind uint8

// The kinds of floats.
const (
	KindF32 FloatKind = iota
	KindF16
	KindBF16
)

// bytes returns the size of an element.
func (k FloatKind) bytes() int {
	if k == KindF32 {
		return 4
	}
	return 2
}

// MaskedFloats is rows of floats of which a mask says where they are; the others are zero. A row's elements follow one another.
type MaskedFloats struct {
	Kind   FloatKind
	Cols   int
	Mask   []byte   // of each row, ⌈Cols/64⌉ words; no bits beyond Cols
	Starts []uint32 // where each row's elements begin in Data, in bytes, and the end of the last: as many as its mask says
	Data   []byte
}

// MatVec adds rows r0 … r0+len(y) of m times x to y: the Dot of each row as ExpandFloats expands it, at every level.
func (m *MaskedFloats) MatVec(y []float32, r0 int, x []float32) { m.matVec(chosen, y, r0, x) }

func (m *MaskedFloats) matVec(l level, y []float32, r0 int, x []float32) {
	words, r1 := (m.Cols+63)/64, r0+len(y)
	if r0 < 0 || r1 >= len(m.Starts) || len(m.Mask) < r1*words*8 || int(m.Starts[r1]) > len(m.Data) || len(x) < m.Cols {
		panic("kernels: mat-vec slice shorter than its shape")
	}
	if len(y) == 0 || m.Cols == 0 || m.vector(l, y, r0, x) {
		return
	}
	buf := floatPool.Get().(*[]float32)
	defer floatPool.Put(buf)
	if len(*buf) < 2*m.Cols {
		*buf = make([]float32, 2*m.Cols)
	}
	row, stored := (*buf)[:m.Cols], (*buf)[m.Cols:2*m.Cols]
	for r := r0; r < r1; r++ {
		data := m.Data[m.Starts[r]:m.Starts[r+1]]
		n := len(data) / m.Kind.bytes()
		m.Kind.decode(stored[:n], data)
		expandFloats(l, row, stored[:n], m.Mask[r*words*8:(r+1)*words*8])
		y[r-r0] += dot(l, row, x[:m.Cols])
	}
}

// decode converts len(dst) elements.
func (k FloatKind) decode(dst []float32, data []byte) {
	switch k {
	case KindF16:
		F16ToF32(dst, data)
	case KindBF16:
		BF16ToF32(dst, data)
	default:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	}
}

// floatPool recycles rows; what is in them never matters.
var floatPool = sync.Pool{New: func() any { return new([]float32) }}
