package codec

import (
	"fmt"
	"strings"

	"pith/tensor"
	"pith/trellis"
)

// trellisCodec stores tiles of 256 weights as rings of bits (package trellis) and one scale per row:
//
//	W[r,c] = value(state) · base · 2^(−code[r]/16),   code 255: a row of zeros
//
// Rows are cut into bands of 64, whose tiles are 64 × 4, and for what remains, rounded up to a multiple of 16, one of 32 (tiles
// 32 × 8) and one of 16 (16 × 16); rows and columns are padded with zeros. docs/formats/tcq.md.
type trellisCodec struct {
	code *trellis.Code
	rate trellis.Rate
}

const trellisPrefix = "tcq-"

// parseTrellis returns the codec called name, "tcq-lut8-2.5" for instance.
func parseTrellis(name string) (Codec, error) {
	code, rate, ok := strings.Cut(strings.TrimPrefix(name, trellisPrefix), "-")
	if !ok {
		return nil, fmt.Errorf("codec %q has no rate; use tcq-<code>-<bits>, such as tcq-lut8-2.5", name)
	}
	c, err := trellis.Lookup(code)
	if err != nil {
		return nil, fmt.Errorf("codec %q: %w", name, err)
	}
	r, err := trellis.ParseRate(rate)
	if err != nil {
		return nil, fmt.Errorf("codec %q: %w", name, err)
	}
	if err := c.Check(r); err != nil {
		return nil, fmt.Errorf("codec %q: %w", name, err)
	}
	return trellisCodec{c, r}, nil
}

// trellisNames are the ones that Names lists: every code is parsed at any rate it has.
func trellisNames() []string {
	return []string{"tcq-lut7-3", "tcq-lut8-2.5", "tcq-lut12-2"}
}

func (c trellisCodec) Name() string { return trellisPrefix + c.code.Name() + "-" + c.rate.String() }

// Check accepts every shape.
func (c trellisCodec) Check(rows, cols int) error { return checkShape(rows, cols) }

func (c trellisCodec) Size(rows, cols int) int64 {
	return c.layout(rows, cols).bytes() + int64(rows) + 4
}

// trellisLayout says where the tiles of a matrix are.
type trellisLayout struct{ rows, cols, tileBytes int }

func (c trellisCodec) layout(rows, cols int) trellisLayout {
	return trellisLayout{rows, cols, c.rate.TileBytes()}
}

// trellisBand is a band of rows: height of them, 16, 32 or 64, of which the matrix may have fewer; its tiles begin at byte start.
type trellisBand struct {
	r0, r1, height int
	tiles          int // across
	start          int
}

// width returns the columns of a tile.
func (b trellisBand) width() int { return trellis.TileWeights / b.height }

// tall returns how many bands of 64 rows there are: up to 48 rows that remain, padded, are smaller bands.
func (l trellisLayout) tall() int { return (l.rows + 15) / 64 }

// bands returns how many bands there are.
func (l trellisLayout) bands() int {
	rest := (l.rows + 15) / 16 % 4
	return l.tall() + rest/2 + rest%2
}

// tilesAcross returns how many tiles a band of some height has.
func (l trellisLayout) tilesAcross(height int) int {
	width := trellis.TileWeights / height
	return l.cols/width + (l.cols%width+width-1)/width
}

// band returns band i.
func (l trellisLayout) band(i int) trellisBand {
	tall := l.tall()
	across := l.tilesAcross(64)
	if i < tall {
		return trellisBand{i * 64, min(l.rows, i*64+64), 64, across, i * across * l.tileBytes}
	}
	rest := (l.rows + 15) / 16 % 4
	r0, start := tall*64, tall*across*l.tileBytes
	if rest >= 2 {
		wide := trellisBand{r0, min(l.rows, r0+32), 32, l.tilesAcross(32), start}
		if i == tall {
			return wide
		}
		r0, start = r0+32, start+wide.tiles*l.tileBytes
	}
	return trellisBand{r0, l.rows, 16, l.tilesAcross(16), start}
}

// bandOf returns the band that holds row r.
func (l trellisLayout) bandOf(r int) int {
	i := min(r/64, l.tall())
	if l.band(i).r1 <= r {
		i++
	}
	return i
}

// bytes returns the size of all tiles.
func (l trellisLayout) bytes() int64 {
	n := l.bands()
	if n == 0 {
		return 0
	}
	last := l.band(n - 1)
	return int64(last.start) + int64(last.tiles)*int64(l.tileBytes)
}

// place returns the row and column of weight i of a tile of b: groups of 16 rows × 4 columns, row by row, one below the other and
// then to the right.
func (b trellisBand) place(i int) (row, col int) {
	group, stack := i/64, b.height/16
	return group%stack*16 + i%64/4, group/stack*4 + i%4
}

// trellisScale is a row's scale, base · 2^(−code/16), rounded to float32 twice; 0 for code 255.
func trellisScale(base float32, code uint8) float32 {
	if code == zeroRow {
		return 0
	}
	return float32(base*sixteenth(int(code&15))) / float32(int(1)<<(code>>4))
}

// zeroRow is the code of a row of zeros.
const zeroRow = 255

// sixteenth returns 2^(−i/16), i in 0 … 15.
func sixteenth(i int) float32 {
	return [16]float32{1, 0.95760328, 0.91700404, 0.87812608, 0.84089642, 0.80524517, 0.77110541, 0.73841307,
		0.70710678, 0.67712777, 0.64841978, 0.62092891, 0.59460356, 0.56939432, 0.54525387, 0.52213689}[i]
}

// tilesPart names the part of tiles: tables that changed have a name of their own, so that bits chosen for others are refused.
func (c trellisCodec) tilesPart() string {
	if n := c.code.Edition(); n > 1 {
		return fmt.Sprint("tiles", n)
	}
	return "tiles"
}

// Open checks lengths before anything else, and that no scale can make a weight infinite.
func (c trellisCodec) Open(rows, cols int, parts []Part) (Term, error) {
	if err := checkShape(rows, cols); err != nil {
		return nil, err
	}
	if rows > 1<<40 || cols > 1<<40 {
		return nil, fmt.Errorf("shape (%d, %d) is too large for %s: the file is damaged", rows, cols, c.Name())
	}
	if len(parts) > 0 && strings.HasPrefix(parts[0].Name, "tiles") && parts[0].Name != c.tilesPart() {
		return nil, fmt.Errorf("part %q is of other tables than this pith has for %s (%q): compress again, or use the pith that wrote it", parts[0].Name, c.Name(), c.tilesPart())
	}
	if err := checkParts(parts, partSpec{c.tilesPart(), tensor.U8}, partSpec{"scales", tensor.U8}, partSpec{"base", tensor.F32}); err != nil {
		return nil, err
	}
	for i, n := range []int64{c.layout(rows, cols).bytes(), int64(rows), 4} {
		if err := checkLength(parts[i], n); err != nil {
			return nil, err
		}
	}
	var base [1]float32
	tensor.Decode(base[:], tensor.F32, parts[2].Data, 0)
	if !(base[0] >= 0 && base[0] <= largestScale) {
		return nil, fmt.Errorf("part %q is %g, want 0 to %g: the file is damaged", "base", base[0], largestScale)
	}
	return newTrellisTerm(c, rows, cols, parts[0].Data, parts[1].Data, base[0]), nil
}

// largestScale keeps 16-bit values times a row's scale finite.
const largestScale = 0x1p110
