package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pith/approx"
	"pith/checkpoint"
	"pith/codec"
	"pith/eval"
	"pith/internal/human"
	"pith/observe"
	"pith/plan"
	"pith/stack"
)

// stackFlags are what pith stack is told.
type stackFlags struct {
	out, cut, order     string
	texts               []string
	stats               string
	codec, method, kept string
	o                   stack.Options
	asJSON              bool
}

func stackCommand(s streams) *cobra.Command {
	var f stackFlags
	c := &cobra.Command{
		Use:   "stack MODEL -o FILE --text FILE",
		Short: "Make one file that loads at any size",
		Long: `Writes a model as a stack: every matrix of its layers is a sum of blocks, each a sign per weight and a magnitude of low rank (BitStack), and
the file holds the blocks in the order of what they are worth for their bytes. Whoever opens it uses as much as it has room for, with --budget of
run, eval and bench, or of the file as it is: every prefix that holds the mandatory part (everything but the blocks, and the first of each matrix) is a model,
so that "head -c", a download that was broken off, or --cut make a smaller one.

Blocks are fitted to what the outputs lose on --text (or to the statistics of pith calibrate, --stats), and sorted by what each takes off that loss,
matrices weighted by the KL divergence that probes on the text measure. What is finished stays in FILE.work until the end; the same command resumes.

With --cut SIZE, MODEL is a stack, of which the largest size within SIZE is copied.`,
		Example: `  pith stack MODEL -o model.pithstack --text calibration.txt
  pith run model.pithstack --budget 900MiB --prompt "Once upon a time"
  pith stack model.pithstack --cut 900MiB -o small.pithstack`,
		Args: one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			if f.out == "" {
				return errNoOutput
			}
			if f.cut != "" {
				return f.cutStack(s, args[0])
			}
			return f.build(c, s, args[0])
		},
	}
	p := c.Flags()
	p.StringVarP(&f.out, "output", "o", "", "file to write (required)")
	p.StringArrayVar(&f.texts, "text", nil, "calibrate and probe on this text file (may be given more than once); without text or statistics, blocks are fitted to the weights alone")
	p.StringVar(&f.stats, "stats", "", "calibrate with the statistics that pith calibrate wrote")
	p.IntVar(&f.o.Context, "ctx", 0, "with --text: tokens of a window (default 512, or the model's context)")
	p.IntVar(&f.o.Windows, "chunks", 0, "with --text: windows to read (default all)")
	p.IntVar(&f.o.Levels, "levels", 8, "blocks of each matrix: about a bit per weight each")
	p.IntVar(&f.o.Rank, "k", 0, "rank of the magnitudes (default by the matrix' shape: 1 to 16, so that factors take an eighth of a bit at most)")
	p.IntVar(&f.o.Refits, "refits", 4, "how often a block's factors and signs are fitted in turn; fewer is faster, -1 is the paper's block")
	p.StringVar(&f.kept, "keep-codec", "int8-g64", "how the embedding and the head are stored, which every size has; \"keep\" leaves them as they are")
	p.StringVar(&f.order, "order", string(stack.ByLoss), "how blocks are sorted: loss, or level (the paper's: level by level, by perplexity; a probe for every block)")
	p.IntVar(&f.o.Probes, "probe-tokens", 0, "tokens of the text to probe with (default 2048); -1 probes nothing and takes all matrices as equally important")
	p.StringVar(&f.codec, "codec", "", "make blocks of another codec than signs, such as tcq-hash16-1 or int2-g64")
	p.StringVar(&f.method, "method", "", "with --codec: what solves the blocks (default ldlq with data, nearest without)")
	p.StringVar(&f.cut, "cut", "", "copy the largest size of a stack within this many bytes, as in 900MiB")
	workersFlag(c, &f.o.Workers)
	offer(c, "order", string(stack.ByLoss), string(stack.ByLevels))
	jsonFlag(c, &f.asJSON)
	return c
}

// build makes a stack.
func (f *stackFlags) build(c *cobra.Command, s streams, path string) error {
	if f.stats != "" && len(f.texts) > 0 {
		return errors.New("give --text or --stats, not both")
	}
	if f.method != "" && f.codec == "" {
		return errors.New("--method goes with --codec")
	}
	ckpt, err := checkpoint.Open(path)
	if err != nil {
		return err
	}
	defer ckpt.Close()
	if ckpt.Stack() != nil {
		return fmt.Errorf("%s: is a stack already; make the new one of the original model, or a smaller one with --cut", path)
	}
	if f.o.Texts, err = readTexts(f.texts); err != nil {
		return err
	}
	if f.stats != "" {
		if f.o.Stats, err = observe.OpenStats(f.stats, ckpt); err != nil {
			return err
		}
		defer f.o.Stats.Close()
	}
	if err := f.chooseMethod(); err != nil {
		return err
	}
	f.o.Keep, f.o.Order, f.o.Tool = f.kept, stack.Order(f.order), "pith "+version
	m := newMeter(s.err, "stack", f.asJSON)
	defer m.finish()
	stage := ""
	f.o.Progress = func(p stack.Progress) {
		if p.Stage != stage {
			m.finish()
			m.restart(p.Stage)
			stage = p.Stage
		}
		m.update(p.Done, p.Total, p.Note)
	}
	r, err := stack.Build(c.Context(), ckpt, f.out, f.o)
	if err != nil {
		return err
	}
	m.finish()
	if f.asJSON {
		return printJSON(s.out, r)
	}
	return printStack(s.out, r)
}

// chooseMethod sets what solves the blocks.
func (f *stackFlags) chooseMethod() error {
	if f.codec == "" {
		if f.o.Refits == 0 {
			return errors.New("--refits 0 is neither the paper's block (-1) nor a refit (1 or more)")
		}
		return nil
	}
	c, err := codec.Parse(f.codec)
	if err != nil {
		return err
	}
	if _, isSum := c.(codec.Sum); isSum {
		return fmt.Errorf("--codec %s: is a sum, and a block is one term of it: name one codec", f.codec)
	}
	if f.method == "" {
		f.method = "nearest"
		if f.o.Stats != nil || len(f.o.Texts) > 0 {
			f.method = "ldlq"
		}
	}
	f.o.MethodName = f.method + " " + f.codec
	f.o.Method = func(int, int) (approx.Method, error) {
		return (&plan.Line{Weight: "--codec", Codec: f.codec, Method: f.method}).NewMethod()
	}
	_, err = f.o.Method(1, 1)
	return err
}

// printStack writes a report for people.
func printStack(w io.Writer, r stack.Report) error {
	fmt.Fprintf(w, "%s\n", r.Path)
	fmt.Fprintf(w, "  %d sizes, from %s (%.3f bits per weight) to %s (%.3f)\n", r.Blocks-r.Mandatory+1, human.ExactSize(r.MandatoryBytes), r.SmallestBPW, human.ExactSize(r.Bytes), r.LargestBPW)
	probes := fmt.Sprintf("%s tokens of probes", human.Count(r.Probed))
	if r.Probed == 0 {
		probes = "no probes"
	}
	_, err := fmt.Fprintf(w, "  %d blocks of %d matrices, sorted by %s with %s\n", r.Blocks, r.Matrices, r.Order, probes)
	if r.Resumed > 0 && err == nil {
		_, err = fmt.Fprintf(w, "  %d matrices were solved by an earlier run\n", r.Resumed)
	}
	return err
}

// cutStack copies a smaller size of a stack.
func (f *stackFlags) cutStack(s streams, path string) error {
	bytes, err := human.ParseSize(f.cut)
	if err != nil {
		return fmt.Errorf("--cut: %w", err)
	}
	blocks, err := checkpoint.CutStack(path, f.out, bytes)
	if err != nil {
		return err
	}
	c, err := checkpoint.Open(f.out)
	if err != nil {
		return err
	}
	defer c.Close()
	size := c.Stack().BytesOf(blocks)
	if f.asJSON {
		return printJSON(s.out, struct {
			Path   string `json:"path"`
			Bytes  int64  `json:"bytes"`
			Blocks int    `json:"blocks"`
		}{f.out, size, blocks})
	}
	_, err = fmt.Fprintf(s.out, "%s: %s, %d blocks\n", f.out, human.ExactSize(size), blocks)
	return err
}

// budgetFlag adds --budget, whose value parseBudget reads.
func budgetFlag(c *cobra.Command, budget *string) {
	c.Flags().StringVar(budget, "budget", "", "of a stack (pith stack): use the largest size within this, as in 900MiB, 943718400 or 3.5bpw (bits for each weight of the model); default all of the file")
}

// parseBudget reads a size, or bits per weight.
func parseBudget(text string) (b eval.Budget, err error) {
	if text == "" {
		return b, nil
	}
	if bits, ok := strings.CutSuffix(strings.ToLower(text), "bpw"); ok {
		if b.BitsPerWeight, err = strconv.ParseFloat(strings.TrimSpace(bits), 64); err != nil || !(b.BitsPerWeight > 0) || b.BitsPerWeight > 1000 {
			return b, fmt.Errorf("--budget %s: give bits per weight as in 3.5bpw", text)
		}
		return b, nil
	}
	if b.Bytes, err = human.ParseSize(text); err != nil {
		return b, fmt.Errorf("--budget: %w", err)
	}
	if b.Bytes <= 0 {
		return b, fmt.Errorf("--budget %s: more than 0 is needed", text)
	}
	return b, nil
}

// parseBudgets reads several, between commas.
func parseBudgets(list string) (all []eval.Budget, err error) {
	if list == "" {
		return nil, nil
	}
	for _, item := range strings.Split(list, ",") {
		b, err := parseBudget(strings.TrimSpace(item))
		if err != nil || b == (eval.Budget{}) {
			return nil, fmt.Errorf("--budgets %s: give sizes between commas, as in 300KB,600KB or 2.5bpw,3.5bpw", list)
		}
		all = append(all, b)
	}
	return all, nil
}

// stackView is what inspect says of a stack.
type stackView struct {
	Tool           string          `json:"tool"`
	Made           json.RawMessage `json:"made,omitempty"`
	Blocks         int             `json:"blocks"`         // whole ones that the file holds
	Written        int             `json:"written_blocks"` // before it was cut
	Mandatory      int             `json:"mandatory_blocks"`
	Bytes          int64           `json:"bytes"` // of the prefix that these blocks end
	MandatoryBytes int64           `json:"mandatory_bytes"`
}

// viewStack describes the stack of a checkpoint, nil if it is none.
func viewStack(c *checkpoint.Checkpoint) *stackView {
	s := c.Stack()
	if s == nil {
		return nil
	}
	tool, made := s.Made()
	return &stackView{tool, made, s.Blocks(), s.Written(), s.Mandatory(), s.BytesOf(s.Blocks()), s.BytesOf(s.Mandatory())}
}

// String is viewStack's line for people.
func (v *stackView) String() string {
	text := fmt.Sprintf("%d sizes, from %s to %s", v.Blocks-v.Mandatory+1, human.ExactSize(v.MandatoryBytes), human.ExactSize(v.Bytes))
	if v.Blocks < v.Written {
		text += fmt.Sprintf("; cut: %d of %d blocks are there", v.Blocks, v.Written)
	}
	return text
}
