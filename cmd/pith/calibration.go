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

	"pith/calib"
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
	probed     bool           // with stats, the texts are for --probe only
	inOrder    func() bool    // whether --sequential was given
	note       string         // what a reader of the result should know of the statistics
	read       []observe.Text // what the files of texts hold, once somebody asked: a pipe can be read once
}

func (f *calibrationFlags) add(c *cobra.Command) {
	p := c.Flags()
	p.StringArrayVar(&f.texts, "text", nil, "calibrate on this text file (may be given more than once); without text or statistics, compression is data-free; with --stats and --probe, probe on it")
	p.StringVar(&f.stats, "stats", "", "calibrate with the statistics that pith calibrate wrote, or with an importance matrix of llama.cpp")
	p.IntVar(&f.context, "ctx", 0, "with --text: tokens of a window (default 512, or the model's context)")
	p.IntVar(&f.windows, "chunks", 0, "with --text: windows to read (default all)")
	p.BoolVar(&f.sequential, "sequential", false, "with --text: each weight is fitted to what the compressed ones before it give, and makes up for their errors (default for ldlq, gptq, sparsegpt and surgeon; --sequential=false is faster and loses more)")
	f.inOrder = func() bool { return p.Changed("sequential") }
}

// given reports whether there will be statistics.
func (f *calibrationFlags) given() bool { return f.stats != "" || len(f.texts) > 0 }

func (f *calibrationFlags) check() error {
	switch {
	case f.stats != "" && len(f.texts) > 0 && !f.probed:
		return errors.New("give --text or --stats, not both; both go with --probe, which reads the text")
	case f.stats != "" && len(f.texts) > 0 && (f.windows != 0 || f.inOrder()):
		return errors.New("with --stats, only --probe reads --text, and says how many windows: leave out --chunks and --sequential")
	case len(f.texts) == 0 && (f.context != 0 || f.windows != 0 || f.inOrder()):
		return errors.New("--ctx, --chunks and --sequential go with --text")
	case f.context < 0 || f.windows < 0:
		return errors.New("--ctx and --chunks are numbers of tokens and windows; 0 is the default")
	}
	return nil
}

// record returns what the plan keeps of the calibration, nil if there is none. usesGram says whether there are methods that can make up for
// the errors of earlier weights.
func (f *calibrationFlags) record(usesGram bool) (*plan.Calibration, error) {
	switch {
	case f.stats != "":
		if info, err := os.Stat(f.stats); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("--stats %s: is not a regular file; give a file that pith calibrate wrote", f.stats)
		}
		d, err := checkpoint.DigestFile(context.Background(), f.stats)
		if err != nil {
			return nil, fmt.Errorf("--stats: %w; give a file that pith calibrate wrote", err)
		}
		return &plan.Calibration{SHA256: d.SHA256}, nil
	case len(f.texts) > 0:
		texts, err := f.contents()
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		for _, t := range texts {
			sum := sha256.Sum256(t.Data)
			if err := json.NewEncoder(h).Encode(hex.EncodeToString(sum[:])); err != nil {
				return nil, err
			}
		}
		sequential := f.sequential
		if f.inOrder == nil || !f.inOrder() {
			sequential = usesGram
		}
		return &plan.Calibration{SHA256: hex.EncodeToString(h.Sum(nil)), Texts: len(f.texts), Context: f.context, Windows: f.windows, Sequential: sequential}, nil
	}
	return nil, nil
}

// contents returns what the files of --text hold.
func (f *calibrationFlags) contents() (texts []observe.Text, err error) {
	if f.read == nil {
		f.read, err = readTexts(f.texts)
	}
	return f.read, err
}

// reading returns about what will be read of the texts; where the checkpoint does not say how to read, four bytes are taken to make a token.
func (f *calibrationFlags) reading(ckpt *checkpoint.Checkpoint) (plan.Reading, error) {
	if f.stats != "" {
		return plan.Reading{}, nil
	}
	texts, err := f.contents()
	if err != nil || len(texts) == 0 {
		return plan.Reading{}, err
	}
	var r plan.Reading
	if config, err := ckpt.Config(); err == nil {
		r.Heads = config.Heads
	}
	if r.Tokens, r.Context, err = observe.Estimate(ckpt, texts, f.context, f.windows); err == nil {
		return r, nil
	}
	r.Tokens, r.Context = 0, 512
	for _, t := range texts {
		r.Tokens += int64(len(t.Data)) / 4
	}
	return r, nil
}

// agree compares a saved plan, whose weights were given methods for its statistics, with the flags, and gives each what it lacks.
func (f *calibrationFlags) agree(p *plan.Plan) error {
	given, err := f.record(p.UsesGram())
	switch {
	case err != nil:
		return err
	case p.Calibration == nil:
		p.Calibration = given
		return nil
	case given == nil:
		return fmt.Errorf("the plan was made with statistics (sha256 %.12s…): give the same --text or --stats again", p.Calibration.SHA256)
	case given.SHA256 != p.Calibration.SHA256 || given.Texts != p.Calibration.Texts:
		return fmt.Errorf("the plan was made with other statistics (sha256 %.12s…, here %.12s…): give the same --text or --stats, or make the plan again", p.Calibration.SHA256, given.SHA256)
	case f.context != 0 && f.context != p.Calibration.Context || f.windows != 0 && f.windows != p.Calibration.Windows ||
		f.inOrder() && f.sequential != p.Calibration.Sequential:
		return errors.New("the plan says how its text is read: leave out --ctx, --chunks and --sequential, or make the plan again")
	}
	f.context, f.windows = p.Calibration.Context, p.Calibration.Windows
	return nil
}

// open returns the statistics that p asks for, nil if there are none, and a function that frees them.
func (f *calibrationFlags) open(ctx context.Context, ckpt *checkpoint.Checkpoint, p *plan.Plan, workers int) (compress.Statistics, func(), error) {
	switch {
	case f.stats != "":
		f.read = nil // was for probes
		set, err := observe.OpenStats(f.stats, ckpt)
		if err != nil {
			return nil, nil, err
		}
		if f.note, err = otherModel(ctx, ckpt, set); err != nil {
			set.Close()
			return nil, nil, err
		}
		return compress.FromSet(set), func() { set.Close() }, nil
	case len(f.texts) > 0:
		texts, err := f.contents()
		if err != nil {
			return nil, nil, err
		}
		f.read = nil // the observer keeps tokens only
		sequential := p.Calibration != nil && p.Calibration.Sequential
		o, err := observe.New(ctx, ckpt, texts, observe.Options{Context: f.context, Windows: f.windows, Workers: workers, Drift: sequential, Tool: "pith " + version})
		if err != nil {
			return nil, nil, err
		}
		return compress.Observe(o, ckpt, sequential), o.Close, nil
	}
	return nil, func() {}, nil
}

// otherModel returns a note if the statistics were gathered from other weight files than the checkpoint's. An importance matrix does not say.
func otherModel(ctx context.Context, ckpt *checkpoint.Checkpoint, set *calib.Set) (string, error) {
	if set.Model.SHA256 == "" {
		return "", nil
	}
	config, err := ckpt.Config()
	if err != nil {
		return "", err
	}
	m, err := observe.Identify(ctx, ckpt, config)
	if err != nil || m.SHA256 == set.Model.SHA256 {
		return "", err
	}
	return "the statistics are of other weight files than this checkpoint's: right if they hold the same model in another format, else calibrate with this one", nil
}

// noStatistics is open for a plan that solves nothing.
func noStatistics(context.Context, *checkpoint.Checkpoint, *plan.Plan, int) (compress.Statistics, func(), error) {
	return nil, func() {}, nil
}

// readTexts reads the files of --text.
func readTexts(paths []string) ([]observe.Text, error) {
	var texts []observe.Text
	for _, path := range paths {
		data, err := readText(path)
		if err != nil {
			return nil, err
		}
		texts = append(texts, observe.Text{Name: filepath.Base(path), Data: data})
	}
	return texts, nil
}
