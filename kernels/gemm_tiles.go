package kernels

import "sync"

// tiles is a blocked matrix product around micro-kernels of up to mr × nr elements (Goto and van de Geijn, "Anatomy of
// high-performance matrix multiplication", 2008). Every element is summed in pieces of depthBlock columns, each piece from zero
// in order, whatever the other block sizes are; that makes results independent of m, n and the split.
type tiles struct {
	mr, nr int
	kernel []func(k int, a, b *float32, ldb int, c *float32, ldc int) // by rows used, 1…mr
}

const (
	depthBlock = 384  // columns of A and B packed at once: a panel of B is 48 KiB
	rowBlock   = 120  // rows of A packed at once, a multiple of every mr: 180 KiB
	colBlock   = 1536 // rows of B packed at once if many rows of A share them: 2.25 MiB
	colShort   = 128  // and if few do, so that they stay in the nearest caches
	maxTile    = 12 * 32
)

// packed is the scratch memory of one product.
type packed struct {
	a, b []float32
	tile [maxTile]float32
}

var packedPool = sync.Pool{New: func() any { return &packed{a: make([]float32, rowBlock*depthBlock)} }}

func (t *tiles) gemm(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int, transposed bool) {
	cols := colBlock
	if m <= rowBlock {
		cols = colShort
	}
	cols = min(cols, (n+t.nr-1)/t.nr*t.nr)
	s := packedPool.Get().(*packed)
	if len(s.b) < cols*depthBlock {
		s.b = make([]float32, cols*depthBlock)
	}
	for p := 0; p < k; p += depthBlock {
		kb := min(depthBlock, k-p)
		if m <= rowBlock {
			t.packA(s.a, a[p:], lda, m, kb)
		}
		first := 0
		if !transposed && m <= t.mr { // a single use does not pay for packing
			first = n - n%t.nr
			for j := 0; j < first; j += t.nr {
				t.kernel[m](kb, &s.a[0], &b[p*ldb+j], ldb, &c[j], ldc)
			}
		}
		for j := first; j < n; j += cols {
			nb := min(cols, n-j)
			if transposed {
				t.packNT(s.b, b[j*ldb+p:], ldb, nb, kb)
			} else {
				t.packNN(s.b, b[p*ldb+j:], ldb, nb, kb)
			}
			for i := 0; i < m; i += rowBlock {
				mb := min(rowBlock, m-i)
				if m > rowBlock {
					t.packA(s.a, a[i*lda+p:], lda, mb, kb)
				}
				t.block(c[i*ldc+j:], ldc, s, mb, nb, kb)
			}
		}
	}
	packedPool.Put(s)
}

// block adds the product of the packed (mb, kb) and (nb, kb) blocks to c.
func (t *tiles) block(c []float32, ldc int, s *packed, mb, nb, kb int) {
	for j := 0; j < nb; j += t.nr {
		width := min(t.nr, nb-j)
		for i := 0; i < mb; i += t.mr {
			height := min(t.mr, mb-i)
			if width == t.nr {
				t.kernel[height](kb, &s.a[i*kb], &s.b[j*kb], t.nr, &c[i*ldc+j], ldc)
				continue
			}
			for r := range height {
				copy(s.tile[r*t.nr:], c[(i+r)*ldc+j:(i+r)*ldc+j+width])
			}
			t.kernel[height](kb, &s.a[i*kb], &s.b[j*kb], t.nr, &s.tile[0], t.nr)
			for r := range height {
				copy(c[(i+r)*ldc+j:(i+r)*ldc+j+width], s.tile[r*t.nr:])
			}
		}
	}
}

// packA lays out the (mb, kb) block as panels of mr rows, column by column; rows missing from the last panel are never read.
func (t *tiles) packA(dst, a []float32, lda, mb, kb int) {
	for i := 0; i < mb; i += t.mr {
		transpose(dst[i*kb:], t.mr, a[i*lda:], lda, min(t.mr, mb-i), kb)
	}
}

// packNT lays out the (nb, kb) block as panels of nr rows, column by column; missing rows are zero.
func (t *tiles) packNT(dst, b []float32, ldb, nb, kb int) {
	for j := 0; j < nb; j += t.nr {
		panel, rows := dst[j*kb:(j+t.nr)*kb], min(t.nr, nb-j)
		if rows < t.nr {
			clear(panel)
		}
		transpose(panel, t.nr, b[j*ldb:], ldb, rows, kb)
	}
}

// packNN lays out the (kb, nb) block of a matrix that is not transposed as packNT does.
func (t *tiles) packNN(dst, b []float32, ldb, nb, kb int) {
	for j := 0; j < nb; j += t.nr {
		panel, width := dst[j*kb:(j+t.nr)*kb], min(t.nr, nb-j)
		for p := range kb {
			clear(panel[p*t.nr+copy(panel[p*t.nr:(p+1)*t.nr], b[p*ldb+j:p*ldb+j+width]) : (p+1)*t.nr])
		}
	}
}

// Transpose writes dst[p*dstStride+i] = src[i*srcStride+p] for i < rows and p < cols.
func Transpose(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if tileKernels(chosen) == nil {
		transposePlain(dst, dstStride, src, srcStride, rows, cols)
		return
	}
	transpose(dst, dstStride, src, srcStride, rows, cols)
}

// transposePlain writes dst[p*dstStride+i] = src[i*srcStride+p] for i < rows and p < cols.
func transposePlain(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	for i := range rows {
		for p, v := range src[i*srcStride : i*srcStride+cols] {
			dst[p*dstStride+i] = v
		}
	}
}
