package llama

import (
	"hash/fnv"
	"io"
	"math/rand/v2"

	"pith/internal/par"
	"pith/tensor"
)

// std is the standard deviation of the weights, the usual initial one of the architecture.
const std = 0.02

// chunk is how many weights share a random stream: the bytes do not depend on how many goroutines write them.
const chunk = 1 << 16

// writeWeights streams the elements of one tensor. Chunk i of a tensor is a PCG stream seeded by (seed, name, i).
func writeWeights(out io.Writer, w weight, o Options) error {
	mean := o.means(w)
	h := fnv.New64a()
	io.WriteString(h, w.name)
	nameSeed := h.Sum64()
	_, size := o.DType.Block()
	total := w.elements()
	const batch = 16 // chunks in memory at a time
	buf := make([]byte, batch*chunk*size)
	values := make([]float32, batch*chunk)
	for start := int64(0); start < total; start += batch * chunk {
		n := int(min(batch*chunk, total-start))
		par.Ranges(o.Workers, n, chunk, func(lo, hi int) {
			index := uint64(start/chunk) + uint64(lo/chunk)
			rng := rand.New(rand.NewPCG(nameSeed^o.Seed*0x9e3779b97f4a7c15, index))
			for i := lo; i < hi; i++ {
				v := float32(rng.NormFloat64() * std)
				if w.norm {
					v++
				}
				values[i] = v
			}
			if mean != nil {
				for i := lo; i < hi; i++ {
					values[i] = mean(values[i], start+int64(i))
				}
			}
			tensor.Encode(buf[lo*size:hi*size], o.DType, values[lo:hi])
		})
		if _, err := out.Write(buf[:n*size]); err != nil {
			return err
		}
	}
	return nil
}
