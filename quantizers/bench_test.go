package quantizers

import (
	"fmt"
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

// BenchmarkLDLQ measures one core's rounding with feedback, the factor of the Gram matrix made before.
func BenchmarkLDLQ(b *testing.B) {
	const rows, cols = 128, 2048
	w := gaussian(1, rows, cols)
	stats := correlated(2, cols, 64)
	for _, name := range []string{"int4-g128", "q4_k", "tcq-lut8-2"} {
		c, err := codec.Parse(name)
		if err != nil {
			b.Fatal(err)
		}
		for _, q := range []LDLQ{{Codec: c}, {Codec: c, Refit: true}, {Codec: c, Sweeps: 1}} {
			b.Run(fmt.Sprintf("%s/refit=%t/sweeps=%d", name, q.Refit, q.Sweeps), func(b *testing.B) {
				for b.Loop() {
					if _, _, err := q.Solve(approx.Problem{W: w, Stats: stats}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)*rows*cols/1e6/b.Elapsed().Seconds(), "Mweights/s")
			})
		}
	}
}

// BenchmarkFactor measures what all weights that share an input share: Gram matrix → feedback.
func BenchmarkFactor(b *testing.B) {
	const cols = 1024
	stats := correlated(2, cols, 64)
	for b.Loop() {
		if _, why, err := factor(approx.Problem{W: tensor.Mat{Cols: cols}, Stats: stats}, defaultDamping, false); why != "" || err != nil {
			b.Fatal(why, err)
		}
	}
}

// BenchmarkCodebook measures one core's choice of tables and codes, the factor of the Gram matrix made before.
func BenchmarkCodebook(b *testing.B) {
	for _, cols := range []int{512, 2048} {
		const rows = 128
		w := gaussian(1, rows, cols)
		stats := correlated(2, cols, 64)
		for _, name := range []string{"sketch2-p1", "sketch3-p1", "sketch4-p1", "sketch4-p4", "jlcm3-k16", "jlcm4-k16"} {
			for _, rounds := range []int{0, 1, 4} {
				q := Codebook{Codec: parse(b, name), Rounds: rounds}
				b.Run(fmt.Sprintf("%s/cols=%d/rounds=%d", name, cols, rounds), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, _, err := q.Solve(approx.Problem{W: w, Stats: stats}); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/(rows*float64(cols)), "s/Mweight")
				})
			}
		}
	}
}
