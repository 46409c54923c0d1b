package eval

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"pith/codec"
	"pith/tensor"
)

// CodecRow is what one codec makes of Gaussian weights, and how fast.
type CodecRow struct {
	Codec         string  `json:"codec"`
	BitsPerWeight float64 `json:"bits_per_weight"` // exact, scales included, of rows of codecCols
	MSE           float64 `json:"mse"`             // mean (w − ŵ)² of unit Gaussian weights
	GapDB         float64 `json:"gap_db"`          // 10·log10(MSE / 2^(-2·bits)): distance to the rate-distortion bound of a Gaussian source
	EncodeWPS     float64 `json:"encode_wps"`      // weights a second and core, rounding to nearest
	DecodeWPS1    float64 `json:"decode_wps_1"`    // weights a second of the product with one token, one core
	DecodeWPSAll  float64 `json:"decode_wps_all"`  // the same on all workers
	PackedGBs     float64 `json:"packed_gbps"`     // stored gigabytes a second of that product on all workers

	// Of sparse codecs (CompareDense).
	Sparsity       float64 `json:"sparsity,omitempty"`         // share of weights that are not stored
	Dense          string  `json:"dense_codec,omitempty"`      // the codec of the values
	VsDense        float64 `json:"vs_dense,omitempty"`         // DecodeWPSAll over the dense codec's
	BeatsDenseFrom float64 `json:"beats_dense_from,omitempty"` // the lowest measured sparsity from which on this layout is never slower
	layout         string  // codecs that differ in sparsity only
}

// CodecOptions say how codecs are measured.
type CodecOptions struct {
	Samples int   // Gaussian weights to round; 0: 2^20
	Bytes   int64 // of packed weights that products run over, so that they come from memory; 0: 256 MiB
	Workers int   // of the product on all cores; 0: one per CPU
	Seed    uint64
}

// codecCols is the length of the rows that codecs are measured on.
const codecCols = 4096

// MeasureCodec measures one codec.
func MeasureCodec(ctx context.Context, name string, o CodecOptions) (CodecRow, error) {
	if o.Samples <= 0 {
		o.Samples = 1 << 20
	}
	if o.Bytes <= 0 {
		o.Bytes = 256 << 20
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	c, err := codec.Parse(name)
	if err != nil {
		return CodecRow{}, err
	}
	rows := max(64, (o.Samples/codecCols+63)/64*64)
	w := tensor.NewMat(rows, codecCols)
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	for i := range w.Data {
		w.Data[i] = float32(rng.NormFloat64())
	}
	row := CodecRow{Codec: name, BitsPerWeight: 8 * float64(c.Size(rows, codecCols)) / float64(len(w.Data))}
	row.describe(c)
	if err := ctx.Err(); err != nil {
		return row, err
	}
	start := time.Now()
	term, err := pack(c, w, 1)
	if err != nil {
		return row, fmt.Errorf("bench %s: %w", name, err)
	}
	row.EncodeWPS = float64(len(w.Data)) / time.Since(start).Seconds()
	row.MSE = meanSquare(w, term)
	row.GapDB = 10 * math.Log10(row.MSE/math.Exp2(-2*row.BitsPerWeight))
	if err := ctx.Err(); err != nil {
		return row, err
	}
	return row, row.decode(c, w, o)
}

// meanSquare returns the mean of (w − term)².
func meanSquare(w tensor.Mat, term codec.Term) float64 {
	var sum float64
	got := tensor.NewMat(min(64, w.Rows), w.Cols)
	for r0 := 0; r0 < w.Rows; r0 += got.Rows {
		part := got.Slice(0, min(got.Rows, w.Rows-r0))
		codec.Read(term, part, r0)
		for r := range part.Rows {
			for i, v := range part.Row(r) {
				d := float64(v) - float64(w.Row(r0 + r)[i])
				sum += d * d
			}
		}
	}
	return sum / float64(len(w.Data))
}

// decode times the product with one token over as many packed bytes as asked for.
func (row *CodecRow) decode(c codec.Codec, w tensor.Mat, o CodecOptions) error {
	weights, err := row.weights(c, w, o.Bytes)
	if err != nil {
		return err
	}
	x, y := tensor.Of(1, codecCols, w.Data[:codecCols]), tensor.NewMat(1, weights[0].Rows)
	n, size := 0.0, 0.0
	for _, weight := range weights {
		n, size = n+float64(weight.Rows)*codecCols, size+float64(weight.Bytes())
	}
	multiply := func(workers int) func() {
		return func() {
			for _, weight := range weights {
				codec.MatMul(y, codec.NewInput(x), weight, workers)
			}
		}
	}
	row.DecodeWPS1 = n / best(multiply(1))
	seconds := best(multiply(o.Workers))
	row.DecodeWPSAll, row.PackedGBs = n/seconds, size/seconds/1e9
	return nil
}

// weights returns matrices of one shape that take about so many packed bytes: one tall one of w repeated, or several square ones of random terms where
// matrices are factors.
func (row *CodecRow) weights(c codec.Codec, w tensor.Mat, size int64) (list []*codec.Weight, err error) {
	switch c.(type) {
	case codec.LowRank, codec.Sum:
		for n := max(1, size/max(1, c.Size(codecCols, codecCols))); n > 0; n-- {
			term, err := randomTerm(c, codecCols, codecCols)
			if err != nil {
				return nil, err
			}
			list = append(list, &codec.Weight{Name: row.Codec, Rows: codecCols, Cols: codecCols, Terms: codec.Terms(term)})
		}
		return list, nil
	}
	term, rows, err := repeat(c, w.Slice(0, 64), size)
	return []*codec.Weight{{Name: row.Codec, Rows: rows, Cols: codecCols, Terms: []codec.Term{term}}}, err
}

// repeat packs w and stacks the packed rows until they take about so many bytes: products do not care what the weights are, and encoding
// that many would take hours with the slowest codecs. Parts that do not grow with the rows (a table, a common scale) are not repeated.
func repeat(c codec.Codec, w tensor.Mat, size int64) (codec.Term, int, error) {
	term, err := pack(c, w, 1)
	if err != nil {
		return nil, 0, err
	}
	times := int(max(1, size/max(1, term.Bytes())))
	if _, ok := c.(codec.Sparse); ok {
		big, err := codec.Concat(slices.Repeat([]codec.Term{term}, times))
		return big, w.Rows * times, err
	}
	if stacked, ok := term.(interface{ Stacked(times int) codec.Term }); ok {
		return stacked.Stacked(times), w.Rows * times, nil
	}
	twice, err := pack(c, tensor.Of(2*w.Rows, w.Cols, slices.Concat(w.Data, w.Data)), 1)
	if err != nil {
		return nil, 0, err
	}
	parts, more := term.Parts(), twice.Parts()
	for i, p := range parts {
		if len(more[i].Data) == len(p.Data) {
			continue
		}
		parts[i].Data = bytes.Repeat(p.Data, times)
		parts[i].Shape = append([]int{p.Shape[0] * times}, p.Shape[1:]...)
	}
	big, err := c.Open(w.Rows*times, w.Cols, parts)
	return big, w.Rows * times, err
}
