//go:build !amd64 || noasm

package kernels

func trellisPathOf(level, *TrellisDecoder) trellisPath { return trellisPlain }

func trellisBlocks(trellisPath, *TrellisDecoder, *[64]float32, []byte, int, []int8, []float32, []int32, *trellisHeight) {
}
