package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/internal/human"
	"pith/structure"
)

func layersCommand(s streams) *cobra.Command {
	var (
		o        structure.Options
		texts    []string
		drop     int
		anyLayer bool
		asJSON   bool
	)
	c := &cobra.Command{
		Use:   "layers MODEL --text FILE",
		Short: "Rank the layers by what leaving them out costs",
		Long: `Runs the model over a text, whole and without single layers, and prints what pith compress --drop-layers chooses by:

  bi      block influence, 1 − mean cosine of the residual stream before and after the layer (ShortGPT)
  loo     KL divergence of the model without the layer from the whole model
  window  the N neighbouring layers whose ends are most alike (LLM-Streamline)
  greedy  loo, measured again after each removal

and how far these orders agree (Spearman's rank correlation over all layers). The first two layers and the last one are protected.`,
		Example: "  pith layers MODEL --text calibration.txt\n  pith layers MODEL --text calibration.txt --drop 4 --json",
		Args:    one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(texts) == 0 {
				return errors.New("--text is missing: name a file to run the model on")
			}
			if o.Context < 0 || o.Windows < 1 || drop < 0 {
				return errors.New("--ctx, --chunks and --drop are numbers of tokens, windows and layers")
			}
			data, err := readTexts(texts)
			if err != nil {
				return err
			}
			ckpt, err := checkpoint.Open(args[0])
			if err != nil {
				return err
			}
			defer ckpt.Close()
			p := structure.DefaultProtection()
			if anyLayer {
				p = structure.Protection{}
			}
			n, err := dropCount(ckpt, drop, p)
			if err != nil {
				return err
			}
			m := newMeter(s.err, "layers", asJSON)
			defer m.finish()
			o.Progress = func(what string, done, of int) { m.update(int64(done), int64(of), what) }
			r, err := structure.Measure(c.Context(), ckpt, data, n, p, o)
			if err != nil {
				return err
			}
			m.finish()
			if asJSON {
				return printJSON(s.out, r)
			}
			return printLayers(s.out, r)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&texts, "text", nil, "text to run the model on (required; may be given more than once)")
	f.IntVar(&drop, "drop", 0, "layers that window and greedy are about (default a quarter of them)")
	f.BoolVar(&anyLayer, "any-layer", false, "protect no layer")
	f.IntVar(&o.Context, "ctx", 0, "tokens of a window (default 512, or the model's context)")
	f.IntVar(&o.Windows, "chunks", rankWindows, "windows to read, spread over the text")
	workersFlag(c, &o.Workers)
	jsonFlag(c, &asJSON)
	return c
}

// dropCount returns --drop, or its default: a quarter of the layers, no more than may be chosen.
func dropCount(c *checkpoint.Checkpoint, asked int, p structure.Protection) (int, error) {
	config, err := c.Config()
	if err != nil {
		return 0, err
	}
	free := max(0, config.Layers-p.First-p.Last)
	if p == (structure.Protection{}) {
		free = config.Layers - 1
	}
	if asked > free {
		return 0, fmt.Errorf("--drop %d: of %d layers, %d may be left out (--any-layer lifts the protection of the first two and the last)", asked, config.Layers, free)
	}
	if asked == 0 {
		asked = min(free, max(1, config.Layers/4))
	}
	return asked, nil
}

// printLayers writes the scores as a table, then the correlations.
func printLayers(w io.Writer, r *structure.Report) error {
	t := human.NewTable(">layer", ">bi", ">KL without", ">perplexity without", fmt.Sprintf(">similar %d on", max(1, r.Drop)), ">greedy", "note")
	for _, l := range r.Layers {
		similar, step, note := "", "", ""
		if n := max(1, r.Drop); n <= len(r.Similarity[l.Layer]) {
			similar = fmt.Sprintf("%.4f", r.Similarity[l.Layer][n-1])
		}
		if i := slices.IndexFunc(r.Removals, func(x structure.Removal) bool { return x.Layer == l.Layer }); i >= 0 {
			step = fmt.Sprintf("%d (KL %.4f)", i+1, r.Removals[i].KL)
		}
		if !l.Droppable {
			note = "protected"
		}
		t.Add(fmt.Sprint(l.Layer), fmt.Sprintf("%.5f", l.Influence), fmt.Sprintf("%.5f", l.KL), fmt.Sprintf("%.3f", l.Perplexity), similar, step, note)
	}
	if err := t.Print(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "\ntext        %s tokens in %d windows, perplexity of the whole model %.3f\n", human.Count(r.Corpus.Tokens), r.Corpus.Windows, r.Perplexity)
	for _, c := range r.Correlation {
		fmt.Fprintf(w, "spearman    %+.3f  %s and %s\n", c.Spearman, c.A, c.B)
	}
	if r.Drop == 0 {
		return nil
	}
	for _, by := range structure.Rankers() {
		if choice, ok := r.Choice(by, r.Drop); ok {
			fmt.Fprintf(w, "%-12s--drop-layers %d would leave out %s\n", by, r.Drop, numbers(choice))
		}
	}
	return nil
}
