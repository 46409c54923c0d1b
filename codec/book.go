package codec

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"pith/tensor"
)

// book is a fixed set of 2^width vectors of dim weights, made for unit Gaussians: what the code of a vector stands for. Books are
// constants of the format; nothing of them is stored with a tensor.
type book struct {
	family string // of codec names
	rate   string // that follows it: "4", "-2.5", ""
	dim    int    // weights of a vector: 1, 2 or 8
	width  int    // bits of a code, at most 16
	scale  float32
	top    float32 // the largest coordinate

	// encode returns the code nearest to x, dim numbers; decode overwrites dst with scale times the vectors of codes, the last of
	// which may be cut short.
	encode func(x []float32) uint16
	decode func(dst []float32, codes []uint16, scale float32)
}

// bookCodec stores the codes of vectors of consecutive columns with one scale per group of columns:
//
//	W[r, c] = scale[r, c/group] · vector(code[r, c/dim])[c mod dim]
//
// A row's codes are packed from its first bit on, code i in bits [i·width, (i+1)·width), little endian; a row starts on a byte. The last
// vector of a row may stand for fewer columns. scale is F16. docs/formats/books.md.
type bookCodec struct {
	*book
	group int // columns, a multiple of dim; 0: the whole row
}

// bookGroups are the groups there are.
var bookGroups = [...]int{32, 64, 128, 0}

// books lists every book.
func books() []*book {
	all := append(nuqBooks(), vq2Books()...)
	return append(all, e8pBook())
}

// parseBook returns the codec called name, of any book and group.
func parseBook(name string) (Codec, bool) {
	prefix, group, ok := strings.Cut(name, "-g")
	if !ok {
		return nil, false
	}
	for _, b := range books() {
		if b.family+b.rate != prefix {
			continue
		}
		for _, g := range bookGroups {
			if groupName(g) == group {
				return bookCodec{b, g}, true
			}
		}
	}
	return nil, false
}

func groupName(columns int) string {
	if columns == 0 {
		return "row"
	}
	return strconv.Itoa(columns)
}

func (c bookCodec) Name() string { return c.family + c.rate + "-g" + groupName(c.group) }

// Check accepts every shape.
func (c bookCodec) Check(rows, cols int) error { return checkShape(rows, cols) }

func (c bookCodec) groupCols(cols int) int {
	if c.group == 0 {
		return max(cols, 1)
	}
	return c.group
}

func (c bookCodec) groups(cols int) int { return (cols + c.groupCols(cols) - 1) / c.groupCols(cols) }

// vectors returns how many codes a row has; rowBytes, their bytes.
func (c bookCodec) vectors(cols int) int  { return (cols + c.dim - 1) / c.dim }
func (c bookCodec) rowBytes(cols int) int { return packedBytes(c.vectors(cols), c.width) }

func (c bookCodec) Size(rows, cols int) int64 {
	return int64(rows) * int64(c.rowBytes(cols)+2*c.groups(cols))
}

func (c bookCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if err := checkShape(rows, cols); err != nil {
		return nil, err
	}
	if err := checkParts(parts, partSpec{"codes", tensor.U8}, partSpec{"scales", tensor.F16}); err != nil {
		return nil, err
	}
	if err := checkLength(parts[0], int64(rows)*int64(c.rowBytes(cols))); err != nil {
		return nil, err
	}
	if err := checkLength(parts[1], 2*int64(rows)*int64(c.groups(cols))); err != nil {
		return nil, err
	}
	t := &bookTerm{bookCodec: c, rows: rows, cols: cols, codes: parts[0].Data, scales: parts[1].Data}
	return t, checkScales("scales", t.scales, c.groups(cols))
}

// checkScales returns an error that names the first F16 number of a part which is not finite; a row has groups of them.
func checkScales(part string, scales []byte, groups int) error {
	for i := 0; i < len(scales); i += 2 {
		if binary.LittleEndian.Uint16(scales[i:])&0x7c00 == 0x7c00 {
			return fmt.Errorf("part %q: number %d of row %d is not finite: the file is damaged", part, i/2%groups, i/2/groups)
		}
	}
	return nil
}

// bookTerm is a fitted matrix: packed codes and scales (F16, little endian), row-major.
type bookTerm struct {
	bookCodec
	rows, cols    int
	codes, scales []byte
}

func (t *bookTerm) Codec() string    { return t.Name() }
func (t *bookTerm) Dims() (int, int) { return t.rows, t.cols }
func (t *bookTerm) Bytes() int64     { return int64(len(t.codes) + len(t.scales)) }

func (t *bookTerm) Parts() []Part {
	return []Part{
		{Name: "codes", DType: tensor.U8, Shape: []int{t.rows, t.rowBytes(t.cols)}, Data: t.codes},
		{Name: "scales", DType: tensor.F16, Shape: []int{t.rows, t.groups(t.cols)}, Data: t.scales},
	}
}

func (t *bookTerm) AddTo(dst tensor.Mat, r0 int)               { addDecoded(t, dst, r0) }
func (t *bookTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) { mulAddDecoded(t, y, in, r0, r1) }

// bookChunk is how many codes are unpacked at a time: a multiple of 8, so that chunks start on bytes, and of every group's.
const bookChunk = 256

func (t *bookTerm) readRow(dst []float32, r int) {
	var codes [bookChunk]uint16
	rowBytes, groups := t.rowBytes(t.cols), t.groups(t.cols)
	row, scales := t.codes[r*rowBytes:(r+1)*rowBytes], t.scales[2*r*groups:]
	group := t.groupCols(t.cols)
	for c0 := 0; c0 < t.cols; c0 += bookChunk * t.dim {
		c1 := min(t.cols, c0+bookChunk*t.dim)
		chunk := codes[:t.vectors(c1-c0)]
		unpackWide(chunk, row[c0/t.dim*t.width/8:], t.width)
		for c := c0; c < c1; {
			end := min(c1, (c/group+1)*group)
			scale := tensor.F16ToFloat32(binary.LittleEndian.Uint16(scales[2*(c/group):]))
			t.decode(dst[c:end], chunk[(c-c0)/t.dim:], scale)
			c = end
		}
	}
}

// packWide writes codes of up to 16 bits to dst, code i in bits [i·width, (i+1)·width), little endian.
func packWide(dst []byte, codes []uint16, width int) {
	var word uint64
	bits, at := 0, 0
	for _, q := range codes {
		word |= uint64(q) << bits
		for bits += width; bits >= 8; bits -= 8 {
			dst[at] = byte(word)
			word >>= 8
			at++
		}
	}
	if bits > 0 {
		dst[at] = byte(word)
	}
}

// unpackWide reads len(dst) codes that packWide wrote.
func unpackWide(dst []uint16, src []byte, width int) {
	mask := uint32(1)<<width - 1
	fast := 0 // codes whose four bytes are all there
	if len(src) >= 4 {
		fast = min(len(dst), (8*(len(src)-4))/width+1)
	}
	for i := range dst[:fast] {
		bit := i * width
		dst[i] = uint16(binary.LittleEndian.Uint32(src[bit>>3:]) >> (bit & 7) & mask)
	}
	for i := fast; i < len(dst); i++ {
		bit := i * width
		var last [4]byte
		copy(last[:], src[bit>>3:])
		dst[i] = uint16(binary.LittleEndian.Uint32(last[:]) >> (bit & 7) & mask)
	}
}
