//go:build !amd64 || noasm

package kernels

func (t *Tables) vector(level, []byte, int, *TableInput) (float32, bool) { return 0, false }

func (t *Tables) arrange(level, *Q8) *[]byte { return nil }

func lookUpBlocks(level, []float32, []byte, *[16]float32, int) {}
