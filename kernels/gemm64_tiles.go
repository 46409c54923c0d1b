package kernels

import "sync"

// tiles64 is the blocked float64 product around micro-kernels of up to lanes × 3·lanes elements that start from what is in C: the
// order of an element's products is that of the definition whatever the blocks are. Operands are packed from either type.
type tiles64 struct {
	lanes  int
	kernel []func(k int, a, b, c *float64, ldc, grow int) // by rows used, 1…lanes
	widen  func(dst *float64, dstStride int, src *float32, srcStride, rows int)
}

const (
	depth64   = 128 // products packed at once: a panel of B is 24 KiB
	rows64    = 96  // rows of C packed at once: 96 KiB
	columns64 = 768 // columns of C packed at once: 768 KiB
	vectors64 = 3   // of a micro-kernel's width
	maxTile64 = 8 * vectors64 * 8
)

// operand64 is the rows of A or Bᵀ: element (i, p) is wide[i*ld+p], its sign changed if it is subtracted, or across[p*ld+i], or narrow[p*ld+i].
type operand64 struct {
	wide     []float64
	across   []float64
	narrow   []float32
	ld       int
	subtract bool
}

// target64 is C: a matrix of n columns with row stride ld, or the packed lower triangle, where ld is 0.
type target64 struct {
	c     []float64
	ld, n int
}

// row returns the position of row i and how many columns it has.
func (o target64) row(i int) (at, columns int) {
	if o.ld == 0 {
		return i * (i + 1) / 2, i + 1
	}
	return i * o.ld, o.n
}

// stride returns the distance from row i to the next and by how much that grows from row to row.
func (o target64) stride(i int) (ld, grow int) {
	if o.ld == 0 {
		return i + 1, 1
	}
	return o.ld, 0
}

// packed64 is the scratch memory of one product.
type packed64 struct {
	a, b []float64
	tile [maxTile64]float64
}

var packedPool64 = sync.Pool{New: func() any { return &packed64{a: make([]float64, rows64*depth64)} }}

// product adds the product of k columns of a and b to rows r0 … r1-1 of c.
func (t *tiles64) product(c target64, a, b operand64, r0, r1, k int) {
	s := packedPool64.Get().(*packed64)
	defer packedPool64.Put(s)
	width := vectors64 * t.lanes
	_, n := c.row(r1 - 1) // the last row is the longest
	block := min(columns64, (n+width-1)/width*width)
	if len(s.b) < block*depth64 {
		s.b = make([]float64, block*depth64)
	}
	for p := 0; p < k; p += depth64 {
		kb := min(depth64, k-p)
		for j := 0; j < n; j += columns64 {
			nb := min(columns64, n-j)
			t.pack(s.b, b, width, j, nb, p, kb)
			first := r0
			if c.ld == 0 {
				first = max(r0, j) // rows above have no column j
			}
			for i := first; i < r1; i += rows64 {
				mb := min(rows64, r1-i)
				t.pack(s.a, a, t.lanes, i, mb, p, kb)
				t.block(c, s, i, mb, j, nb, kb)
			}
		}
	}
}

// block adds the product of packed (mb, kb) and (nb, kb) blocks at row i0 and column j0.
func (t *tiles64) block(c target64, s *packed64, i0, mb, j0, nb, kb int) {
	width := vectors64 * t.lanes
	for j := 0; j < nb; j += width {
		b := &s.b[j*kb]
		for i := 0; i < mb; i += t.lanes {
			height := min(t.lanes, mb-i)
			row := i0 + i
			if _, columns := c.row(row + height - 1); columns <= j0+j {
				continue // above the diagonal
			}
			at, columns := c.row(row)
			if columns >= j0+j+width {
				ld, grow := c.stride(row)
				t.kernel[height](kb, &s.a[i*kb], b, &c.c[at+j0+j], ld, grow)
				continue
			}
			t.edge(c, s, row, height, j0+j, kb, &s.a[i*kb], b)
		}
	}
}

// edge is a tile some of whose columns do not exist.
func (t *tiles64) edge(c target64, s *packed64, row, height, column, kb int, a, b *float64) {
	width := vectors64 * t.lanes
	part := func(r int) []float64 {
		at, columns := c.row(row + r)
		return c.c[at+min(column, columns) : at+min(column+width, columns)]
	}
	for r := range height {
		copy(s.tile[r*width:], part(r))
	}
	t.kernel[height](kb, a, b, &s.tile[0], width, 0)
	for r := range height {
		copy(part(r), s.tile[r*width:])
	}
}

// pack lays out kb columns from p of count rows from i as panels of width rows, column by column. What the last
// panel has for missing rows is whatever was there: nothing made of it is used.
func (t *tiles64) pack(dst []float64, o operand64, width, i, count, p, kb int) {
	for r := 0; r < count; r += width {
		panel, height := dst[r*kb:], min(width, count-r)
		switch {
		case o.wide != nil:
			o.packWide(panel, width, i+r, height, p, kb)
		case o.across != nil:
			for q := range kb {
				copy(panel[q*width:][:height], o.across[(p+q)*o.ld+i+r:])
			}
		default:
			t.packNarrow(panel, o, width, i+r, height, p, kb)
		}
	}
}

func (o operand64) packWide(panel []float64, width, i, height, p, kb int) {
	sign := uint64(0)
	if o.subtract {
		sign = 1 << 63
	}
	r := 0
	for ; height-r >= 4 && kb >= 4; r += 4 {
		transpose64(&panel[r], width, &o.wide[(i+r)*o.ld+p], o.ld, kb/4, sign)
		for q := kb &^ 3; q < kb; q++ {
			for h := range 4 {
				panel[q*width+r+h] = o.signed(o.wide[(i+r+h)*o.ld+p+q])
			}
		}
	}
	for ; r < height; r++ {
		for q, v := range o.wide[(i+r)*o.ld+p:][:kb] {
			panel[q*width+r] = o.signed(v)
		}
	}
}

func (o operand64) signed(v float64) float64 {
	if o.subtract {
		return -v
	}
	return v
}

func (t *tiles64) packNarrow(panel []float64, o operand64, width, i, height, p, kb int) {
	r := 0
	for ; height-r >= t.lanes; r += t.lanes {
		t.widen(&panel[r], width, &o.narrow[p*o.ld+i+r], o.ld, kb)
	}
	if r < height {
		for q := range kb {
			for h, v := range o.narrow[(p+q)*o.ld+i+r:][:height-r] {
				panel[q*width+r+h] = float64(v)
			}
		}
	}
}
