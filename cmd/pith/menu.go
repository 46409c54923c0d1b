package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"pith/calib"
	"pith/checkpoint"
	"pith/compress"
	"pith/observe"
	"pith/plan"
	"pith/structure"
)

// fromMenu returns the recipe that --menu asks for. With --share it leaves in the flags what weights have in common.
func (f *planFlags) fromMenu(ctx context.Context, c *checkpoint.Checkpoint, progress io.Writer) (plan.Recipe, error) {
	o := plan.MenuOptions{BitsPerWeight: f.bits, Method: f.method, Search: f.search, Data: f.calibration.given(), Workers: f.workers}
	for _, name := range f.menu {
		o.Codecs = append(o.Codecs, strings.TrimSpace(name))
	}
	if err := f.checkMenu(c, o); err != nil {
		return plan.Recipe{}, err
	}
	var err error
	if o.Share, err = f.sharing.record(ctx, c, &f.calibration, f.menu != nil, f.workers, progress); err != nil {
		return plan.Recipe{}, err
	}
	if err := o.Check(c); err != nil {
		return plan.Recipe{}, fmt.Errorf("--menu: %w", err)
	}
	set, closeSet, err := f.menuStatistics(ctx, c, progress)
	if err != nil {
		return plan.Recipe{}, err
	}
	defer closeSet()
	o.Stats = set
	if f.probes != 0 {
		if o.Prober, err = f.prober(ctx, c); err != nil {
			return plan.Recipe{}, err
		}
	}
	show, finish := tried(progress, "codecs")
	o.Progress = show
	defer finish()
	r, shared, err := plan.FromMenu(ctx, c, o)
	if err != nil && ctx.Err() != nil && f.gathered != "" {
		return r, fmt.Errorf("interrupted: the statistics of --text are kept in %s; the same command goes on with them", f.gathered)
	}
	if err != nil {
		return r, fmt.Errorf("--menu: %w", err)
	}
	f.shared = shared
	return r, nil
}

// checkMenu refuses what cannot be written, or not there, before anything is tried.
func (f *planFlags) checkMenu(c *checkpoint.Checkpoint, o plan.MenuOptions) error {
	gguf := f.format == "gguf"
	for _, name := range o.Codecs {
		if err := compress.CheckGGUFLayout(name); gguf && err != nil {
			return fmt.Errorf("--menu: %w", err)
		}
	}
	if f.beside == "" {
		return nil
	}
	return compress.CheckOutput(c, f.beside, o.Name(), gguf, f.overwrite)
}

// menuStatistics returns the statistics that the flags name, or gathers those of the texts; nil if there are none. close frees them. What compress gathered
// stays beside its output, where the same command finds it again, until the artifact is whole.
func (f *planFlags) menuStatistics(ctx context.Context, c *checkpoint.Checkpoint, progress io.Writer) (set *calib.Set, close func(), err error) {
	switch {
	case f.calibration.stats != "":
		if set, err = observe.OpenStats(f.calibration.stats, c); err != nil {
			return nil, nil, fmt.Errorf("--stats: %w", err)
		}
		return set, func() { set.Close() }, nil
	case len(f.calibration.texts) == 0:
		return nil, func() {}, nil
	}
	if f.beside != "" && !f.structure.given() && !f.vocabulary.given() { // else the model that is read is not that of the files alone
		out, err := filepath.Abs(f.beside)
		if err != nil {
			return nil, nil, fmt.Errorf("-o: %w", err)
		}
		f.gathered = out + ".menu"
		if err = os.MkdirAll(filepath.Dir(f.gathered), 0o777); err == nil {
			set, err = f.gather(ctx, c, f.gathered, progress)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("statistics of --text: %w", err)
		}
		return set, func() { set.Close() }, nil
	}
	const better = "pith calibrate, whose file --stats takes"
	dir, err := os.MkdirTemp("", "pith-menu")
	if err != nil {
		return nil, nil, fmt.Errorf("statistics of --text: %w; let TMPDIR name a directory with room, or use %s", err, better)
	}
	if set, err = f.gather(ctx, c, filepath.Join(dir, "statistics"), progress); err == nil {
		return set, func() {
			set.Close()
			os.RemoveAll(dir)
		}, nil
	}
	os.RemoveAll(dir)
	if ctx.Err() != nil {
		return nil, nil, fmt.Errorf("interrupted: nothing is kept of the statistics of --text; pith calibrate would resume, and --stats takes its file")
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil, nil, fmt.Errorf("statistics of --text: %w; let TMPDIR name a directory with room, or use %s", err, better)
	}
	return nil, nil, fmt.Errorf("statistics of --text: %w", err)
}

// gather returns the statistics of the texts, whose file is path: as it was found, if it is of this work.
func (f *planFlags) gather(ctx context.Context, c *checkpoint.Checkpoint, path string, progress io.Writer) (*calib.Set, error) {
	texts, err := f.calibration.contents()
	if err != nil {
		return nil, err
	}
	m := newMeter(progress, "statistics", false)
	defer m.finish()
	o := observe.Options{Context: f.calibration.context, Windows: f.calibration.windows, Workers: f.workers, Tool: "pith " + version, TempDir: filepath.Dir(path)}
	o.Progress = func(p observe.Progress) { m.update(p.Done, p.Total, partNote(p)) }
	b, err := observe.New(ctx, c, texts, o)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	there, err := b.Wrote(ctx, path)
	if err == nil && !there {
		_, err = b.Run(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	return calib.Open(path)
}

// forget removes what was gathered for a menu.
func (f *planFlags) forget() error {
	if f.gathered == "" {
		return nil
	}
	return os.Remove(f.gathered)
}

// tried shows how many weights were tried; close removes that.
func tried(progress io.Writer, what string) (show func(weight string, done, of int), close func()) {
	m := newMeter(progress, what, false)
	return func(weight string, done, of int) { m.update(int64(done), int64(of), weight) }, m.finish
}

// spreadRanks gives each weight with a low-rank codec a rank of its own, if --ranks asks for that.
func (f *planFlags) spreadRanks(ctx context.Context, c *checkpoint.Checkpoint, r plan.Recipe, progress io.Writer) (plan.Recipe, error) {
	if f.ranks == "" {
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
		show, finish := tried(progress, "ranks")
		o.Progress = show
		defer finish()
	}
	if r, err = plan.SpreadRanks(ctx, c, r, o); err != nil {
		return r, fmt.Errorf("--ranks: %w", err)
	}
	return r, nil
}

// checkProbes checks --probe, and tells the calibration whether its text is also for that.
func (f *planFlags) checkProbes() error {
	switch {
	case f.probes != 0 && f.menu == nil && f.ranks == "":
		return errors.New("--probe goes with --ranks or --menu")
	case f.probes < 0 || f.probes > 0 && len(f.calibration.texts) == 0:
		return errors.New("--probe is a number of windows of --text, which it needs")
	}
	f.calibration.probed = f.probes > 0
	return nil
}

// prober runs the model over --probe windows of --text.
func (f *planFlags) prober(ctx context.Context, c *checkpoint.Checkpoint) (plan.Prober, error) {
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
