package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"pith/calib"
	"pith/checkpoint"
	"pith/observe"
	"pith/plan"
	"pith/structure"
)

// fromMenu returns the recipe that --menu asks for. With --share it leaves in the flags what weights have in common.
func (f *planFlags) fromMenu(ctx context.Context, c *checkpoint.Checkpoint, progress io.Writer) (plan.Recipe, error) {
	o := plan.MenuOptions{BitsPerWeight: f.bits, Codecs: f.menu, Method: f.method, Search: f.search, Workers: f.workers}
	set, free, err := f.calibration.set(ctx, c, f.workers)
	if err != nil {
		return plan.Recipe{}, err
	}
	defer free()
	o.Stats = set
	if f.probes != 0 {
		if o.Prober, err = f.prober(ctx, c); err != nil {
			return plan.Recipe{}, err
		}
	}
	if f.sharing.method != "" && (f.sharing.keep != 0 || f.sharing.rank != 0) {
		return plan.Recipe{}, errors.New("--share-keep and --share-rank are what --menu chooses; leave them out")
	}
	if o.Share, err = f.sharing.record(ctx, c, &f.calibration, f.workers, progress); err != nil {
		return plan.Recipe{}, err
	}
	o.Progress = tried(progress, "codecs")
	defer o.Progress("", 0, 0)
	r, shared, err := plan.FromMenu(ctx, c, o)
	if err != nil {
		return r, fmt.Errorf("--menu: %w", err)
	}
	f.shared = shared
	return r, nil
}

// set returns the statistics that the flags name, or gathers those of the texts in a temporary file; nil if there are none. free forgets them.
func (f *calibrationFlags) set(ctx context.Context, c *checkpoint.Checkpoint, workers int) (set *calib.Set, free func(), err error) {
	switch {
	case f.stats != "":
		if set, err = observe.OpenStats(f.stats, c); err != nil {
			return nil, nil, fmt.Errorf("--stats: %w", err)
		}
		return set, func() { set.Close() }, nil
	case len(f.texts) == 0:
		return nil, func() {}, nil
	}
	texts, err := f.contents()
	if err != nil {
		return nil, nil, err
	}
	b, err := observe.New(ctx, c, texts, observe.Options{Context: f.context, Windows: f.windows, Workers: workers, Tool: "pith " + version})
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	dir, err := os.MkdirTemp("", "pith-menu")
	if err != nil {
		return nil, nil, fmt.Errorf("statistics of --text: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	path := filepath.Join(dir, "statistics")
	if _, err = b.Run(ctx, path); err != nil {
		return nil, nil, fmt.Errorf("statistics of --text: %w", err)
	}
	if set, err = calib.Open(path); err != nil {
		return nil, nil, err
	}
	return set, func() {
		set.Close()
		os.RemoveAll(dir)
	}, nil
}

// tried returns what tells on one line of progress, unless that is nil, how many weights were tried; after the last it is called once more, of 0.
func tried(progress io.Writer, what string) func(weight string, done, of int) {
	return func(_ string, done, of int) {
		switch {
		case progress == nil:
		case of == 0:
			fmt.Fprintln(progress)
		default:
			fmt.Fprintf(progress, "\r%s of %d of %d weights tried ", what, done, of)
		}
	}
}

// spreadRanks gives each weight with a low-rank codec a rank of its own, if --ranks asks for that.
func (f *planFlags) spreadRanks(ctx context.Context, c *checkpoint.Checkpoint, r plan.Recipe, progress io.Writer) (plan.Recipe, error) {
	if f.ranks == "" {
		if f.probes != 0 && f.menu == nil {
			return r, errors.New("--probe goes with --ranks or --menu")
		}
		return r, nil
	}
	set, err := observe.OpenStats(f.ranks, c)
	if err != nil {
		return r, fmt.Errorf("--ranks: %w", err)
	}
	defer set.Close()
	o := plan.RankOptions{Stats: set, Workers: f.workers}
	if f.probes != 0 {
		if o.Prober, err = f.prober(ctx, c); err != nil {
			return r, err
		}
		o.Progress = tried(progress, "ranks")
		defer o.Progress("", 0, 0)
	}
	if r, err = plan.SpreadRanks(ctx, c, r, o); err != nil {
		return r, fmt.Errorf("--ranks: %w", err)
	}
	return r, nil
}

// prober runs the model over --probe windows of --text.
func (f *planFlags) prober(ctx context.Context, c *checkpoint.Checkpoint) (plan.Prober, error) {
	if f.probes < 0 || len(f.calibration.texts) == 0 {
		return nil, errors.New("--probe is a number of windows of --text, which it needs")
	}
	texts, err := f.calibration.contents()
	if err != nil {
		return nil, err
	}
	p, err := structure.NewProber(ctx, c, texts, structure.Options{Context: f.calibration.context, Windows: f.probes, Workers: f.workers})
	if err != nil {
		return nil, fmt.Errorf("--probe: %w", err)
	}
	return p, nil
}
