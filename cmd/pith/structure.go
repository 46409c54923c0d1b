package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/plan"
	"pith/structure"
)

// structureFlags say which parts of a model are left out before anything else is done with it.
type structureFlags struct {
	drop     string
	rank     string
	anyLayer bool
	ownText  bool // --text is for nothing else
}

func (f *structureFlags) add(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.drop, "drop-layers", "", "leave out layers: how many, chosen on --text, as 2; or which, counted from 0, as 3,5 or 8-11 (one: 3-3)")
	p.StringVar(&f.rank, "rank", string(structure.LeaveOneOut), "with --drop-layers N: how to choose them, "+rankerNames(", ")+" (see pith layers)")
	p.BoolVar(&f.anyLayer, "any-layer", false, "with --drop-layers N: choose among all layers, the first two and the last one too")
	offer(c, "rank", strings.Fields(rankerNames(" "))...)
}

func rankerNames(between string) string {
	var names []string
	for _, r := range structure.Rankers() {
		names = append(names, string(r))
	}
	return strings.Join(names, between)
}

// given reports whether anything is to be left out.
func (f *structureFlags) given() bool { return f.drop != "" }

func (f *structureFlags) protection() structure.Protection {
	if f.anyLayer {
		return structure.Protection{}
	}
	return structure.DefaultProtection()
}

// rankWindows bounds the windows that layers are chosen on: their order settles with few tokens, and each is run once per layer.
const rankWindows = 16

// view returns the checkpoint as the flags ask for it, and what the plan records of that; nil if nothing is left out.
func (f *structureFlags) view(ctx context.Context, c *checkpoint.Checkpoint, texts *calibrationFlags, workers int, progress io.Writer) (*checkpoint.Checkpoint, *plan.Structure, error) {
	if !f.given() {
		if f.anyLayer || f.ownText && len(texts.texts) > 0 {
			return nil, nil, errors.New("--any-layer and the text to choose layers on go with --drop-layers")
		}
		return c, nil, nil
	}
	if texts.stats != "" {
		return nil, nil, errors.New("--stats are of all layers: calibrate what is left with --text, or write it first (--codec keep) and run pith calibrate on that")
	}
	asked, err := structure.ParseRequest(f.drop)
	if err != nil {
		return nil, nil, fmt.Errorf("--drop-layers %w", err)
	}
	config, err := c.Config()
	if err != nil {
		return nil, nil, err
	}
	record := &plan.Structure{SourceLayers: config.Layers}
	dropped := asked.Layers
	if asked.Layers == nil {
		if dropped, err = f.choose(ctx, c, texts, asked.Count, workers, progress, record); err != nil {
			return nil, nil, err
		}
	}
	if len(dropped) == 0 {
		return c, nil, nil
	}
	if record.Layers, err = structure.Remaining(config.Layers, dropped); err != nil {
		return nil, nil, fmt.Errorf("--drop-layers: %w", err)
	}
	shown, err := c.View(checkpoint.Edit{Layers: record.Layers})
	return shown, record, err
}

// choose ranks the layers on the texts.
func (f *structureFlags) choose(ctx context.Context, c *checkpoint.Checkpoint, texts *calibrationFlags, n, workers int, progress io.Writer, record *plan.Structure) ([]int, error) {
	if n == 0 {
		return nil, nil
	}
	if len(texts.texts) == 0 {
		return nil, errors.New("--drop-layers with a number chooses layers on a text: give --text, or name layers, as 3,5")
	}
	data, err := texts.contents()
	if err != nil {
		return nil, err
	}
	read, err := texts.record(false)
	if err != nil {
		return nil, err
	}
	record.Rank, record.TextSHA256 = f.rank, read.SHA256
	m := newMeter(progress, "layers", false)
	defer m.finish()
	o := structure.Options{Context: texts.context, Windows: rankWindows, Workers: workers,
		Progress: func(what string, done, of int) { m.update(int64(done), int64(of), what) }}
	if texts.windows > 0 {
		o.Windows = min(o.Windows, texts.windows)
	}
	dropped, err := structure.Choose(ctx, c, data, n, structure.Ranker(f.rank), f.protection(), o)
	if err != nil {
		return nil, fmt.Errorf("--drop-layers %s: %w", f.drop, err)
	}
	return dropped, nil
}

// viewOf returns the checkpoint as a saved plan wants it.
func (f *structureFlags) viewOf(c *checkpoint.Checkpoint, s *plan.Structure) (*checkpoint.Checkpoint, error) {
	if f.given() {
		return nil, errors.New("--drop-layers goes into pith plan --save; --plan has it already")
	}
	if s == nil {
		return c, nil
	}
	config, err := c.Config()
	if err != nil {
		return nil, err
	}
	if config.Layers != s.SourceLayers {
		return nil, fmt.Errorf("the plan is for a model of %d layers, and this one has %d", s.SourceLayers, config.Layers)
	}
	return c.View(checkpoint.Edit{Layers: s.Layers})
}

// leftOut says what a plan leaves out.
func leftOut(s *plan.Structure) string {
	how := ""
	if s.Rank != "" {
		how = ", chosen by " + s.Rank
	}
	return fmt.Sprintf("layers %s of %d%s", numbers(s.Dropped()), s.SourceLayers, how)
}

// numbers writes 3, 5.
func numbers(list []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ", "), "[]")
}

// quietly returns where progress goes: nowhere if scripts read.
func quietly(w io.Writer, asJSON bool) io.Writer {
	if asJSON {
		return io.Discard
	}
	return w
}
