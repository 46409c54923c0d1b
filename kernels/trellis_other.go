//go:build !amd64 || noasm

package kernels

func trellisPathOf(level, *TrellisDecoder) trellisPath { return trellisPlain }

func trellisBlocks(trellisPath, *TrellisDecoder, *[64]float32, []byte, int, []int8, []float32, []int32, *trellisHeight) {
}

func trellisBytes(trellisPath, *TrellisDecoder, *int8, []byte, int) {}

func trellisRows(trellisPath, []float32, int, int, []int8, int, int, []float32) int { return 0 }
