package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"pith/codec"
	"pith/eval"
	"pith/internal/human"
)

func benchCodecsCommand(s streams) *cobra.Command {
	var o eval.CodecOptions
	var names []string
	var bytes string
	var asJSON, sparse bool
	c := &cobra.Command{
		Use:   "codecs",
		Short: "Measure every codec: error on Gaussian weights, speed of encoding and of products",
		Long: `For every codec: bits per weight, mean squared error on unit Gaussian weights and its distance (dB) from the rate-distortion bound
2^(-2·bits), weights encoded a second and core, and weights a second of the product of packed weights with one token, on one core and on all.
Products run over --bytes of packed weights: the default does not fit most caches.

A sparse codec is measured beside the dense codec of its values, and how many times as fast its product is (on all cores) is another
column. --sparse measures sparse layouts at several sparsities and says from which on each is at least as fast as its dense codec.`,
		Example: "  pith bench codecs --codec tcq-lut8-2 --codec tcq-hash16-2\n  pith bench codecs --sparse\n  pith bench codecs --json > codecs.json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if bytes != "" {
				n, err := human.ParseSize(bytes)
				if err != nil {
					return fmt.Errorf("--bytes: %w", err)
				}
				o.Bytes = n
			}
			list := names
			switch {
			case sparse:
				list = append(list, eval.SparseCodecs()...)
			case len(list) == 0:
				list = codec.Names()
			}
			for _, name := range list {
				if _, err := codec.Parse(name); err != nil {
					return err
				}
			}
			return benchCodecs(c, s, eval.WithRivals(list), o, asJSON)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&names, "codec", nil, "measure this codec only; may be given more than once (default: all that pith lists)")
	f.BoolVar(&sparse, "sparse", false, "measure sparse codecs of several sparsities, and those of --codec")
	f.IntVar(&o.Samples, "samples", 0, "Gaussian weights to encode (default 1048576)")
	f.StringVar(&bytes, "bytes", "", "packed bytes that products run over (default 256MiB)")
	f.Uint64Var(&o.Seed, "seed", 0, "of the random weights")
	workersFlag(c, &o.Workers)
	jsonFlag(c, &asJSON)
	offer(c, "codec", codec.Names()...)
	return c
}

// benchCodecs measures the codecs one after another, with progress.
func benchCodecs(c *cobra.Command, s streams, names []string, o eval.CodecOptions, asJSON bool) error {
	m := newMeter(s.err, "bench", asJSON)
	var rows []eval.CodecRow
	for i, name := range names {
		m.update(int64(i), int64(len(names)), name)
		row, err := eval.MeasureCodec(c.Context(), name, o)
		if err != nil {
			m.finish()
			return err
		}
		rows = append(rows, row)
	}
	m.finish()
	eval.CompareDense(rows)
	if asJSON {
		return printJSON(s.out, rows)
	}
	t := human.NewTable("codec", ">bits/weight", ">MSE", ">gap dB", ">encode Mw/s", ">product Gw/s 1", ">all", ">GB/s", ">× dense")
	for _, r := range rows {
		t.Add(r.Codec, fmt.Sprintf("%.4f", r.BitsPerWeight), fmt.Sprintf("%.4g", r.MSE), fmt.Sprintf("%.2f", r.GapDB), fmt.Sprintf("%.3g", r.EncodeWPS/1e6),
			fmt.Sprintf("%.2f", r.DecodeWPS1/1e9), fmt.Sprintf("%.2f", r.DecodeWPSAll/1e9), fmt.Sprintf("%.2f", r.PackedGBs), vsDense(r))
	}
	if err := t.Print(s.out); err != nil {
		return err
	}
	for _, line := range eval.SparseVerdicts(rows) {
		if _, err := fmt.Fprintln(s.out, line); err != nil {
			return err
		}
	}
	return nil
}

// vsDense is a cell: how many times as fast as the dense codec of its values a sparse codec is.
func vsDense(r eval.CodecRow) string {
	if r.VsDense == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", r.VsDense)
}
