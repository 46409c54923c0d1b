//go:build !amd64 || noasm

package kernels

func rowBlocks64(_ level, out *[Rows64]float64, v, p []float64, f *[Rows64]float64, a []float64, ld, blocks int) {
	rowBlocks64Plain(out, v, p, f, a, ld, blocks)
}
