package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pith/calib"
	"pith/checkpoint"
	"pith/internal/human"
	"pith/observe"
)

func calibrateCommand(s streams) *cobra.Command {
	var (
		o      observe.Options
		texts  []string
		output string
		memory string
		merge  bool
		asJSON bool

		gradients int
	)
	c := &cobra.Command{
		Use:   "calibrate MODEL --text FILE -o STATS",
		Short: "Gather the statistics of a model's activations on a text",
		Long: `Runs MODEL over a text, one layer in memory at a time, and saves for each input of linear layers what better quantizers ask for: the
Gram matrix Σ x·xᵀ (with --moments-only its diagonal alone). Weights that share an input (q, k and v; gate and up) share its statistics.

The text is cut into windows of --ctx tokens from its beginning, as llama.cpp's llama-imatrix does; --text may be given several times.
A STATS that ends in .gguf or .dat is written as llama.cpp's importance matrix in that form; anything else is a safetensors file.
An interrupted run resumes with the same command, to the same bytes; finished layers lie in STATS.work meanwhile.

With --gradients N, N windows are read once more, forwards and backwards (about five times the work), and the squared gradients of the loss are
kept by rows and columns of every weight, for method fwsvd. Networks like Llama only (llama, mistral, qwen2).

With --merge, the arguments are files of statistics of one model on different texts, and STATS their sum. One file alone is converted to
the form of STATS.`,
		Example: `  pith calibrate MODEL --text calibration.txt -o stats.safetensors
  pith calibrate MODEL --text a.txt --text b.txt --chunks 128 -o stats.safetensors
  pith calibrate MODEL --text a.txt -o imatrix.gguf
  pith calibrate --merge stats-a.safetensors stats-b.safetensors -o stats.safetensors`,
		Args: func(c *cobra.Command, args []string) error {
			if merge && len(args) > 0 {
				return nil
			}
			return one("MODEL")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if output == "" {
				return errNoOutput
			}
			if merge {
				return mergeStats(s, args, output, asJSON)
			}
			if len(texts) == 0 {
				return errors.New("--text is missing: name a file to calibrate on, one that nothing is evaluated on")
			}
			if o.Context < 0 || o.Windows < 0 {
				return errors.New("--ctx and --chunks are numbers of tokens and windows; 0 is the default")
			}
			if memory != "" {
				var err error
				if o.MemoryBytes, err = human.ParseSize(memory); err != nil {
					return fmt.Errorf("--memory: %w", err)
				}
			}
			if gradients < 0 || gradients > 0 && isImatrix(output) {
				return errors.New("--gradients is a number of windows, and importance matrices cannot hold what they give")
			}
			return calibrate(c.Context(), s, args[0], texts, output, o, gradients, asJSON)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&texts, "text", nil, "file to calibrate on; may be given several times (required)")
	f.StringVarP(&output, "output", "o", "", "file to write (required)")
	f.IntVar(&o.Context, "ctx", 0, "tokens in a window (default: 512, or the model's context if that is shorter)")
	f.IntVar(&o.Windows, "chunks", 0, "windows to read, of each text in proportion to its length (default: all)")
	f.BoolVar(&o.Moments, "moments-only", false, "gather Σ x² of each feature, without Gram matrices")
	f.IntVar(&gradients, "gradients", 0, "windows to gather squared gradients of, for method fwsvd (default: none; 32 are plenty)")
	f.StringVar(&memory, "memory", "", "bound of memory, such as 2GiB: hidden states go to disk if need be (default: those over 1 GiB do)")
	f.BoolVar(&merge, "merge", false, "add up the files of statistics that the arguments name")
	workersFlag(c, &o.Workers)
	jsonFlag(c, &asJSON)
	return c
}

// isImatrix reports whether a path names an importance matrix of llama.cpp.
func isImatrix(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".gguf", ".dat":
		return true
	}
	return false
}

// calibration is what calibrate made, as --json prints it.
type calibration struct {
	Path      string         `json:"path"`
	Bytes     int64          `json:"bytes"`
	Model     calib.Model    `json:"model"`
	Corpora   []calib.Corpus `json:"corpora"`
	Sites     []calib.Site   `json:"sites"`
	NonFinite int64          `json:"non_finite"` // tokens that the site with the most of them left out
	Plan      *observe.Plan  `json:"plan,omitempty"`
	Gradients *gradientsMade `json:"gradients,omitempty"`
	Resumed   int            `json:"resumed_layers"`
	Seconds   float64        `json:"seconds"`
}

func calibrate(ctx context.Context, s streams, path string, texts []string, output string, o observe.Options, gradients int, asJSON bool) error {
	start := time.Now()
	ckpt, err := checkpoint.Open(path)
	if err != nil {
		return err
	}
	defer ckpt.Close()
	if err := observe.MayReplace(output); err != nil {
		return err
	}
	var corpus []observe.Text
	for _, t := range texts {
		data, err := readText(t)
		if err != nil {
			return err
		}
		corpus = append(corpus, observe.Text{Name: filepath.Base(t), Data: data})
	}
	m := newMeter(s.err, "calibrate", asJSON)
	defer m.finish()
	o.Tool, o.TempDir = "pith "+version, filepath.Dir(output)
	o.Progress = func(p observe.Progress) { m.update(p.Done, p.Total, partNote(p)) }
	o.Moments = o.Moments || isImatrix(output)
	b, err := observe.New(ctx, ckpt, corpus, o)
	if err != nil {
		return err
	}
	defer b.Close()
	if gradients == 0 {
		corpus = nil
	} else if err := canDifferentiate(ckpt); err != nil {
		return err
	}
	plan := b.Plan()
	if !asJSON {
		printCalibrationPlan(s, plan)
	}
	stats := output
	if isImatrix(output) {
		stats += ".statistics"
	}
	resumed, err := b.Run(ctx, stats)
	m.finish()
	if err != nil {
		return err
	}
	var made *gradientsMade
	if gradients > 0 {
		if made, err = addGradients(ctx, s, ckpt, corpus, stats, o, gradients, asJSON); err != nil {
			return err
		}
	}
	if stats != output {
		if err := convertStats(stats, output); err != nil {
			return err
		}
	}
	r, err := describeStats(stats, output)
	if err != nil {
		return err
	}
	if stats != output {
		os.Remove(stats) // what it holds is in output
	}
	r.Plan, r.Gradients, r.Resumed, r.Seconds = &plan, made, resumed, time.Since(start).Seconds()
	return printCalibration(s, r, asJSON)
}

// partNote says which part of the network is being observed.
func partNote(p observe.Progress) string {
	if p.Layer == p.Layers {
		return "head"
	}
	return fmt.Sprintf("layer %d of %d", p.Layer+1, p.Layers)
}

// mergeStats carries out --merge.
func mergeStats(s streams, paths []string, output string, asJSON bool) error {
	start := time.Now()
	if err := observe.MayReplace(output); err != nil {
		return err
	}
	var sets []*calib.Set
	for _, p := range paths {
		set, err := calib.Open(p)
		if err != nil {
			return err
		}
		defer set.Close()
		sets = append(sets, set)
	}
	sum, err := calib.Merge(sets...)
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(paths, " and "), err)
	}
	if isImatrix(output) {
		err = writeImatrix(sum, output)
	} else {
		err = sum.Save(output)
	}
	if err != nil {
		return err
	}
	r, err := describeSet(sum, output)
	if err != nil {
		return err
	}
	r.Seconds = time.Since(start).Seconds()
	return printCalibration(s, r, asJSON)
}

// convertStats writes a file of statistics as an importance matrix.
func convertStats(path, output string) error {
	set, err := calib.Open(path)
	if err != nil {
		return err
	}
	defer set.Close()
	return writeImatrix(set, output)
}

func writeImatrix(set *calib.Set, output string) error {
	m, err := observe.Imatrix(set)
	if err != nil {
		return fmt.Errorf("%s: %w", output, err)
	}
	return m.Write(output)
}

// describeStats sums up the file of statistics at path, which was written to output.
func describeStats(path, output string) (calibration, error) {
	set, err := calib.Open(path)
	if err != nil {
		return calibration{}, err
	}
	defer set.Close()
	return describeSet(set, output)
}

func describeSet(set *calib.Set, output string) (calibration, error) {
	info, err := os.Stat(output)
	if err != nil {
		return calibration{}, err
	}
	r := calibration{Path: output, Bytes: info.Size(), Model: set.Model, Corpora: set.Corpora, Sites: set.Sites()}
	r.NonFinite, _ = set.NonFinite()
	return r, nil
}

func printCalibrationPlan(s streams, p observe.Plan) {
	where := "in memory"
	if p.HiddenOnDisk {
		where = "on disk"
	}
	fmt.Fprintf(s.err, "calibrate: %s windows of %d tokens, %d sites, %s of statistics; %s of memory (a layer %s, its sums %s, activations %s), hidden states %s %s\n",
		human.Count(p.Windows), p.Context, p.Sites, human.Size(p.FileBytes), human.Size(p.MemoryBytes), human.Size(p.LayerBytes), human.Size(p.StatsBytes),
		human.Size(p.BatchBytes), human.Size(p.HiddenBytes), where)
}

// printCalibration writes what was made.
func printCalibration(s streams, r calibration, asJSON bool) error {
	if asJSON {
		return printJSON(s.out, r)
	}
	fmt.Fprintf(s.out, "written     %s\n", r.Path)
	if r.Resumed > 0 {
		fmt.Fprintf(s.out, "resumed     %d layers were finished already\n", r.Resumed)
	}
	for _, c := range r.Corpora {
		for _, f := range c.Files {
			fmt.Fprintf(s.out, "text        %s: %s of %s tokens read, sha256 %.12s…\n", f.Name, human.Count(int64(f.Windows)*int64(c.Context)), human.Count(f.Tokens), f.SHA256)
		}
	}
	kinds := map[calib.Need]int{}
	least := calib.Site{Tokens: -1}
	for _, site := range r.Sites {
		kinds[site.Need]++
		if least.Tokens < 0 || site.Tokens < least.Tokens {
			least = site
		}
	}
	fmt.Fprintf(s.out, "sites       %d: %d with Gram matrices, %d with moments, %d with counts\n", len(r.Sites), kinds[calib.Gram], kinds[calib.Moments], kinds[calib.Counts])
	fmt.Fprintf(s.out, "tokens      at least %s at each site\n", human.Count(least.Tokens))
	if g := r.Gradients; g != nil {
		fmt.Fprintf(s.out, "gradients   of %d weights, on %d windows whose tokens have a mean loss of %.3f nats\n", g.Weights, g.Windows, g.Loss)
	}
	for _, site := range r.Sites {
		if site.NonFinite > 0 {
			fmt.Fprintf(s.out, "left out    %s: %s tokens whose activations are not finite numbers\n", site.Name, human.Count(site.NonFinite))
		}
	}
	_, err := fmt.Fprintf(s.out, "size        %s\ntime        %s\n", human.ExactSize(r.Bytes), human.Duration(seconds(r.Seconds)))
	return err
}
