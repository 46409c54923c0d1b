package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/observe"
	"pith/plan"
	"pith/structure"
)

// structureFlags say which parts of a model are left out before anything else is done with it.
type structureFlags struct {
	drop     string
	rank     string
	anyLayer bool
	replace  string
	slice    string
	shared   bool
	force    bool
	layers   string // --share-layers
	by       string // --share-by
	norms    bool   // --share-norms
	ownText  bool   // --text is for nothing else

	changed  func(flag string) bool // whether the command line has it
	unsliced *checkpoint.Checkpoint // set by view: what is left before slicing
}

func (f *structureFlags) add(c *cobra.Command) {
	p := c.Flags()
	f.changed = p.Changed
	p.StringVar(&f.drop, "drop-layers", "", "leave out layers: how many, chosen on --text, as 2; or which, counted from 0, as 3,5 or 8-11 (one: 3-3)")
	p.StringVar(&f.rank, "rank", string(structure.Greedy), "with --drop-layers N: how to choose them, "+rankerNames(", ")+" (see pith layers)")
	p.BoolVar(&f.anyLayer, "any-layer", false, "with --drop-layers N: choose among all layers, the first two and the last one too")
	p.StringVar(&f.replace, "replace", structure.NoReplacement, "with --drop-layers: what stands in for the layers, fitted on --text: "+strings.Join(structure.Replacements(), ", "))
	p.StringVar(&f.slice, "slice", "", "narrow the residual stream by this part of its width, as 25%, to its principal directions on --text (SliceGPT)")
	p.BoolVar(&f.shared, "shared-basis", false, "with --slice: one basis for all layers: no shortcut matrices, an ordinary smaller model in every format; at equal bytes it loses less")
	p.BoolVar(&f.force, "force", false, "with --slice: write the model even if its shortcut matrices make it larger")
	p.StringVar(&f.layers, "share-layers", "", "layers that use one layer's matrices, each with its own norms: groups of so many neighbours, as 2, groups, as 0,1|4-6, or so many layers less to store, chosen on --text, as fewer:2")
	p.StringVar(&f.by, "share-by", structure.ByKL, "with --share-layers: how the layer whose matrices a group uses is chosen, "+strings.Join(structure.RepresentativeRules(), ", "))
	p.BoolVar(&f.norms, "share-norms", false, "with --share-layers: fit the norms of layers that use others' matrices to these, on --text, where predictions come nearer that way")
	offer(c, "share-by", structure.RepresentativeRules()...)
	offer(c, "rank", strings.Fields(rankerNames(" "))...)
	offer(c, "replace", structure.Replacements()...)
}

func rankerNames(between string) string {
	var names []string
	for _, r := range structure.Rankers() {
		names = append(names, string(r))
	}
	return strings.Join(names, between)
}

// given reports whether anything is to be left out.
func (f *structureFlags) given() bool { return f.drop != "" || f.slice != "" || f.layers != "" }

func (f *structureFlags) protection() structure.Protection {
	if f.anyLayer {
		return structure.Protection{}
	}
	return structure.DefaultProtection()
}

// rankWindows are read to rank layers unless --chunks says fewer: their order settles with few tokens, and each is run once per layer. A
// stand-in for layers is fitted on all of the text: what it knows of one kind of text only harms on others.
const rankWindows = 16

// view returns the checkpoint as the flags ask for it, and what the plan records of that; nil if nothing is left out.
func (f *structureFlags) view(ctx context.Context, c *checkpoint.Checkpoint, texts *calibrationFlags, workers int, progress io.Writer) (*checkpoint.Checkpoint, *plan.Structure, error) {
	if !f.given() {
		for _, flag := range []string{"drop-layers", "slice", "share-layers"} {
			if f.changed(flag) {
				return nil, nil, fmt.Errorf("--%s is empty: say what is left out, or leave it away", flag)
			}
		}
		if f.changed("share-by") || f.norms {
			return nil, nil, errors.New("--share-by and --share-norms go with --share-layers")
		}
		if f.changed("rank") || f.anyLayer || f.shared || f.force || f.replace != structure.NoReplacement || f.ownText && len(texts.texts) > 0 {
			return nil, nil, errors.New("--rank, --any-layer, --replace and the text to choose layers on go with --drop-layers, --shared-basis and --force with --slice")
		}
		return c, nil, nil
	}
	if texts.stats != "" {
		return nil, nil, errors.New("--stats are of all layers: calibrate what is left with --text, or write it first (--codec keep) and run pith calibrate on that")
	}
	config, err := c.Config()
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(structure.Replacements(), f.replace) {
		return nil, nil, fmt.Errorf("--replace %q: choose one of %s", f.replace, strings.Join(structure.Replacements(), ", "))
	}
	if f.layers != "" && (f.drop != "" || f.slice != "") {
		return nil, nil, errors.New("--share-layers goes with neither --drop-layers nor --slice: write the smaller model first, then share its layers")
	}
	s := surgery{ckpt: c, texts: texts, workers: workers, progress: progress, record: &plan.Structure{SourceLayers: config.Layers}}
	dropped, err := f.dropped(ctx, &s)
	if err != nil {
		return nil, nil, fmt.Errorf("--drop-layers %w", err)
	}
	if len(dropped) > 0 && f.replace != structure.NoReplacement {
		s.record.Replace = f.replace
	}
	shown, err := s.leaveOut(ctx, dropped)
	if err != nil {
		return nil, nil, fmt.Errorf("--drop-layers: %w", err)
	}
	if f.layers != "" {
		shown, err = s.share(ctx, f)
		if err != nil {
			return nil, nil, fmt.Errorf("--share-layers %w", err)
		}
	}
	if f.slice != "" {
		f.unsliced = shown
		if s.record.Directions, err = structure.ParseSlice(f.slice, config.Hidden); err != nil {
			return nil, nil, fmt.Errorf("--slice %w", err)
		}
		s.record.SharedBasis = f.shared
		if shown, err = s.slice(ctx, shown); err != nil {
			return nil, nil, fmt.Errorf("--slice: %w", err)
		}
	}
	if shown == c {
		return c, nil, nil
	}
	return shown, s.record, nil
}

// dropped returns the layers that --drop-layers means.
func (f *structureFlags) dropped(ctx context.Context, s *surgery) ([]int, error) {
	if f.drop == "" {
		if f.anyLayer || f.replace != structure.NoReplacement {
			return nil, errors.New("is missing; --any-layer and --replace go with it")
		}
		return nil, nil
	}
	asked, err := structure.ParseRequest(f.drop)
	if err != nil || asked.Layers != nil {
		return asked.Layers, err
	}
	layers, err := s.choose(ctx, asked.Count, structure.Ranker(f.rank), f.protection())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.drop, err)
	}
	return layers, nil
}

// checkSmaller refuses a sliced model whose shortcuts take more than slicing saves: before and after are what would be written, in bytes.
func (f *structureFlags) checkSmaller(shown *checkpoint.Checkpoint, before, after int64) error {
	if f.unsliced == nil || f.force || after < before {
		return nil
	}
	_, short := structure.Sizes(shown)
	return fmt.Errorf("--slice %s: %d bytes without slicing, %d sliced, %d of them shortcut matrices (2 of D'² numbers a layer, kept in 16 bits): the file would be larger; slice more, take --shared-basis, or --force",
		f.slice, before, after, short)
}

// viewOf returns the checkpoint as a saved plan wants it.
func (f *structureFlags) viewOf(ctx context.Context, c *checkpoint.Checkpoint, s *plan.Structure, texts *calibrationFlags, workers int, progress io.Writer) (*checkpoint.Checkpoint, error) {
	if f.given() {
		return nil, errors.New("--drop-layers and --slice go into pith plan --save; --plan has them already")
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
	record := *s
	made := surgery{ckpt: c, texts: texts, workers: workers, progress: progress, record: &record}
	shown, err := made.leaveOut(ctx, s.Dropped())
	if err == nil && s.Matrices != nil {
		shown, err = made.sharing(ctx)
		if !s.Norms {
			record.TextSHA256, record.Context, record.Windows = s.TextSHA256, s.Context, s.Windows // what was chosen by them stands in the plan
		}
	}
	if err == nil && s.Directions > 0 {
		shown, err = made.slice(ctx, shown)
	}
	if err == nil && (record.TextSHA256 != s.TextSHA256 || record.Context != s.Context || record.Windows != s.Windows) {
		err = errors.New("what the plan replaces or slices was measured on another text: give the same --text, --ctx and --chunks")
	}
	return shown, err
}

// surgery is the work on one checkpoint, and the record of it.
type surgery struct {
	ckpt     *checkpoint.Checkpoint
	texts    *calibrationFlags
	workers  int
	progress io.Writer
	record   *plan.Structure
}

// choose ranks the layers on the texts.
func (s *surgery) choose(ctx context.Context, n int, by structure.Ranker, p structure.Protection) ([]int, error) {
	if n == 0 {
		return nil, nil
	}
	var dropped []int
	err := s.measured(rankWindows, func(texts []observe.Text, o structure.Options) (err error) {
		dropped, err = structure.Choose(ctx, s.ckpt, texts, n, by, p, o)
		return err
	})
	s.record.Rank = string(by)
	return dropped, err
}

// share makes the view whose layers share matrices.
func (s *surgery) share(ctx context.Context, f *structureFlags) (*checkpoint.Checkpoint, error) {
	asked, err := structure.ParseShare(f.layers)
	if err != nil {
		return nil, err
	}
	choose := func(texts []observe.Text, o structure.Options) (err error) {
		s.record.Matrices, err = structure.ShareLayers(ctx, s.ckpt, texts, asked, f.by, o)
		return err
	}
	if asked.NeedsText(f.by) {
		s.record.Share = f.by
		err = s.measured(rankWindows, choose)
	} else {
		err = choose(nil, structure.Options{})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.layers, err)
	}
	s.record.Norms = f.norms
	shown, err := s.sharing(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.layers, err)
	}
	return shown, nil
}

// sharing makes the view that the record says.
func (s *surgery) sharing(ctx context.Context) (*checkpoint.Checkpoint, error) {
	if err := structure.CheckMatrices(s.record.Matrices, s.record.SourceLayers); err != nil {
		return nil, err
	}
	edit := checkpoint.Edit{Matrices: s.record.Matrices}
	if s.record.Norms {
		err := s.measured(rankWindows, func(texts []observe.Text, o structure.Options) (err error) {
			edit, _, _, err = structure.Renorm(ctx, s.ckpt, texts, s.record.Matrices, o)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	edit.Layers = s.record.Layers
	return s.ckpt.View(edit)
}

// slice narrows the residual stream.
func (s *surgery) slice(ctx context.Context, c *checkpoint.Checkpoint) (shown *checkpoint.Checkpoint, err error) {
	err = s.measured(0, func(texts []observe.Text, o structure.Options) (err error) {
		shown, err = structure.Slice(ctx, c, texts, structure.Slicing{Hidden: s.record.Directions, Shared: s.record.SharedBasis}, o)
		return err
	})
	return shown, err
}

// leaveOut makes the view without some layers, with what stands in for them.
func (s *surgery) leaveOut(ctx context.Context, dropped []int) (shown *checkpoint.Checkpoint, err error) {
	if s.record.Layers, err = structure.Remaining(s.record.SourceLayers, dropped); err != nil || len(dropped) == 0 {
		return s.ckpt, err
	}
	edit := checkpoint.Edit{Layers: s.record.Layers}
	if s.record.Replace != "" {
		err = s.measured(0, func(texts []observe.Text, o structure.Options) (err error) {
			edit, err = structure.Replace(ctx, s.ckpt, texts, dropped, s.record.Replace, o)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return s.ckpt.View(edit)
}

// measured calls f with the texts, and notes which they are. windows bounds what is read of them; 0: all.
func (s *surgery) measured(windows int, f func(texts []observe.Text, o structure.Options) error) error {
	if len(s.texts.texts) == 0 {
		return errors.New("layers and directions are chosen and replaced by what they do on a text: give --text, or name layers, as 3,5")
	}
	data, err := s.texts.contents()
	if err != nil {
		return err
	}
	read, err := s.texts.record(false)
	if err != nil {
		return err
	}
	s.record.TextSHA256, s.record.Context, s.record.Windows = read.SHA256, read.Context, read.Windows
	m := newMeter(s.progress, "layers", false)
	defer m.finish()
	o := structure.Options{Context: s.texts.context, Windows: windows, Workers: s.workers,
		Progress: func(what string, done, of int) { m.update(int64(done), int64(of), what) }}
	if n := s.texts.windows; n > 0 && (windows == 0 || n < windows) {
		o.Windows = n
	}
	return f(data, o)
}

// leftOut says what a plan leaves out.
func leftOut(s *plan.Structure) string {
	out := "no layers"
	if d := s.Dropped(); len(d) > 0 {
		out = fmt.Sprintf("layers %s of %d", numbers(d), s.SourceLayers)
	}
	if s.Rank != "" {
		out += ", chosen by " + s.Rank
	}
	if s.Replace != "" {
		out += ", replaced by " + map[string]string{structure.MeanUpdate: "their mean update", structure.LinearMap: "a linear map"}[s.Replace]
	}
	if s.Directions > 0 {
		out += fmt.Sprintf("; all but %d directions of the residual stream", s.Directions)
	}
	return out
}

// structureLine says what a plan leaves out, or shares.
func structureLine(s *plan.Structure) string {
	if s.Matrices != nil {
		return "shared      " + sharedLayers(s)
	}
	return "left out    " + leftOut(s)
}

// sharesLayers reports whether a layer uses another's matrices.
func sharesLayers(s *plan.Structure) bool {
	for l, from := range s.Matrices {
		if l != from {
			return true
		}
	}
	return false
}

// sharedLayers says which layers use one layer's matrices.
func sharedLayers(s *plan.Structure) string {
	var all []string
	for at, from := range s.Matrices {
		var users []int
		for l, m := range s.Matrices {
			if m == from {
				users = append(users, l)
			}
		}
		if len(users) > 1 && users[0] == at {
			all = append(all, fmt.Sprintf("%s use the matrices of %d", numbers(users), from))
		}
	}
	if all == nil {
		return "no layers"
	}
	out := "layers " + strings.Join(all, "; ")
	if s.Share != "" {
		out += ", chosen by " + s.Share
	}
	if s.Norms {
		out += "; norms fitted to them"
	}
	return out
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
