package codec_test

import (
	"bytes"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
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

// BenchmarkGroupOrder multiplies rows that share tables by one token: rows of a group one after another, and in any order.
func BenchmarkGroupOrder(b *testing.B) {
	const rows, cols, width = 2048, 2048, 3
	for _, groups := range []int{16, 64, 256} {
		sorted := make([]int, rows)
		for r := range sorted {
			sorted[r] = r * groups / rows
		}
		shuffled := slices.Clone(sorted)
		rand.New(rand.NewPCG(1, 7)).Shuffle(rows, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for name, order := range map[string][]int{"sorted": sorted, "shuffled": shuffled} {
			each := bits.Len(uint(groups - 1))
			numbers := make([]byte, rows*each/8)
			for r, g := range order {
				for i := range each {
					numbers[(r*each+i)/8] |= byte(g>>i&1) << ((r*each + i) % 8)
				}
			}
			c, err := codec.Parse(fmt.Sprintf("jlcm%d-k%d", width, groups))
			if err != nil {
				b.Fatal(err)
			}
			term, err := c.Open(rows, cols, []codec.Part{
				{Name: "codes", DType: tensor.U8, Shape: []int{rows, cols * width / 8}, Data: make([]byte, rows*cols*width/8)},
				{Name: "tables", DType: tensor.F16, Shape: []int{groups, 1 << width}, Data: bytes.Repeat([]byte{0, 0x3c}, groups<<width)},
				{Name: "groups", DType: tensor.U8, Shape: []int{len(numbers)}, Data: numbers},
			})
			if err != nil {
				b.Fatal(err)
			}
			in, y := codec.NewInput(codectest.Matrix(2, 1, cols)), tensor.NewMat(1, rows)
			b.Run(fmt.Sprintf("%d/%s", groups, name), func(b *testing.B) {
				shortest := time.Duration(math.MaxInt64)
				for b.Loop() {
					start := time.Now()
					term.MulAdd(y, in, 0, rows)
					shortest = min(shortest, time.Since(start))
				}
				b.ReportMetric(rows*cols/float64(shortest.Nanoseconds()), "best-Gweights/s")
			})
		}
	}
}
