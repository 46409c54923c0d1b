package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/compress"
	"pith/observe"
	"pith/plan"
)

// calibrationFlags say where the statistics of a compression come from.
type calibrationFlags struct {
	texts      []string
	stats      string
	context    int
	windows    int
	sequential bool
	inOrder    func() bool // whether --sequential was given
}

func (f *calibrationFlags) add(c *cobra.Command) {
	p := c.Flags()
	p.StringSliceVar(&f.texts, "text", nil, "calibrate on this text file (may be given more than once); without text or statistics, compression is data-free")
	p.StringVar(&f.stats, "stats", "", "calibrate with the statistics that pith calibrate wrote, or with an importance matrix of llama.cpp")
	p.IntVar(&f.context, "ctx", 0, "with --text: tokens of a window (default 512, or the model's context)")
	p.IntVar(&f.windows, "chunks", 0, "with --text: windows to read (default all)")
	p.BoolVar(&f.sequential, "sequential", false, "with --text: each weight is fitted to what the compressed ones before it give, and makes up for their errors (default for ldlq and gptq; --sequential=false is faster and loses more)")
	f.inOrder = func() bool { return p.Changed("sequential") }
}

// given reports whether there will be statistics.
func (f *calibrationFlags) given() bool { return f.stats != "" || len(f.texts) > 0 }

func (f *calibrationFlags) check() error {
	switch {
	case f.stats != "" && len(f.texts) > 0:
		return errors.New("give --text or --stats, not both")
	case len(f.texts) == 0 && (f.context != 0 || f.windows != 0 || f.inOrder()):
		return errors.New("--ctx, --chunks and --sequential go with --text")
	}
	return nil
}

// record returns what the plan keeps of the calibration, nil if there is none. usesGram says whether there are methods that can make up for
// the errors of earlier weights.
func (f *calibrationFlags) record(usesGram bool) (*plan.Calibration, error) {
	switch {
	case f.stats != "":
		d, err := checkpoint.DigestFile(context.Background(), f.stats)
		if err != nil {
			return nil, fmt.Errorf("--stats: %w", err)
		}
		return &plan.Calibration{SHA256: d.SHA256}, nil
	case len(f.texts) > 0:
		h := sha256.New()
		for _, path := range f.texts {
			d, err := checkpoint.DigestFile(context.Background(), path)
			if err != nil {
				return nil, fmt.Errorf("--text: %w", err)
			}
			if err := json.NewEncoder(h).Encode(d.SHA256); err != nil {
				return nil, err
			}
		}
		sequential := f.sequential
		if !f.inOrder() {
			sequential = usesGram
		}
		return &plan.Calibration{SHA256: hex.EncodeToString(h.Sum(nil)), Texts: len(f.texts), Context: f.context, Windows: f.windows, Sequential: sequential}, nil
	}
	return nil, nil
}

// open returns the statistics that p asks for, nil if there are none, and a function that frees them.
func (f *calibrationFlags) open(ctx context.Context, ckpt *checkpoint.Checkpoint, p *plan.Plan, workers int) (compress.Statistics, func(), error) {
	switch {
	case f.stats != "":
		set, err := observe.OpenStats(f.stats, ckpt)
		if err != nil {
			return nil, nil, err
		}
		return compress.FromSet(set), func() { set.Close() }, nil
	case len(f.texts) > 0:
		texts, err := readTexts(f.texts)
		if err != nil {
			return nil, nil, err
		}
		sequential := p.Calibration != nil && p.Calibration.Sequential
		o, err := observe.New(ctx, ckpt, texts, observe.Options{Context: f.context, Windows: f.windows, Workers: workers, Drift: sequential, Tool: "pith " + version})
		if err != nil {
			return nil, nil, err
		}
		return compress.Observe(o, ckpt, sequential), o.Close, nil
	}
	return nil, func() {}, nil
}

// noStatistics is open for a plan that solves nothing.
func noStatistics(context.Context, *checkpoint.Checkpoint, *plan.Plan, int) (compress.Statistics, func(), error) {
	return nil, func() {}, nil
}

// readTexts reads the files of --text.
func readTexts(paths []string) ([]observe.Text, error) {
	var texts []observe.Text
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--text: %w", err)
		}
		texts = append(texts, observe.Text{Name: filepath.Base(path), Data: data})
	}
	return texts, nil
}
