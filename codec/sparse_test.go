package codec_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

func TestSparseCodecsOfAnyPatternConform(t *testing.T) {
	for _, name := range []string{"f32-s37.5", "bf16-3:7", "bf16-csr50", "int2-g32-s50", "int6-g64-3:7", "int3-g32-csr62.5", "int5-grow-1:64",
		"int4-g32-2:4", "int4-grow-2:4e", "int8-g64-s70e", "f32-1:3e", "int4-g64-31:64"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			codectest.Run(t, sparse(t, name))
		})
	}
}

func sparse(t testing.TB, name string) codec.Sparse {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := c.(codec.Sparse)
	if !ok {
		t.Fatalf("%s is not a codec of masks", name)
	}
	return s
}

func TestSparseNamesAreThoseOfPatternsThatExist(t *testing.T) {
	for _, name := range []string{"f16-s0", "f16-s100", "f16-s50.0", "f16-s-3", "f16-s050", "f16-s0.0001", "f16-csr90e", "f16-4:4", "f16-0:4", "f16-5:4", "f16-2:65",
		"f16-02:4", "f16-2:4ee", "int4-g128-asym-2:4", "q4_k-2:4", "f16-2:4-s50", "f16-sNaN", "f16-s1e1", "f16-:", "-2:4", "f16-s"} {
		if c, err := codec.Parse(name); err == nil {
			t.Errorf("Parse(%q) = %s", name, c.Name())
		}
	}
	if n, m := sparse(t, "int8-g128-8:16").Group(); n != 8 || m != 16 {
		t.Errorf("8:16 keeps %d of %d", n, m)
	}
	if n, m := sparse(t, "int8-g128-s50").Group(); n != 0 || m != 0 {
		t.Errorf("s50 keeps %d of %d", n, m)
	}
}

func TestWrongSparseNamesAreToldWhatIsWrong(t *testing.T) {
	for name, want := range map[string]string{
		"int4-g128-4:2": "0 < N < M ≤ 64", "f16-65:70": "0 < N < M ≤ 64", "f16-0:4": "0 < N < M ≤ 64", "f16-s100": "0 < P < 100", "f16-s-5": "0 < P < 100",
		"f16-csr50e": "takes no e", "int4-g128-asym-2:4": "values stored with a pattern", "q4_k-s50": "values stored with a pattern", "int4-g128-had-2:4": "comes last",
	} {
		if _, err := codec.Parse(name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "near: ") {
			t.Errorf("Parse(%q): %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"f16-small", "int4-g127", "f16-", "s50", "-"} {
		if _, err := codec.Parse(name); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("unknown codec %q; near: ", name)) {
			t.Errorf("Parse(%q): %v", name, err)
		}
	}
}

// Sizes are those of issue 4's table, exactly: bits per weight of a 4096 × 4096 matrix.
func TestSparseSizesAreThoseOfTheTable(t *testing.T) {
	const n = 4096
	for name, want := range map[string]float64{
		"int4-g128-2:4":  2 + 1 + 16./128,
		"f16-2:4":        8 + 1,
		"f16-4:8":        8 + 1,
		"f16-s50":        1 + 8 + 32./n,
		"int8-grow-s75":  1 + 2 + 16./n + 32./n,
		"int8-g128-2:4":  1 + 4 + 16./128,
		"f16-csr87.5":    0.125*(8+16) + 16*16./n,
		"int4-g128-8:16": 1 + 2 + 16./128,
	} {
		if got := 8 * float64(sparse(t, name).Size(n, n)) / (n * n); got != want {
			t.Errorf("%s has %g bits per weight, want %g", name, got, want)
		}
	}
	for name, want := range map[string]float64{ // information of the mask, and at most one more element kept in a row
		"int4-g128-2:4e": 2 + math.Log2(6)/4 + 16./128,
		"f16-4:8e":       8 + math.Log2(70)/8,
		"f16-s90e":       1.6 + 0.4690,
		"f16-s70e":       4.8 + 0.8813,
	} {
		if got := 8 * float64(sparse(t, name).Size(n, n)) / (n * n); got < want-0.003 || got > want+0.003 {
			t.Errorf("%s has %g bits per weight, want %g", name, got, want)
		}
	}
	for _, k := range []struct {
		name       string
		rows, cols int
		want       int64
	}{{"f16-s50", 3, 5, 9}, {"f16-s33.333", 2, 1000, 1334}, {"f16-2:4", 2, 7, 8}, {"f16-2:4", 1, 1, 1}, {"f16-3:8", 1, 13, 5}, {"f16-s99.999", 7, 10, 7}} {
		if got := sparse(t, k.name).Kept(k.rows, k.cols); got != k.want {
			t.Errorf("%s keeps %d of (%d, %d), want %d", k.name, got, k.rows, k.cols, k.want)
		}
	}
}

// fillMask returns a random mask of the number of elements that c stores.
func fillMask(c codec.Sparse, rows, cols int, rng *rand.Rand) *codec.Mask {
	m := codec.NewMask(rows, cols)
	n, group := c.Group()
	if group == 0 {
		for _, i := range rng.Perm(rows * cols)[:c.Kept(rows, cols)] {
			m.Set(i/cols, i%cols, true)
		}
		return m
	}
	for r := range rows {
		for c0 := 0; c0 < cols; c0 += group {
			width := min(group, cols-c0)
			for _, i := range rng.Perm(width)[:(width*n+group-1)/group] {
				m.Set(r, c0+i, true)
			}
		}
	}
	return m
}

// denseTerm returns a term of c's values that is zero where m prunes and not where it keeps.
func denseTerm(t testing.TB, c codec.Sparse, m *codec.Mask, seed uint64) codec.Term {
	t.Helper()
	w := codectest.Matrix(seed, m.Rows, m.Cols)
	m.Apply(w)
	grid, err := c.Dense().Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	codec.RoundAll(grid, w, 1)
	return grid.Pack()
}

func sameParts(t *testing.T, what string, got, want codec.Term) {
	t.Helper()
	g, w := got.Parts(), want.Parts()
	if got.Codec() != want.Codec() || len(g) != len(w) {
		t.Fatalf("%s: %s of %d parts, want %s of %d", what, got.Codec(), len(g), want.Codec(), len(w))
	}
	for i := range g {
		if !slices.Equal(g[i].Data, w[i].Data) {
			t.Errorf("%s: part %q differs", what, g[i].Name)
		}
	}
}

// Every layout gives back masks, codes and scales (invariant H2).
func TestSparseLayoutsAreLossless(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, values := range []string{"f32", "f16", "bf16", "int2-g32", "int4-g128", "int5-grow", "int8-g64"} {
		for _, pattern := range []string{"s50", "s50e", "csr50", "2:4", "2:4e", "4:8", "1:2", "8:16e", "32:64"} {
			c := sparse(t, values+"-"+pattern)
			for _, cols := range []int{64, 256, 4, 60, 516} {
				mask := fillMask(sparse(t, values+"-2:4"), 5, cols, rng)
				if pattern == "1:2" {
					mask = fillMask(c, 5, cols, rng)
				}
				if n, m := c.Group(); cols*n%max(m, 1) != 0 {
					continue // the last group stores more than half
				}
				inner := denseTerm(t, c, mask, uint64(cols))
				term, err := codec.Sparsify(inner, mask, c)
				if err != nil {
					t.Fatal(values, pattern, cols, err)
				}
				if got, _ := codec.MaskOf(term); !slices.Equal(got.Bits, mask.Bits) {
					t.Fatalf("%s: another mask of %d columns", c.Name(), cols)
				}
				back, ok := codec.Densify(term)
				if !ok {
					t.Fatal("not a sparse term")
				}
				sameParts(t, c.Name(), back, inner)
				for _, other := range []string{"s50", "csr50", "s50e"} { // which store any mask of half the elements
					via, err := codec.Resparsify(term, sparse(t, values+"-"+other))
					if err != nil {
						t.Fatal(err)
					}
					again, err := codec.Resparsify(via, c)
					if err != nil {
						t.Fatal(err)
					}
					sameParts(t, c.Name()+" by way of "+other, again, term)
				}
			}
		}
	}
}

// All 6 masks of two of four and all 70 of four of eight are stored and read back, in every place of a unit, and so are groups that
// keep fewer, whose other places hold zeros.
func TestEveryMaskOfAGroupIsStored(t *testing.T) {
	for _, g := range []struct {
		pattern string
		n, m    int
	}{{"2:4", 2, 4}, {"2:4e", 2, 4}, {"4:8", 4, 8}, {"4:8e", 4, 8}} {
		for _, values := range []string{"int4-g128", "f16"} {
			c := sparse(t, values+"-"+g.pattern)
			var patterns, fewer []uint64
			for v := range uint64(1) << g.m {
				switch n := bitCount(v); {
				case n == g.n:
					patterns = append(patterns, v)
				case n < g.n:
					fewer = append(fewer, v)
				}
			}
			if want := map[int]int{4: 6, 8: 70}[g.m]; len(patterns) != want {
				t.Fatalf("%d masks of %s", len(patterns), g.pattern)
			}
			for _, list := range [][]uint64{patterns, fewer} {
				mask := codec.NewMask(len(list), 128)
				for r := range list {
					for c := range 128 {
						mask.Set(r, c, list[(r+c/g.m)%len(list)]>>(c%g.m)&1 != 0)
					}
				}
				inner := denseTerm(t, c, mask, 9)
				term, err := codec.Sparsify(inner, mask, c)
				if err != nil {
					t.Fatal(err)
				}
				stored, _ := codec.MaskOf(term)
				if stored.Count() != c.Kept(mask.Rows, 128) {
					t.Errorf("%s: %d elements stored, want %d", c.Name(), stored.Count(), c.Kept(mask.Rows, 128))
				}
				for i, w := range mask.Bits {
					if w&^stored.Bits[i] != 0 || bitCount(list[0]) == g.n && w != stored.Bits[i] {
						t.Fatalf("%s: mask %x is stored as %x", c.Name(), w, stored.Bits[i])
					}
				}
				if !slices.Equal(codectest.Decode(term).Data, codectest.Decode(inner).Data) {
					t.Errorf("%s: other values are stored", c.Name())
				}
			}
		}
	}
}

func bitCount(v uint64) (n int) {
	for ; v != 0; v &= v - 1 {
		n++
	}
	return n
}

// Terms of rows are joined to that of all rows, though it could not be encoded tile by tile.
func TestConcatJoinsSparseTerms(t *testing.T) {
	for _, name := range []string{"f16-s50", "int4-g32-s37.5", "int3-g64-s70e", "int8-grow-csr90", "int5-grow-csr50", "f32-2:4", "int4-g128-2:4", "int4-g32-2:4e"} {
		c := sparse(t, name)
		const cols = 300
		var terms []codec.Term
		all := codec.NewMask(0, cols)
		var values []float32
		for i, rows := range []int{3, 0, 1, 5} {
			mask := fillMask(c, rows, cols, rand.New(rand.NewPCG(1, uint64(i))))
			w := codectest.Matrix(uint64(i), rows, cols)
			grid, err := c.Fit(w, nil, codec.FitOptions{Mask: mask})
			if err != nil {
				t.Fatal(err)
			}
			codectest.RoundAll(grid, w)
			terms = append(terms, grid.Pack())
			all.Rows, all.Bits, values = all.Rows+rows, append(all.Bits, mask.Bits...), append(values, w.Data...)
		}
		joined, err := codec.Concat(terms)
		if err != nil {
			t.Fatal(err)
		}
		w := tensor.Of(all.Rows, cols, values)
		grid, err := c.Fit(w, nil, codec.FitOptions{Mask: all})
		if err != nil {
			t.Fatal(err)
		}
		codectest.RoundAll(grid, w)
		sameParts(t, name, joined, grid.Pack())
		if joined.Bytes() != c.Size(all.Rows, cols) {
			t.Errorf("%s: %d bytes, want %d", name, joined.Bytes(), c.Size(all.Rows, cols))
		}
	}
}

// A mask is what it is said to be: codes say nothing about it, and pruned elements that are not zero are refused.
func TestSparsifyRefusesMasksThatDisagreeWithValues(t *testing.T) {
	for _, name := range []string{"int4-g128-2:4", "f16-s50", "int8-grow-csr50"} {
		c := sparse(t, name)
		rng := rand.New(rand.NewPCG(5, 6))
		mask, other := fillMask(c, 4, 128, rng), fillMask(c, 4, 128, rng)
		inner := denseTerm(t, c, mask, 3)
		if _, err := codec.Sparsify(inner, other, c); err == nil || !strings.Contains(err.Error(), "is not zero, but the mask prunes it") {
			t.Errorf("%s: %v", name, err)
		}
		for r := range 4 {
			mask.Row(r)[0] = ^uint64(0)
		}
		if _, err := codec.Sparsify(inner, mask, c); err == nil || !strings.Contains(err.Error(), "mask keeps") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := codec.Sparsify(inner, codec.NewMask(4, 64), c); err == nil {
			t.Errorf("%s takes a mask of another shape", name)
		}
		if _, err := codec.Sparsify(denseTerm(t, sparse(t, "f32-s50"), fillMask(c, 4, 128, rng), 1), mask, c); err == nil {
			t.Errorf("%s takes values of another codec", name)
		}
	}
}

// A mask's code has the same length whatever the mask, and is not longer than its information but for what a section costs.
func TestCodedMasksAreOfOneSize(t *testing.T) {
	const rows, cols = 300, 2000 // three sections
	rng := rand.New(rand.NewPCG(7, 8))
	for _, percent := range []string{"50", "90", "99.9", "3"} {
		c := sparse(t, "f16-s"+percent+"e")
		kept := int(c.Kept(rows, cols))
		masks := map[string]*codec.Mask{"random": fillMask(c, rows, cols, rng), "first": codec.NewMask(rows, cols), "last": codec.NewMask(rows, cols), "comb": codec.NewMask(rows, cols)}
		for i := range kept {
			masks["first"].Set(i/cols, i%cols, true)
			last, comb := rows*cols-1-i, i*(rows*cols)/kept
			masks["last"].Set(last/cols, last%cols, true)
			masks["comb"].Set(comb/cols, comb%cols, true)
		}
		for what, m := range masks {
			w := tensor.NewMat(rows, cols)
			for i := range w.Data {
				w.Data[i] = 1
			}
			grid, err := c.Fit(w, nil, codec.FitOptions{Mask: m})
			if err != nil {
				t.Fatal(err)
			}
			codec.RoundAll(grid, w, 1)
			parts := grid.Pack().Parts()
			if got := int64(len(parts[0].Data) + 2*kept); got != c.Size(rows, cols) {
				t.Fatalf("%s %s: %d bytes, want %d", c.Name(), what, got, c.Size(rows, cols))
			}
			opened, err := c.Open(rows, cols, parts)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := codec.MaskOf(opened); !slices.Equal(got.Bits, m.Bits) {
				t.Fatalf("%s %s: another mask comes back", c.Name(), what)
			}
		}
		p := float64(kept) / (rows * cols)
		information := -rows * cols * (p*math.Log2(p) + (1-p)*math.Log2(1-p)) / 8
		if got := float64(c.Size(rows, cols) - 2*int64(kept)); got > information+3*10+2 {
			t.Errorf("%s: %g bytes of mask, its information is %g", c.Name(), got, information)
		}
	}
}

// Parts are not trusted: what does not agree is an error, not a wrong read.
func TestDamagedSparsePartsAreRefused(t *testing.T) {
	flip := func(at int, bits byte) func([]byte) { return func(b []byte) { b[at] ^= bits } }
	for _, d := range []struct {
		codec, part string
		cols        int
		damage      func(data []byte)
	}{
		{"f16-s50", "mask", 128, flip(3, 1)},
		{"f16-s50", "starts", 128, flip(4, 1)},
		{"f16-s50", "starts", 128, flip(7, 0x80)},
		{"int8-grow-s50", "mask", 100, flip(15, 0x80)}, // beyond the last column
		{"f16-2:4", "mask", 128, func(b []byte) { b[0], b[1] = 0xff, 0 }},
		{"f16-3:7", "mask", 128, func(b []byte) { b[0], b[1] = 0x7f, 0 }},
		{"f16-csr50", "counts", 300, flip(1, 0xff)},
		{"f16-csr50", "counts", 300, func(b []byte) { b[0], b[2] = b[0]+1, b[2]-1 }},
		{"f16-csr50", "columns", 300, func(b []byte) { b[0], b[1] = b[1], b[0] }},
		{"f16-csr50", "columns", 300, func(b []byte) { b[1] = b[0] }},
		{"int4-g128-2:4", "indices", 128, func(b []byte) { b[0], b[1] = 3, 1 }},
		{"int4-g128-2:4", "indices", 128, func(b []byte) { b[2], b[3] = 0, 0 }},
		{"int4-g128-2:4", "indices", 127, func(b []byte) { b[14], b[15] = b[14]|0x80, b[15]|0xc0 }},
		{"int4-g128-2:4e", "mask", 128, flip(0, 1)},
		{"f16-s50e", "mask", 128, flip(1, 0x70)},
		{"f16-s50e", "mask", 128, flip(7, 0xff)},
		{"int8-grow-s50", "scales", 128, func(b []byte) { binary.LittleEndian.PutUint16(b, 0x7c00) }},
	} {
		c := sparse(t, d.codec)
		mask := fillMask(c, 4, d.cols, rand.New(rand.NewPCG(9, 10)))
		term, err := codec.Sparsify(denseTerm(t, c, mask, 2), mask, c)
		if err != nil {
			t.Fatal(err)
		}
		parts := slices.Clone(term.Parts())
		for i := range parts {
			if parts[i].Name == d.part {
				parts[i].Data = slices.Clone(parts[i].Data)
				d.damage(parts[i].Data)
			}
		}
		if _, err := c.Open(4, d.cols, parts); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s opened with damaged %s: %v", d.codec, d.part, err)
		}
	}
}

func TestKeepOfTooManyElementsPanics(t *testing.T) {
	c := sparse(t, "int4-g128-2:4")
	w := codectest.Matrix(1, 2, 64)
	grid, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := codec.NewMask(2, 64)
	all.Bits[0] = ^uint64(0)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	grid.(codec.MaskedGrid).Keep(0, 64, all)
	codectest.RoundAll(grid, w)
	grid.Pack()
}

// Importance weighs columns as w²·importance does.
func TestImportanceChoosesWhatIsKept(t *testing.T) {
	for _, name := range []string{"f16-2:4", "f16-s50", "f16-csr50"} {
		w := tensor.NewMat(2, 64)
		importance := make([]float32, 64)
		for i := range w.Data {
			w.Data[i], importance[i%64] = 1+float32(i%64)/64, 1
			if i%4 < 2 {
				importance[i%64] = 9
			}
		}
		grid, err := sparse(t, name).Fit(w, importance, codec.FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		codectest.RoundAll(grid, w)
		if mask, _ := codec.MaskOf(grid.Pack()); mask.Bits[0] != 0x3333333333333333 || mask.Bits[1] != mask.Bits[0] {
			t.Errorf("%s keeps %x", name, mask.Bits)
		}
	}
}

// FuzzResparsify stores any mask and any codes by every layout that can, and wants them back.
func FuzzResparsify(f *testing.F) {
	f.Add([]byte{0x55, 0x33, 0x99, 0x0f}, 16)
	f.Add([]byte{0xff, 1, 2, 3, 0x80}, 3)
	f.Fuzz(func(t *testing.T, data []byte, cols int) {
		if cols <= 0 || cols > 600 || len(data) == 0 {
			return
		}
		rows := min(8, (8*len(data)+cols-1)/cols)
		mask := codec.NewMask(rows, cols)
		kept := 0
		for i := range rows * cols {
			if data[i/8%len(data)]>>(i%8)&1 != 0 {
				mask.Set(i/cols, i%cols, true)
				kept++
			}
		}
		for _, values := range []string{"int4-g32", "f16"} {
			for _, pattern := range patternsOf(t, values, mask, kept) {
				c := sparse(t, values+"-"+pattern)
				inner := denseTerm(t, c, mask, uint64(cols))
				term, err := codec.Sparsify(inner, mask, c)
				if err != nil {
					continue // not of this pattern
				}
				opened, err := c.Open(rows, cols, term.Parts())
				if err != nil {
					t.Fatal(err)
				}
				back, _ := codec.Densify(opened)
				sameParts(t, c.Name(), back, inner)
				if got, _ := codec.MaskOf(opened); got.Count() == int64(kept) && !slices.Equal(got.Bits, mask.Bits) {
					t.Fatalf("%s: another mask", c.Name())
				}
			}
		}
	})
}

// patternsOf returns patterns that may store a mask: groups, and shares that give its number of elements.
func patternsOf(t testing.TB, values string, mask *codec.Mask, kept int) []string {
	list := []string{"2:4", "2:4e", "4:8", "1:4", "3:7", "63:64e"}
	if kept%mask.Rows == 0 && kept > 0 && kept < mask.Rows*mask.Cols {
		perRow := kept / mask.Rows
		for _, form := range []string{"s%s", "csr%s", "s%se"} {
			share := strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", math.Ceil(1e5*float64(mask.Cols-perRow)/float64(mask.Cols))/1e3), "0"), ".")
			name := fmt.Sprintf(form, share)
			if c, err := codec.Parse(values + "-" + name); err == nil && c.(codec.Sparse).Kept(mask.Rows, mask.Cols) == int64(kept) {
				list = append(list, name)
			}
		}
	}
	return list
}
