package pruning_test

import (
	"testing"

	"pith/quantizers"
)

// BenchmarkPrune measures methods on a weight of 256 × 1024, the factor of the Gram matrix made before.
func BenchmarkPrune(b *testing.B) {
	p := problem(40, 256, 1024)
	p.Workers = 1
	for _, m := range []struct {
		name, parts, codec string
		joint              bool
	}{
		{"magnitude", "magnitude matrix zero", "f16-s50", false}, {"wanda", "wanda row zero", "f16-s50", false},
		{"sparsegpt", "obs block obs", "f16-s50", false}, {"sparsegpt-2:4", "obs - obs", "f16-2:4", false}, {"sparsegpt-int4-2:4", "obs - obs_refit", "int4-g128-2:4", true},
		{"surgeon", "obs-all row gradual", "f16-s50", false}, {"surgeon-2:4", "obs - obs_refit", "f16-2:4", false},
	} {
		b.Run(m.name, func(b *testing.B) {
			method := method(b, m.parts, m.codec)
			if m.joint {
				method.Round = quantizers.LDLQ{Codec: method.Codec, Search: true, Ordered: true, Refit: true, Sweeps: 4}
			}
			mustSolve(b, method, p)
			for b.Loop() {
				mustSolve(b, method, p)
			}
			b.ReportMetric(float64(b.N)*256*1024/b.Elapsed().Seconds()/1e6, "Mweights/s")
		})
	}
}
