package quantizers

import (
	"testing"

	"pith/approx"
	"pith/codec"
	"pith/tensor"
)

// BenchmarkNearest measures a core's share of the loop: stored F16 → float32 → scales → codes → reported error, in tiles of rows.
func BenchmarkNearest(b *testing.B) {
	const rows, cols = 64, 2048
	w := gaussian(1, rows, cols)
	stored := make([]byte, 2*rows*cols)
	tensor.Encode(stored, tensor.F16, w.Data)
	for _, name := range []string{"bf16", "int4-g128", "int4-g32-asym", "int3-g128", "int8-g128", "q8_0", "q4_0", "q4_k", "q6_k"} {
		c, err := codec.Parse(name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				tensor.DecodeRows(w, tensor.F16, stored, 0)
				if _, _, err := (Nearest{Codec: c}).Solve(approx.Problem{W: w}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*rows*cols/1e6/b.Elapsed().Seconds(), "Mweights/s")
		})
	}
}
