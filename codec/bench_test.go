package codec_test

import (
	"math"
	"testing"
	"time"

	"pith/codec"
	"pith/codec/codectest"
	"pith/tensor"
)

// BenchmarkEncode measures what the loop does per core: stored F16 → float32 → scales → codes, in tiles of rows.
func BenchmarkEncode(b *testing.B) {
	const rows, cols = 64, 2048
	w := codectest.Matrix(1, rows, cols)
	stored := make([]byte, 2*rows*cols)
	tensor.Encode(stored, tensor.F16, w.Data)
	for _, name := range []string{"f16", "int4-g128", "int4-g32-asym", "int3-g128", "int8-g128"} {
		c, err := codec.Parse(name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				tensor.DecodeRows(w, tensor.F16, stored, 0)
				grid, err := c.Fit(w, nil, codec.FitOptions{})
				if err != nil {
					b.Fatal(err)
				}
				codectest.RoundAll(grid, w)
				grid.Pack()
			}
			b.ReportMetric(float64(b.N)*rows*cols/1e6/b.Elapsed().Seconds(), "Mweights/s")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	const rows, cols = 64, 2048
	w := codectest.Matrix(1, rows, cols)
	out := tensor.NewMat(rows, cols)
	for _, name := range []string{"f16", "bf16", "int8-g128", "int4-g128", "int3-g128", "q8_0", "q4_0", "q5_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"} {
		c, err := codec.Parse(name)
		if err != nil {
			b.Fatal(err)
		}
		grid, err := c.Fit(w, nil, codec.FitOptions{})
		if err != nil {
			b.Fatal(err)
		}
		codectest.RoundAll(grid, w)
		term := grid.Pack()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				term.AddTo(out, 0)
			}
			b.ReportMetric(float64(b.N)*rows*cols/1e6/b.Elapsed().Seconds(), "Mweights/s")
		})
	}
}

// BenchmarkOneToken measures the product with one token, split into the rows that one worker takes at once.
func BenchmarkOneToken(b *testing.B) {
	const rows, cols = 256, 2048
	w := codectest.Matrix(1, rows, cols)
	for _, name := range []string{"int2-g128", "int3-g128", "int4-g128", "int4-g128-asym", "int5-g128", "int6-g128", "int6-g32-asym", "int8-g128",
		"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"} {
		term := encode(b, name, w)
		in, y := codec.NewInput(codectest.Matrix(2, 1, cols)), tensor.NewMat(1, rows)
		b.Run(name, func(b *testing.B) {
			shortest := time.Duration(math.MaxInt64)
			for b.Loop() {
				start := time.Now()
				for r := 0; r < rows; r += 64 {
					term.MulAdd(y, in, r, r+64)
				}
				shortest = min(shortest, time.Since(start))
			}
			b.ReportMetric(rows*cols/float64(shortest.Nanoseconds()), "best-Gweights/s")
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, name := range []string{"int4-g128", "q4_k", "tcq-lut8-2.5-had", "nuq4-g64", "f16-2:4"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := codec.Parse(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
