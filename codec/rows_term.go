package codec

import (
	"errors"
	"math/bits"

	"pith/kernels"
	"pith/tensor"
)

// marks is a bit for each of n rows, and how many are set before each 64 of them: where a row lies among those of its kind is found at once.
type marks struct {
	stored []byte // the map
	words  []uint64
	counts []int // of words; one more than these
}

// openMarks reads a map of so many rows; bits past the last row must be 0.
func openMarks(stored []byte, rows int) (marks, error) {
	m := marks{stored: stored, words: make([]uint64, (len(stored)+7)/8)}
	for i, v := range stored {
		m.words[i/8] |= uint64(v) << (i % 8 * 8)
	}
	m.counts = make([]int, len(m.words)+1)
	for i, w := range m.words {
		m.counts[i+1] = m.counts[i] + bits.OnesCount64(w)
	}
	if m.before(rows) != m.counts[len(m.words)] {
		return m, errors.New(`part "map" marks rows past the last one: the file is damaged`)
	}
	return m, nil
}

// marksOf marks the rows that chosen names.
func marksOf(chosen []int, rows int) marks {
	stored := make([]byte, mapBytes(rows))
	for _, r := range chosen {
		stored[r/8] |= 1 << (r % 8)
	}
	m, err := openMarks(stored, rows)
	if err != nil || m.before(rows) != len(chosen) {
		panic("codec: rows are marked that are none, or twice")
	}
	return m
}

// has reports whether row r is marked.
func (m marks) has(r int) bool { return m.words[r/64]>>(r%64)&1 == 1 }

// before returns how many rows before row r are marked.
func (m marks) before(r int) int {
	n := m.counts[r/64]
	if r%64 > 0 {
		n += bits.OnesCount64(m.words[r/64] & (1<<(r%64) - 1))
	}
	return n
}

// rowsTerm has the rows that are marked in a, the others in b.
type rowsTerm struct {
	codec      Rows
	rows, cols int
	marks      marks
	a, b       Term
}

func (t *rowsTerm) Codec() string    { return t.codec.Name() }
func (t *rowsTerm) Dims() (int, int) { return t.rows, t.cols }
func (t *rowsTerm) Bytes() int64     { return int64(len(t.marks.stored)) + t.a.Bytes() + t.b.Bytes() }

func (t *rowsTerm) Parts() []Part {
	parts := []Part{{Name: "map", DType: tensor.U8, Shape: []int{len(t.marks.stored)}, Data: t.marks.stored}}
	for _, p := range t.a.Parts() {
		p.Name = "a." + p.Name
		parts = append(parts, p)
	}
	for _, p := range t.b.Parts() {
		p.Name = "b." + p.Name
		parts = append(parts, p)
	}
	return parts
}

// readRow reads a row from where it lies.
func (t *rowsTerm) readRow(dst []float32, r int) {
	from, at := t.b, r-t.marks.before(r)
	if t.marks.has(r) {
		from, at = t.a, t.marks.before(r)
	}
	Read(from, tensor.Of(1, t.cols, dst[:t.cols]), at)
}

// rowsTile is how many rows AddTo decodes at once: some layouts decode neighbours together.
const rowsTile = 64

// AddTo adds the marked rows of each tile, which are neighbours in a, and the others, which are in b.
func (t *rowsTerm) AddTo(dst tensor.Mat, r0 int) {
	if r0 < 0 || r0+dst.Rows > t.rows || dst.Cols != t.cols {
		panic("codec: AddTo outside of the term")
	}
	for lo := 0; lo < dst.Rows; lo += rowsTile {
		n := min(rowsTile, dst.Rows-lo)
		for _, marked := range []bool{true, false} {
			t.addKind(dst.Slice(lo, lo+n), r0+lo, marked)
		}
	}
}

// kind returns the term of the rows that are marked, or of the others, and which of its rows those of [r0, r1) are.
func (t *rowsTerm) kind(marked bool, r0, r1 int) (from Term, k0, k1 int) {
	k0, k1 = t.marks.before(r0), t.marks.before(r1)
	if marked {
		return t.a, k0, k1
	}
	return t.b, r0 - k0, r1 - k1
}

func (t *rowsTerm) addKind(dst tensor.Mat, r0 int, marked bool) {
	from, k0, k1 := t.kind(marked, r0, r0+dst.Rows)
	if k0 == k1 {
		return
	}
	buf := getScratch((k1 - k0) * t.cols)
	defer putScratch(buf)
	rows := tensor.Of(k1-k0, t.cols, *buf)
	Read(from, rows, k0)
	k := 0
	for r := range dst.Rows {
		if t.marks.has(r0+r) == marked {
			kernels.Axpy(dst.Row(r), 1, rows.Row(k))
			k++
		}
	}
}

// MulAdd multiplies by a's rows and by b's, and puts their products where the map says.
func (t *rowsTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	checkProduct(t, y, in, r0, r1)
	for _, marked := range []bool{true, false} {
		t.mulKind(y, in, r0, r1, marked)
	}
}

// mulKind multiplies by rows k0 … k1-1 of one kind. A product's outputs are columns of these numbers, of which only n = k1-k0 are wanted: rows of
// the buffer lie n numbers apart, so that what is before column k0 in one is in another, or before the first.
func (t *rowsTerm) mulKind(y tensor.Mat, in *Input, r0, r1 int, marked bool) {
	from, k0, k1 := t.kind(marked, r0, r1)
	n := k1 - k0
	if n == 0 || y.Rows == 0 {
		return
	}
	buf := getScratch(k0 + y.Rows*n)
	defer putScratch(buf)
	clear((*buf)[k0:])
	products := tensor.Mat{Rows: y.Rows, Cols: k1, Stride: n, Data: *buf}
	from.MulAdd(products, in, k0, k1)
	for i := range y.Rows {
		k, row := k0+i*n, y.Row(i)
		for r := r0; r < r1; r++ {
			if t.marks.has(r) == marked {
				row[r] += (*buf)[k]
				k++
			}
		}
	}
}
