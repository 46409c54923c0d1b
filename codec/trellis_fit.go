package codec

import (
	"fmt"
	"math"
	"sync"

	"pith/tensor"
	"pith/trellis"
)

// WholeOnly: a band's rows share tiles.
func (c trellisCodec) WholeOnly() bool { return true }

// largestWeight is the largest magnitude that Fit takes.
const largestWeight = 0x1p100

// Fit chooses the scale of each row from its root mean square: a trellis code serves one distribution, a Gaussian, best, which
// rows of rotated weights have. Search has nothing to add.
func (c trellisCodec) Fit(w tensor.Mat, _ []float32, o FitOptions) (Grid, error) {
	if err := c.Check(w.Rows, w.Cols); err != nil {
		return nil, err
	}
	if err := CheckFinite(w); err != nil {
		return nil, err
	}
	scales := make([]float32, w.Rows)
	var largest float32
	for r := range scales {
		var sum float64
		for col, v := range w.Row(r) {
			if v > largestWeight || v < -largestWeight {
				return nil, fmt.Errorf("weight at row %d, column %d is %g, too large for %s: use bf16", r, col, v, c.Name())
			}
			sum += float64(float64(v) * float64(v))
		}
		if sum > 0 {
			scales[r] = float32(math.Sqrt(sum/float64(w.Cols))) * float32(c.code.Gain(c.rate)*o.gain())
			largest = max(largest, scales[r])
		}
	}
	g := &trellisGrid{trellisCodec: c, trellisLayout: c.layout(w.Rows, w.Cols), base: min(2*largest, largestScale)}
	g.tiles = make([]byte, g.bytes())
	g.before = make([]byte, g.bytes())
	g.codes = make([]byte, w.Rows)
	for r, s := range scales {
		g.codes[r] = g.nearestCode(s)
	}
	g.encoders.New = func() any { return newTrellisEncoder(c) }
	return g, nil
}

// trellisGrid rounds tile after tile. Bands do not depend on one another.
type trellisGrid struct {
	trellisCodec
	trellisLayout
	base   float32
	codes  []byte // of rows' scales
	tiles  []byte
	before []byte // what the last Round of each tile replaced
	// encoders are *trellisEncoder; they remember nothing.
	encoders sync.Pool
}

// trellisEncoder is what one goroutine rounds tiles with.
type trellisEncoder struct {
	*trellis.Encoder
	*trellis.Decoder
	x [trellis.TileWeights]float32
}

func newTrellisEncoder(c trellisCodec) *trellisEncoder {
	return &trellisEncoder{Encoder: trellis.NewEncoder(c.code, c.rate), Decoder: c.tools().values}
}

// nearestCode returns the code of the scale nearest to s, zeroRow if that is 0.
func (g *trellisGrid) nearestCode(s float32) uint8 {
	best, least := uint8(zeroRow), s
	if s == 0 {
		return best
	}
	for code := range uint8(zeroRow) {
		if d := float32(math.Abs(float64(trellisScale(g.base, code) - s))); d < least {
			best, least = code, d
		}
	}
	return best
}

// Step is the width of the widest tile.
func (g *trellisGrid) Step() int {
	if n := g.bands(); n > 0 {
		return g.band(n - 1).width()
	}
	return 4
}

// Round rounds columns [c, c+Step) of every band.
func (g *trellisGrid) Round(w tensor.Mat, c int) {
	for i := range g.bands() {
		b := &roundedBand{g, g.band(i)}
		for at := c; at < min(c+g.Step(), g.cols); at += b.Step() {
			b.Round(w.Slice(b.r0, b.r1), at)
		}
	}
}

// Revert puts back what the last Round at c replaced.
func (g *trellisGrid) Revert(c int) {
	for i := range g.bands() {
		b := &roundedBand{g, g.band(i)}
		for at := c; at < min(c+g.Step(), g.cols); at += b.Step() {
			b.Revert(at)
		}
	}
}

// Bands returns the bands of rows.
func (g *trellisGrid) Bands() []Band {
	bands := make([]Band, g.bands())
	for i := range bands {
		bands[i] = &roundedBand{g, g.band(i)}
	}
	return bands
}

// Refit changes a row's scale; its codes stand for other values afterwards.
func (g *trellisGrid) Refit(row int, factor float32) float32 {
	old := trellisScale(g.base, g.codes[row])
	if old == 0 || !(factor > 0) {
		return 1
	}
	code := g.nearestCode(old * min(factor, 16))
	if code == zeroRow {
		return 1
	}
	g.codes[row] = code
	return trellisScale(g.base, code) / old
}

func (g *trellisGrid) Pack() Term {
	return newTrellisTerm(g.trellisCodec, g.rows, g.cols, g.tiles, g.codes, g.base)
}

// roundedBand is a band of a grid.
type roundedBand struct {
	grid *trellisGrid
	trellisBand
}

func (b *roundedBand) Rows() (int, int) { return b.r0, b.r1 }

// Step is the width of a tile.
func (b *roundedBand) Step() int { return b.width() }

// tile returns where the tile of columns from c on is among the grid's.
func (b *roundedBand) tile(c int) (from, to int) {
	if c < 0 || c%b.width() != 0 || c >= b.grid.cols {
		panic("codec: Round of columns that are no tile")
	}
	from = b.start + c/b.width()*b.grid.tileBytes
	return from, from + b.grid.tileBytes
}

// Round searches the tile nearest to columns [c, c+Step) of the band, in units of the rows' scales.
func (b *roundedBand) Round(w tensor.Mat, c int) {
	from, to := b.tile(c)
	if w.Rows != b.r1-b.r0 || w.Cols != b.grid.cols {
		panic("codec: Round of a matrix of another shape")
	}
	var scales [64]float32
	for r := range w.Rows {
		scales[r] = trellisScale(b.grid.base, b.grid.codes[b.r0+r])
	}
	e := b.grid.encoders.Get().(*trellisEncoder)
	defer b.grid.encoders.Put(e)
	for i := range e.x {
		r, at := b.place(i)
		e.x[i] = 0
		if r < w.Rows && c+at < w.Cols && scales[r] != 0 {
			e.x[i] = w.Row(r)[c+at] / scales[r]
		}
	}
	tile := b.grid.tiles[from:to]
	copy(b.grid.before[from:to], tile)
	e.Encode(tile, e.x[:])
	e.Decode(e.x[:], tile)
	for i, v := range e.x {
		if r, at := b.place(i); r < w.Rows && c+at < w.Cols {
			w.Row(r)[c+at] = float32(v * scales[r])
		}
	}
}

// Revert puts back the tile that the last Round at c replaced.
func (b *roundedBand) Revert(c int) {
	from, to := b.tile(c)
	copy(b.grid.tiles[from:to], b.grid.before[from:to])
}
