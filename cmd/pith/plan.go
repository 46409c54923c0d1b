package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/codec"
	"pith/compress"
	"pith/internal/human"
	"pith/observe"
	"pith/plan"
)

// planFlags are the flags that decide what is done with a checkpoint; plan and compress share them.
type planFlags struct {
	recipe, codec, planFile string
	method                  string
	ranks                   string // statistics by which ranks are chosen
	probes                  int    // windows on which they, or the codecs of the menu, are tried
	menu                    []string
	shared                  *plan.Sharing // what weights have in common, once that is known
	search                  bool
	bits                    float64
	bitsGiven               func() bool
	calibration             calibrationFlags
	structure               structureFlags
	vocabulary              vocabularyFlags
	sharing                 sharingFlags
	format                  string // "" until resolve: what the output's name says
	output                  string
	beside                  string // what compress writes, beside which it keeps what it gathers
	overwrite               bool   // whether that may be replaced
	gathered                string // the file of the statistics that it gathered for a menu
	workers                 int
	memory                  string
}

func (f *planFlags) add(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&f.recipe, "recipe", "", "YAML file that says which weights get which codec")
	p.StringVar(&f.codec, "codec", "", "one codec for every matrix, as int4-g128 or q4_k, or keep (default: 8 bits for embedding and head, 4 for the rest; keep with --drop-layers and --slice)")
	p.StringVar(&f.method, "method", "", "with --codec or --menu: how codes are chosen ("+strings.Join(plan.Methods(), ", ")+"; default nearest, of a menu with statistics what suits each codec)")
	p.StringVar(&f.ranks, "ranks", "", "with low-rank codecs: statistics of pith calibrate, by which each weight gets a rank of its own, at the same bytes; without --text or --stats, also what is calibrated with (default: the same share of every weight)")
	p.StringSliceVar(&f.menu, "menu", nil, "with --bpw: codecs, as int2-g64,int3-g64,int4-g64,keep, of which each weight gets the one by which all lose least at these bytes (default: trellis codes)")
	p.IntVar(&f.probes, "probe", 0, "with --text, and --menu or --ranks: windows of the text on which every weight's codecs or ranks are tried, as 16; slow, and better than theory; with --stats the text is only for this (default 0: by theory)")
	p.BoolVar(&f.search, "search", false, "with --codec or --menu: search the scales of least squared error")
	p.Float64Var(&f.bits, "bpw", 0, "bits per weight of all tensors together, as 2.5: trellis codes of the rate that fits, at most 8, or of --menu")
	f.bitsGiven = func() bool { return p.Changed("bpw") } // --bpw 0 too, which is an error
	p.StringVar(&f.planFile, "plan", "", "carry out a plan saved by pith plan --save")
	p.StringVar(&f.format, "format", "", "pith (a directory of safetensors) or gguf (one file for llama.cpp) (default: gguf if OUT ends in .gguf, else pith)")
	p.StringVarP(&f.output, "output", "o", "", "OUT, the directory or .gguf file that compress writes")
	p.StringVar(&f.memory, "memory", "", "bound of the memory used, as in 512MiB or 2GB (default: no bound)")
	workersFlag(c, &f.workers)
	f.calibration.add(c)
	f.structure.add(c)
	f.vocabulary.add(c)
	f.sharing.add(c)
	offer(c, "codec", codec.Names()...)
	offer(c, "format", "pith", "gguf")
}

// codecHelp ends the help of the commands that take a codec.
const codecHelp = `
Codecs for both formats: q8_0 q6_k q5_k q5_1 q5_0 q4_k q4_1 q4_0 q3_k q2_k f32 f16 bf16; for Pith artifacts also
int{2,3,4,5,6,8}-g{32,64,128,row}, plain, -asym or -mid at the end; qoq4-g{64,128}; nuq{2,3,4,5,6,7,8}-g…,
vq2-{1.5,2,2.5,…,6}-g… and e8p-g…, code books for Gaussian weights; sketch{2,3,4}-p{1,2,4,8} and jlcm{2,3,4}-k{1…256}[-s], tables of
each row and of groups of rows, which the method codebook fits; tcq-<code>-<bits>, trellis codes of any rate, as tcq-lut8-2.5;
sign-k{1…64}, a sign for each weight and a magnitude of rank k, which the method bitstack fits, several in a sum;
<values>-<pattern>, which stores some weights only, the others being 0: values f32, f16, bf16 or int…-g…; pattern s50 (50 % pruned, a bit
for each weight), csr90 (90 % pruned, a byte for each kept one) or 2:4 (two of each four kept), with e at the end (not csr) for a mask
that is entropy-coded in files, as int4-g128-2:4 or f16-s70e; lr<rank>-<codec>, the product of two factors that a codec stores, of a rank
as lr64-f16 or with a share of the numbers as lr0.8-f16; atoms<n>-<codec>, combinations of n matrices, which --share makes weights have in common;
rows<share>-<codec>/<codec>, a share of the rows in one codec and the others in another, as rows0.1-int8-g64/int4-g64 for an embedding, where
the method frequent gives the first to the rows that --text or --stats reads most. Any of them with -had at the end is stored rotated, which spreads outliers; with -scaled, with a factor for each input, which
the method awq chooses; the method hqq takes -mid. A+B stores a weight as a sum of terms, B what A leaves, 3*A is A+A+A; a list of methods, as
ldlq+nearest, names one for each term. Methods magnitude, wanda, sparsegpt and surgeon prune: they take <values>-<pattern> and leave
embedding and head whole, in the codec of the values. A matrix whose shape does not fit its codec gets the nearest codec that does, with a note.`

// resolve opens the checkpoint and makes the plan that the flags ask for.
func (f *planFlags) resolve(ctx context.Context, path string, progress io.Writer) (*checkpoint.Checkpoint, *plan.Plan, error) {
	given := 0
	for _, v := range []bool{f.codec != "", f.recipe != "", f.planFile != "", f.bitsGiven()} {
		if v {
			given++
		}
	}
	if given > 1 {
		return nil, nil, errors.New("give only one of --bpw, --codec, --recipe and --plan")
	}
	if err := f.checkProbes(); err != nil {
		return nil, nil, err
	}
	if f.ranks != "" && !f.calibration.given() {
		f.calibration.stats = f.ranks // what ranks are chosen by does to calibrate with
	}
	if err := f.calibration.check(); err != nil {
		return nil, nil, err
	}
	if f.format == "" {
		f.format = "pith"
		if filepath.Ext(f.output) == ".gguf" {
			f.format = "gguf"
		}
	}
	if f.format != "pith" && f.format != "gguf" {
		return nil, nil, fmt.Errorf("--format %q: choose pith or gguf", f.format)
	}
	if f.codec == "" && f.menu == nil && (f.search || f.method != "") {
		return nil, nil, errors.New("--search and --method go with --codec or --menu; in a recipe they are fields of a rule")
	}
	if f.menu != nil && !f.bitsGiven() {
		return nil, nil, errors.New("--menu needs --bpw, the bits per weight within which it chooses; for one codec everywhere use --codec")
	}
	if _, err := f.sharing.asked(f.menu != nil); err != nil {
		return nil, nil, err
	}
	c, err := checkpoint.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if err := f.checkStatistics(c); err != nil {
		c.Close()
		return nil, nil, err
	}
	shown, p, err := f.planned(ctx, c, progress)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return shown, p, nil
}

// planned returns the view of the checkpoint that the flags or a saved plan ask for, and the plan.
func (f *planFlags) planned(ctx context.Context, c *checkpoint.Checkpoint, progress io.Writer) (*checkpoint.Checkpoint, *plan.Plan, error) {
	if f.planFile != "" {
		if f.sharing.method != "" {
			return nil, nil, errors.New("--share goes into pith plan --save; --plan has it already")
		}
		if f.ranks != "" {
			return nil, nil, errors.New("--ranks goes into pith plan --save; --plan has the ranks already")
		}
		p, err := plan.Load(f.planFile)
		if err != nil {
			return nil, nil, err
		}
		if p.Solves() {
			if err := f.calibration.agree(p); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", f.planFile, err)
			}
		}
		if c, err = f.vocabulary.viewOf(c, p.Vocabulary); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.planFile, err)
		}
		shown, err := f.structure.viewOf(ctx, c, p.Structure, &f.calibration, f.workers, progress)
		return shown, p, err
	}
	c, tokens, err := f.vocabulary.view(ctx, c, &f.calibration, f.workers)
	if err != nil {
		return nil, nil, err
	}
	shown, made, err := f.structure.view(ctx, c, &f.calibration, f.workers, progress)
	if err != nil {
		return nil, nil, err
	}
	p, err := f.plan(ctx, shown, progress)
	if err != nil {
		return nil, nil, err
	}
	if err := f.share(ctx, shown, p, progress); err != nil {
		return nil, nil, err
	}
	p.Structure, p.Vocabulary = made, tokens
	if f.structure.unsliced == nil {
		return shown, p, nil
	}
	before, err := f.plan(ctx, f.structure.unsliced, progress)
	if err != nil {
		return nil, nil, err
	}
	return shown, p, f.structure.checkSmaller(shown, before.Totals.Bytes, p.Totals.Bytes)
}

// plan makes the plan that the flags ask for.
func (f *planFlags) plan(ctx context.Context, c *checkpoint.Checkpoint, progress io.Writer) (*plan.Plan, error) {
	r, err := f.chooseRecipe(ctx, c, progress)
	if err != nil {
		return nil, err
	}
	if err := f.checkSets(ctx, c, r, progress); err != nil {
		return nil, err
	}
	if r, err = f.spreadRanks(ctx, c, r, progress); err != nil {
		return nil, err
	}
	p, err := plan.Resolve(c, r)
	if err != nil || !p.Solves() {
		return p, err
	}
	p.Calibration, err = f.calibration.record(p.UsesGram())
	return p, err
}

// share changes the plan as --share asks for.
func (f *planFlags) share(ctx context.Context, c *checkpoint.Checkpoint, p *plan.Plan, progress io.Writer) error {
	if f.menu == nil && f.shared == nil {
		var err error
		if f.shared, err = f.sharing.record(ctx, c, &f.calibration, f.menu != nil, f.workers, progress); err != nil {
			return err
		}
	}
	s := f.shared
	if s == nil {
		return nil
	}
	config, err := c.Config()
	if err != nil {
		return fmt.Errorf("--share: %w", err)
	}
	if err := plan.Share(p, config, *s); err != nil {
		return fmt.Errorf("--share %s: %w", s.Method, err)
	}
	if p.Calibration == nil {
		p.Calibration, err = f.calibration.record(p.UsesGram())
	}
	return err
}

// checkStatistics refuses files of statistics that cannot be read, where they are needed only after long work.
func (f *planFlags) checkStatistics(c *checkpoint.Checkpoint) error {
	if f.menu == nil && f.ranks == "" {
		return nil
	}
	for _, file := range []struct{ flag, path string }{{"--stats", f.calibration.stats}, {"--ranks", f.ranks}} {
		if file.path == "" {
			continue
		}
		set, err := observe.OpenStats(file.path, c)
		if err != nil {
			return fmt.Errorf("%s: %w", file.flag, err)
		}
		set.Close()
	}
	return nil
}

// checkSets refuses what --share could not make of the weights, before --ranks gives each a rank.
func (f *planFlags) checkSets(ctx context.Context, c *checkpoint.Checkpoint, r plan.Recipe, progress io.Writer) error {
	if f.ranks == "" || f.menu != nil {
		return nil
	}
	p, err := plan.Resolve(c, r)
	if err != nil {
		return err
	}
	return f.share(ctx, c, p, progress)
}

// chooseRecipe returns the recipe that the flags ask for.
func (f *planFlags) chooseRecipe(ctx context.Context, c *checkpoint.Checkpoint, progress io.Writer) (plan.Recipe, error) {
	bits, ready := plan.ParseBudget(f.recipe)
	if f.bitsGiven() {
		bits, ready = f.bits, true
	}
	switch {
	case f.menu != nil:
		return f.fromMenu(ctx, c, progress)
	case ready && f.format == "gguf":
		return plan.Recipe{}, errors.New("GGUF has no layout for trellis codes; write a Pith artifact (-o DIR), or choose --codec q2_k … q8_0")
	case ready:
		return plan.Budget(c, plan.BudgetOptions{BitsPerWeight: bits, Data: f.calibration.given()})
	case f.codec != "":
		return plan.FromCodec(f.codec, f.method, f.search)
	case f.recipe != "":
		return plan.ReadRecipe(f.recipe)
	case f.structure.given(), f.vocabulary.given(), f.sharing.method != "":
		return plan.Keep(), nil
	}
	return plan.Default(f.format == "gguf"), nil
}

// memoryBytes returns --memory in bytes, 0 if it was not given.
func (f *planFlags) memoryBytes() (int64, error) {
	if f.memory == "" {
		return 0, nil
	}
	n, err := human.ParseSize(f.memory)
	if err != nil {
		return 0, fmt.Errorf("--memory: %w", err)
	}
	if n == 0 {
		return 0, errors.New("--memory: 0 bytes are not enough; leave the flag out for no bound")
	}
	return n, nil
}

func planCommand(s streams) *cobra.Command {
	var f planFlags
	var asJSON bool
	var save string
	c := &cobra.Command{
		Use:   "plan MODEL",
		Short: "Show what compress would do, with exact bytes, memory and time",
		Long: `Resolves a recipe (or one codec for every matrix) against a checkpoint: one line per weight with its codec and exact bytes. Only headers
are read, unless --menu or --ranks try the weights, and nothing is written, unless --save keeps the plan for pith compress --plan.
` + codecHelp,
		Example: "  pith plan MODEL --codec int4-g128\n  pith plan MODEL --bpw 2.5\n  pith plan MODEL --recipe mixed.yaml --json\n  pith plan MODEL --codec q4_k --save plan.json",
		Args:    one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := f.memoryBytes(); err != nil {
				return err
			}
			ckpt, p, err := f.resolve(c.Context(), args[0], quietly(s.err, asJSON))
			if err != nil {
				return err
			}
			defer ckpt.Close()
			asked := p
			if f.format == "gguf" {
				if p, err = compress.InGGUF(ckpt, p); err != nil {
					return err
				}
			}
			if save != "" {
				if err := asked.Save(save); err != nil {
					return err
				}
			}
			reading, err := f.calibration.reading(ckpt)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out, plannedJSON{p, p.Hash(), p.Memory(f.workers), p.MinMemory(), p.Time(f.workers, 0).Seconds(), p.CalibrationTime(f.workers, reading).Seconds()})
			}
			return printPlan(s.out, p, f.workers, reading)
		},
	}
	f.add(c)
	c.Flags().StringVar(&save, "save", "", "write the plan to this file")
	jsonFlag(c, &asJSON)
	return c
}

// plannedJSON is a plan with its estimates.
type plannedJSON struct {
	*plan.Plan
	SHA256    string  `json:"plan_sha256"`
	Memory    int64   `json:"memory_bytes"`     // estimate of the peak, with all workers
	MinMemory int64   `json:"min_memory_bytes"` // what --memory can go down to
	Seconds   float64 `json:"seconds"`          // estimate, without the next
	Calibrate float64 `json:"calibration_seconds,omitempty"`
}

// printPlan writes a plan for people. reading is about what its calibration reads.
func printPlan(w io.Writer, p *plan.Plan, workers int, reading plan.Reading) error {
	t := human.NewTable("weight", "role", ">shape", "stored as", "method", "becomes", ">bytes", "note")
	for _, l := range p.Lines() {
		t.Add(l.Weight, l.Role, shapeString(l.Shape), l.Source, l.Method, l.Codec, human.Count(l.Bytes), l.Note)
	}
	if err := t.Print(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if p.Vocabulary != nil {
		fmt.Fprintf(w, "vocabulary  %s\n", tokensLeft(p.Vocabulary))
	}
	if p.Structure != nil {
		fmt.Fprintln(w, structureLine(p.Structure))
	}
	if p.Sharing != nil {
		fmt.Fprintln(w, sharingLine(p))
	}
	if n := fallbackNote(p); n != "" {
		fmt.Fprintf(w, "note        %s\n", n)
	}
	if n := p.Unserved(); n > 0 {
		fmt.Fprintf(w, "note        there are no statistics, which %d weights' methods feed errors back by: they will be rounded to nearest. Give --text or --stats\n", n)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(w, "note        %s\n", n)
	}
	source := 8 * float64(p.Totals.SourceBytes) / float64(max(1, p.Totals.Weights))
	fmt.Fprintf(w, "weights     %s in %d blocks\n", human.Count(p.Totals.Weights), len(p.Blocks))
	fmt.Fprintf(w, "now         %s, %.3f bits per weight\n", human.ExactSize(p.Totals.SourceBytes), source)
	fmt.Fprintf(w, "compressed  %s, %.3f bits per weight, %.1f %% of now\n", human.ExactSize(p.Totals.Bytes), p.Totals.BitsPerWeight,
		100*float64(p.Totals.Bytes)/float64(max(1, p.Totals.SourceBytes)))
	fmt.Fprintf(w, "memory      about %s with %d workers, at least %s\n", human.Size(p.Memory(workers)), workers, human.Size(p.MinMemory()))
	total, calibration := p.Time(workers, 0), ""
	if c := p.CalibrationTime(workers, reading); c > 0 {
		total += c
		calibration = fmt.Sprintf(", %s of them calibration on some %s tokens", human.Duration(c.Round(100*time.Millisecond)), human.Count(reading.Tokens))
	}
	_, err := fmt.Fprintf(w, "time        very roughly %s on %s%s\n", human.Duration(total.Round(100*time.Millisecond)), cpus(workers), calibration)
	return err
}

// fallbackNote says how many weights do not get the codec that was asked for, or "".
func fallbackNote(p *plan.Plan) string {
	n := p.Fallbacks()
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d weights get another codec than asked for, since their shapes do not fit it; pith plan shows which and why", n, len(p.Lines()))
}

func cpus(n int) string {
	if n = min(n, runtime.NumCPU()); n == 1 {
		return "1 core"
	}
	return fmt.Sprintf("%d cores", n)
}
