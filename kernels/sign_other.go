//go:build !amd64 || noasm

package kernels

func signRows(level, []float32, []byte, int, []float32, int) int { return 0 }

func signRowsFour(level, []float32, []byte, int, []float32, int, int) int { return 0 }

func addSignedBlocks(level, []float32, []byte, []float32, []float32) int { return 0 }

func mulInto(_ level, dst, x []float32) { mulPlain(dst, x) }
