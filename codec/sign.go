package codec

import (
	"strconv"
	"strings"

	"pith/kernels"
	"pith/tensor"
)

// signCodec stores one block of a BitStack (Wang et al. 2024, arXiv 2410.23918, section 3.2): the sign of every element, and a magnitude of
// rank k,
//
//	W[r, c] = (−1)^sign[r, c] · Σ_t u[r, t]·v[t, c]
//
// with u and v in F16. 1 + 16·k·(1/rows + 1/cols) bits per weight, and ⌈cols/8⌉ bytes a row for the signs. Several such terms of a
// weight are a stack: each was fitted to what those before it leave. The sum is over t in order, products exact, sums rounded to float32.
type signCodec struct{ k int }

// signPrefix begins the names of sign codecs, and maxSignRank bounds their k.
const (
	signPrefix  = "sign-k"
	maxSignRank = 64
)

// parseSign reads "sign-k1" … "sign-k64".
func parseSign(name string) (Codec, bool) {
	digits, ok := strings.CutPrefix(name, signPrefix)
	k, err := strconv.Atoi(digits)
	if !ok || err != nil || k < 1 || k > maxSignRank || strconv.Itoa(k) != digits {
		return nil, false
	}
	return signCodec{k}, true
}

// SignRank returns the k of the codec called name, 0 if it stores no signs.
func SignRank(name string) int {
	if c, ok := parseSign(name); ok {
		return c.(signCodec).k
	}
	return 0
}

// SignName returns the name of the codec of sign blocks of rank k, 1 to 64.
func SignName(k int) string { return signCodec{k}.Name() }

func (c signCodec) Name() string { return signPrefix + strconv.Itoa(c.k) }

// Check accepts every shape.
func (c signCodec) Check(rows, cols int) error { return checkShape(rows, cols) }

func (c signCodec) Size(rows, cols int) int64 {
	return int64(rows)*int64((cols+7)/8) + 2*int64(c.k)*(int64(rows)+int64(cols))
}

// WholeOnly: all rows share v.
func (c signCodec) WholeOnly() bool { return true }

func (c signCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if err := checkShape(rows, cols); err != nil {
		return nil, err
	}
	if err := checkParts(parts, partSpec{"signs", tensor.U8}, partSpec{"u", tensor.F16}, partSpec{"v", tensor.F16}); err != nil {
		return nil, err
	}
	for i, size := range []int64{int64(rows) * int64((cols+7)/8), 2 * int64(c.k) * int64(rows), 2 * int64(c.k) * int64(cols)} {
		if err := checkLength(parts[i], size); err != nil {
			return nil, err
		}
	}
	if err := checkScales("u", parts[1].Data, c.k); err != nil {
		return nil, err
	}
	if err := checkScales("v", parts[2].Data, max(cols, 1)); err != nil {
		return nil, err
	}
	return &signTerm{c, rows, cols, parts[0].Data, parts[1].Data, parts[2].Data}, nil
}

// signTerm is a fitted matrix: signs by rows, bit c%8 of byte c/8 set where the value is less than that of the magnitude's own sign; u (rows, k)
// and v (k, cols), F16 little endian.
type signTerm struct {
	signCodec
	rows, cols  int
	signs, u, v []byte
}

func (t *signTerm) Codec() string    { return t.Name() }
func (t *signTerm) Dims() (int, int) { return t.rows, t.cols }
func (t *signTerm) Bytes() int64     { return int64(len(t.signs) + len(t.u) + len(t.v)) }

func (t *signTerm) Parts() []Part {
	return []Part{
		{Name: "signs", DType: tensor.U8, Shape: []int{t.rows, (t.cols + 7) / 8}, Data: t.signs},
		{Name: "u", DType: tensor.F16, Shape: []int{t.rows, t.k}, Data: t.u},
		{Name: "v", DType: tensor.F16, Shape: []int{t.k, t.cols}, Data: t.v},
	}
}

// row returns the signs of row r.
func (t *signTerm) row(r int) []byte {
	n := (t.cols + 7) / 8
	return t.signs[r*n : (r+1)*n]
}

// addRows adds rows r0 … r0+dst.Rows to dst.
func (t *signTerm) addRows(dst tensor.Mat, r0 int) {
	buf := getScratch(t.k * (t.cols + dst.Rows))
	defer putScratch(buf)
	v, u := (*buf)[:t.k*t.cols], (*buf)[t.k*t.cols:]
	kernels.F16ToF32(v, t.v)
	kernels.F16ToF32(u, t.u[2*t.k*r0:])
	for r := range dst.Rows {
		kernels.AddSigned(dst.Row(r), t.row(r0+r), u[r*t.k:(r+1)*t.k], v)
	}
}

func (t *signTerm) AddTo(dst tensor.Mat, r0 int) {
	if r0 < 0 || r0+dst.Rows > t.rows || dst.Cols != t.cols {
		panic("codec: AddTo outside of the term")
	}
	t.addRows(dst, r0)
}

// MulAdd multiplies few tokens without decoding: mulAddSigns.
func (t *signTerm) MulAdd(y tensor.Mat, in *Input, r0, r1 int) {
	mulAddSigns([]Term{t}, y, in, r0, r1)
}
