//go:build !amd64 || noasm

package kernels

func rotateChain64(_ level, z []float64, ld int, cs []float64) { rotateChain64Plain(z, ld, cs) }

func rotateChainDown64(_ level, z []float64, ld int, cs []float64) {
	rotateChainDown64Plain(z, ld, cs)
}

func dotBlocks64(_ level, x, y []float64, blocks int) float64 { return dot64Plain(x, y, blocks) }

func rank2Sub64(_ level, y []float64, f float64, x []float64, g float64, w []float64, blocks int) {
	rank2Sub64Plain(y[:blocks*block64], f, x, g, w, 0)
}
