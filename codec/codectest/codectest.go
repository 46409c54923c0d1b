// Package codectest is the conformance suite that every codec of codec.Names runs: what a Codec, its Grid and its Terms promise
// one another, on matrices around the edges of groups and blocks.
package codectest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// Run checks c against the contracts of package codec.
func Run(t *testing.T, c codec.Codec) {
	t.Run("name", func(t *testing.T) { parsesBack(t, c) })
	t.Run("shapes", func(t *testing.T) { shapes(t, c) })
	t.Run("weights that are no numbers", func(t *testing.T) { notFinite(t, c) })
	t.Run("search", func(t *testing.T) { searchNeverLoses(t, c) })
	t.Run("gain", func(t *testing.T) { gains(t, c) })
	if !wholeOnly(c) {
		t.Run("concat", func(t *testing.T) { tiles(t, c) })
	}
	t.Run("masks", func(t *testing.T) { sparse(t, c) })
	t.Run("damage", func(t *testing.T) { damaged(t, c) })
}

// wholeOnly reports whether c need not store rows one after another.
func wholeOnly(c codec.Codec) bool {
	whole, ok := c.(codec.WholeOnly)
	return ok && whole.WholeOnly()
}

// shape is a matrix size of the suite; they lie around groups of 32, 64 and 128 and blocks of 32 and 256.
type shape struct{ rows, cols int }

func suiteShapes() []shape {
	s := []shape{{0, 256}, {3, 0}, {0, 0}, {1, 1}, {2, 172}, {3, 352}, {5, 256}, {2, 1024}}
	for _, n := range []int{31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257} {
		s = append(s, shape{2, n})
	}
	return s
}

// Matrix returns rows × cols values whose rows differ in spread and whose groups have outliers; the same seed gives the same values.
func Matrix(seed uint64, rows, cols int) tensor.Mat {
	rng := rand.New(rand.NewPCG(seed, 77))
	m := tensor.NewMat(rows, cols)
	for r := range rows {
		spread := math.Exp2(float64(rng.IntN(12) - 8))
		row := m.Row(r)
		for c := range row {
			row[c] = float32(rng.NormFloat64() * spread)
			if rng.IntN(97) == 0 {
				row[c] *= 6
			}
		}
	}
	return m
}

func parsesBack(t *testing.T, c codec.Codec) {
	p, err := codec.Parse(c.Name())
	if err != nil || p.Name() != c.Name() {
		t.Fatalf("Parse(%q) = %v, %v", c.Name(), p, err)
	}
}

func shapes(t *testing.T, c codec.Codec) {
	for _, s := range suiteShapes() {
		t.Run(fmt.Sprintf("%dx%d", s.rows, s.cols), func(t *testing.T) {
			if err := c.Check(s.rows, s.cols); err != nil {
				refuses(t, c, s, err)
				return
			}
			for name, w := range map[string]tensor.Mat{
				"normal":   Matrix(uint64(s.rows*1000+s.cols), s.rows, s.cols),
				"zero":     tensor.NewMat(s.rows, s.cols),
				"constant": constant(s.rows, s.cols, 0.3),
				"positive": shifted(Matrix(5, s.rows, s.cols), 40),
				"tiny":     scaled(Matrix(6, s.rows, s.cols), 1e-6),
			} {
				t.Run(name, func(t *testing.T) {
					term := matrix(t, c, w)
					if name != "tiny" && idempotent(c.Name()) {
						again(t, c, term)
					}
				})
			}
		})
	}
}

// refuses wants an error of Check, Fit and Open alike, which says what would do.
func refuses(t *testing.T, c codec.Codec, s shape, err error) {
	if !strings.Contains(err.Error(), "use ") {
		t.Errorf("error names no remedy: %v", err)
	}
	if _, err := c.Fit(tensor.NewMat(s.rows, s.cols), nil, codec.FitOptions{}); err == nil {
		t.Error("Fit accepts what Check refuses")
	}
	if s.cols%32 == 0 && s.cols%256 == 0 && !lowRank(c.Name()) { // whose factors may be larger than so few rows
		t.Errorf("(%d, %d) refused", s.rows, s.cols)
	}
}

// encode fits and rounds w as a whole.
func encode(t testing.TB, c codec.Codec, w tensor.Mat, importance []float32, o codec.FitOptions) codec.Term {
	t.Helper()
	grid, err := c.Fit(w, importance, o)
	if err != nil {
		t.Fatal(err)
	}
	RoundAll(grid, w)
	return grid.Pack()
}

// RoundAll rounds every column of w, which is left as it is, in the fastest way grid has.
func RoundAll(grid codec.Grid, w tensor.Mat) {
	if whole, ok := grid.(codec.WholeRounder); ok {
		whole.RoundAll(w)
		return
	}
	w = clone(w)
	for col := 0; col < w.Cols; col += grid.Step() {
		grid.Round(w, col)
	}
}

func matrix(t *testing.T, c codec.Codec, w tensor.Mat) codec.Term {
	before := clone(w)
	term := encode(t, c, w, nil, codec.FitOptions{})
	if !slices.Equal(before.Data, w.Data) {
		t.Error("Fit or RoundAll changes the weights")
	}
	if rows, cols := term.Dims(); term.Codec() != c.Name() || rows != w.Rows || cols != w.Cols {
		t.Errorf("term is %s (%d, %d)", term.Codec(), rows, cols)
	}
	exactSize(t, c, term)
	reopens(t, c, term)
	windows(t, term)
	multiplies(t, term)
	aloneOrTogether(t, term)
	columns(t, c, w, term)
	bands(t, c, w, term)
	refits(t, c, w)
	clamps(t, c, w)
	sameTerm(t, "second encoding", encode(t, c, w, nil, codec.FitOptions{}), term)
	return term
}

func exactSize(t *testing.T, c codec.Codec, term codec.Term) {
	rows, cols := term.Dims()
	var n int64
	for _, p := range term.Parts() {
		n += int64(len(p.Data))
		if want := tensor.Bytes(p.DType, p.Shape); want != int64(len(p.Data)) {
			t.Errorf("part %q has %d bytes, its shape says %d", p.Name, len(p.Data), want)
		}
		if !wholeOnly(c) && (len(p.Shape) == 0 || p.Shape[0] != rows) {
			t.Errorf("part %q of shape %v does not have a row per row", p.Name, p.Shape)
		}
	}
	if n != term.Bytes() || n != c.Size(rows, cols) {
		t.Errorf("parts hold %d bytes, Bytes() = %d, Size() = %d", n, term.Bytes(), c.Size(rows, cols))
	}
}

func reopens(t *testing.T, c codec.Codec, term codec.Term) {
	rows, cols := term.Dims()
	opened, err := c.Open(rows, cols, term.Parts())
	if err != nil {
		t.Fatal(err)
	}
	sameTerm(t, "Open(Parts)", opened, term)
	if !slices.Equal(Decode(opened).Data, Decode(term).Data) {
		t.Error("the opened term decodes differently")
	}
}

func sameTerm(t *testing.T, what string, got, want codec.Term) {
	t.Helper()
	g, w := got.Parts(), want.Parts()
	if len(g) != len(w) {
		t.Fatalf("%s: %d parts, want %d", what, len(g), len(w))
	}
	for i := range g {
		if g[i].Name != w[i].Name || g[i].DType != w[i].DType || !slices.Equal(g[i].Shape, w[i].Shape) {
			t.Errorf("%s: part %d is %s %v %v, want %s %v %v", what, i, g[i].Name, g[i].DType, g[i].Shape, w[i].Name, w[i].DType, w[i].Shape)
		}
		if !bytes.Equal(g[i].Data, w[i].Data) {
			t.Errorf("%s: bytes of part %q differ", what, g[i].Name)
		}
	}
}

// Decode returns the whole matrix of term.
func Decode(term codec.Term) tensor.Mat {
	rows, cols := term.Dims()
	m := tensor.NewMat(rows, cols)
	term.AddTo(m, 0)
	return m
}

// guard surrounds output windows; no codec may touch it.
const guard = 1e30

func windows(t *testing.T, term codec.Term) {
	rows, cols := term.Dims()
	whole := Decode(term)
	for r0 := range rows {
		for _, r1 := range []int{r0, r0 + 1, rows} {
			stride := cols + 3
			data := make([]float32, (r1-r0)*stride+3)
			for i := range data {
				data[i] = guard
			}
			win := tensor.Mat{Rows: r1 - r0, Cols: cols, Stride: stride, Data: data}
			for r := range win.Rows {
				for c := range cols {
					win.Row(r)[c] = 1
				}
			}
			term.AddTo(win, r0)
			read := tensor.NewMat(r1-r0, cols)
			codec.Read(term, read, r0)
			if !slices.Equal(read.Data, whole.Data[r0*cols:r1*cols]) {
				t.Fatalf("Read of rows %d…%d differs from AddTo", r0, r1)
			}
			for i, v := range data {
				r, c := i/stride, i%stride
				if r >= win.Rows || c >= cols {
					if v != guard {
						t.Fatalf("AddTo rows %d…%d wrote outside of its window", r0, r1)
					}
				} else if want := 1 + whole.Row(r0 + r)[c]; v != want {
					t.Fatalf("AddTo rows %d…%d gives %g at (%d, %d), want %g", r0, r1, v, r, c, want)
				}
			}
		}
	}
}

// columns rounds column by column and wants the bytes of the whole matrix, and in place the values that decode.
func columns(t *testing.T, c codec.Codec, w tensor.Mat, term codec.Term) {
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rounded := clone(w)
	for col := 0; col < w.Cols; col += grid.Step() {
		grid.Round(rounded, col)
	}
	packed := grid.Pack()
	sameTerm(t, "Round by columns", packed, term)
	if !slices.Equal(rounded.Data, Decode(packed).Data) {
		t.Error("Round leaves other values than the term decodes to")
	}
}

// clamps rounds values far outside of what the scales can hold, as solvers that feed errors back do, and wants the values that
// decode, none of them further away than the group's range.
func clamps(t *testing.T, c codec.Codec, w tensor.Mat) {
	if strings.Contains(c.Name(), "f") {
		return // floats hold them
	}
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wild := clone(w)
	for i := range wild.Data {
		wild.Data[i] = []float32{1e30, -1e30, 3e9, -3e9, 0, 1e-30, 70000}[i%7]
	}
	for col := 0; col < w.Cols; col += grid.Step() {
		grid.Round(wild, col)
	}
	decoded, limit := Decode(grid.Pack()), 2000.0
	if !slices.Equal(decoded.Data, wild.Data) {
		t.Error("Round of values out of range leaves other values than the term decodes to")
	}
	if rotated(c.Name()) { // one entry may hold what its whole row does
		limit *= math.Sqrt(float64(max(w.Cols, 1)))
	}
	for i, v := range decoded.Data {
		if math.Abs(float64(v)) > limit {
			t.Errorf("Round of a value out of range gives %g at element %d", v, i)
			return
		}
	}
}

// again encodes what term decodes to and wants the same values.
func again(t *testing.T, c codec.Codec, term codec.Term) {
	decoded := Decode(term)
	twice := Decode(encode(t, c, decoded, nil, codec.FitOptions{}))
	for i, v := range decoded.Data {
		if twice.Data[i] != v {
			t.Errorf("encoding what was decoded gives %g for %g", twice.Data[i], v)
			return
		}
	}
}

// idempotent reports whether encoding a decoded matrix gives it back exactly.
//
// The asymmetric formats do not: min and max are rounded to the stored step and offset, so that a code range not fully used is
// fitted anew. Scales below F16's normal range ("tiny") have too few digits for it. GGML's K-quants search scales, and their scales of scales depend on the neighbours.
// Rows of grouped tables may find other groups.
// Trellis codes and books take their scale from the spread of what they encode, which is less after decoding. QoQ's largest
// integer is another after rounding. Magnitudes of signs are singular vectors, found to float32. Rotating back and forth rounds,
// which only coarse codes undo.
func idempotent(name string) bool {
	if strings.ContainsAny(name, "+*") || lowRank(name) || strings.HasPrefix(name, "atoms") || strings.HasPrefix(name, "rows") { // other rows may be the largest; what is left of a sum is not what was left at first
		return false
	}
	turned := rotated(name)
	name = innermost(name)
	if turned && (strings.HasSuffix(name, "f32") || strings.HasSuffix(name, "f16")) {
		return false
	}
	for _, family := range []string{"tcq-", "nuq", "vq2-", "e8p-", "qoq4-", "sign-", "jlcm"} {
		if strings.HasPrefix(name, family) {
			return false
		}
	}
	return !strings.HasSuffix(name, "-asym") && !strings.HasSuffix(name, "-mid") && !strings.HasSuffix(name, "_1") && !strings.HasSuffix(name, "_k")
}

const rotatedSuffix = "-had"

// innermost returns the name of the codec whose layout a rotated or scaled codec stores.
func innermost(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, rotatedSuffix), "-scaled")
}

// lowRank reports whether the codec called name stores factors.
func lowRank(name string) bool {
	for term := range strings.SplitSeq(name, "+") {
		if len(term) > 2 && term[:2] == "lr" && '0' <= term[2] && term[2] <= '9' {
			return true
		}
	}
	return false
}

// rotated reports whether the codec called name stores rotated rows.
func rotated(name string) bool { return strings.HasSuffix(name, rotatedSuffix) }

func notFinite(t *testing.T, c codec.Codec) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, o := range []codec.FitOptions{{}, {Search: true}} {
			w := Matrix(9, 4, 256)
			w.Row(2)[131] = bad
			_, err := c.Fit(w, nil, o)
			if err == nil {
				t.Fatalf("Fit accepts %g", bad)
			}
			if !strings.Contains(err.Error(), "row 2, column 131") {
				t.Errorf("error does not say where: %v", err)
			}
		}
	}
	w := Matrix(9, 2, 256)
	w.Row(1)[7] = 3e38
	if grid, err := c.Fit(w, nil, codec.FitOptions{}); err == nil {
		RoundAll(grid, w)
		for _, v := range Decode(grid.Pack()).Data {
			if v-v != 0 {
				t.Fatal("a large weight becomes an infinity without an error")
			}
		}
	} else if !strings.Contains(err.Error(), "row 1, column 7") || !strings.Contains(err.Error(), "use ") {
		t.Errorf("error says neither where nor what would do: %v", err)
	}
}

func searchNeverLoses(t *testing.T, c codec.Codec) {
	w := Matrix(11, 4, 256)
	importance := make([]float32, 256)
	for i := range importance {
		importance[i] = float32(1 + i%7)
	}
	for _, imp := range [][]float32{nil, importance} {
		weights := imp
		if rotated(c.Name()) { // which leaves all columns of what it stores equal
			weights = nil
		}
		plain := squaredError(w, Decode(encode(t, c, w, imp, codec.FitOptions{})), weights)
		searched := encode(t, c, w, imp, codec.FitOptions{Search: true})
		if got := squaredError(w, Decode(searched), weights); got > plain {
			t.Errorf("search gives error %g, the reference rule %g", got, plain)
		}
		exactSize(t, c, searched)
		sameTerm(t, "second search", encode(t, c, w, imp, codec.FitOptions{Search: true}), searched)
	}
}

func squaredError(a, b tensor.Mat, importance []float32) (sum float64) {
	for r := range a.Rows {
		for c, v := range a.Row(r) {
			d := float64(v - b.Row(r)[c])
			if importance != nil {
				d *= math.Sqrt(float64(importance[c]))
			}
			sum += d * d
		}
	}
	return sum
}

// tiles encodes rows apart and wants the concatenation to be what the whole encodes to.
func tiles(t *testing.T, c codec.Codec) {
	w := Matrix(13, 7, 512)
	whole := encode(t, c, w, nil, codec.FitOptions{})
	var terms []codec.Term
	for _, cut := range [][2]int{{0, 1}, {1, 1}, {1, 5}, {5, 7}} {
		terms = append(terms, encode(t, c, w.Slice(cut[0], cut[1]), nil, codec.FitOptions{}))
	}
	joined, err := codec.Concat(terms)
	if err != nil {
		t.Fatal(err)
	}
	sameTerm(t, "Concat", joined, whole)
}

// damaged truncates, extends, renames and retypes each part.
func damaged(t *testing.T, c codec.Codec) {
	term := encode(t, c, Matrix(15, 2, 256), nil, codec.FitOptions{})
	for i := range term.Parts() {
		for name, damage := range map[string]func(p *codec.Part){
			"shorter": func(p *codec.Part) { p.Data = p.Data[:len(p.Data)-1] },
			"longer":  func(p *codec.Part) { p.Data = append(slices.Clone(p.Data), 0) },
			"renamed": func(p *codec.Part) { p.Name = "other" },
			"retyped": func(p *codec.Part) { p.DType = tensor.C64 },
			"empty":   func(p *codec.Part) { p.Data = nil },
		} {
			parts := slices.Clone(term.Parts())
			damage(&parts[i])
			if _, err := c.Open(2, 256, parts); err == nil {
				t.Errorf("part %d %s: no error", i, name)
			}
		}
	}
	for _, s := range []shape{{-1, 256}, {2, -256}, {1, 256}, {3, 256}, {2, 512}, {math.MaxInt, math.MaxInt}, {math.MaxInt / 256, 256}} {
		if _, err := c.Open(s.rows, s.cols, term.Parts()); err == nil {
			t.Errorf("opened as (%d, %d): no error", s.rows, s.cols)
		}
	}
	if _, err := c.Open(2, 256, nil); err == nil {
		t.Error("opened without parts: no error")
	}
}

func clone(m tensor.Mat) tensor.Mat {
	out := tensor.NewMat(m.Rows, m.Cols)
	for r := range m.Rows {
		copy(out.Row(r), m.Row(r))
	}
	return out
}

func constant(rows, cols int, v float32) tensor.Mat { return shifted(tensor.NewMat(rows, cols), v) }

func shifted(m tensor.Mat, by float32) tensor.Mat {
	for i := range m.Data {
		m.Data[i] += by
	}
	return m
}

func scaled(m tensor.Mat, by float32) tensor.Mat {
	for i := range m.Data {
		m.Data[i] *= by
	}
	return m
}
