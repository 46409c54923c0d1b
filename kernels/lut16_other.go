//go:build !amd64 || noasm

package kernels

func (t *Tables) vector(level, []byte, int, *Q8) (float32, bool) { return 0, false }

func lookUpBlocks(level, []float32, []byte, *[16]float32, int) {}
