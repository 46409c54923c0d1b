package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pith/compress"
	"pith/internal/human"
	"pith/plan"
)

func compressCommand(s streams) *cobra.Command {
	var (
		f         planFlags
		overwrite bool
		asJSON    bool
	)
	c := &cobra.Command{
		Use:   "compress MODEL -o OUT",
		Short: "Compress a checkpoint",
		Long: `Carries out what pith plan shows, block by block, in bounded memory. OUT is a new directory (--format pith: a Pith artifact), or
a .gguf file for llama.cpp (--format gguf, or an OUT that ends in .gguf).

An interrupted run leaves whole files only; the same command resumes where it stopped, with the same bytes in the end.
With --json, standard output is one JSON object a line: started, progress, block, skipped, finished, and last the result.
` + codecHelp,
		Example: `  pith compress MODEL --codec int4-g128 -o out
  pith compress MODEL --bpw 2.5 --text calibration.txt -o out2
  pith compress MODEL --recipe mixed.yaml -o out --memory 512MiB --workers 2
  pith compress MODEL --codec q4_k -o model-q4_k.gguf
  pith compress MODEL --method sparsegpt --codec int4-g128-2:4 --text calibration.txt -o sparse
  pith compress MODEL --drop-layers 2 --text calibration.txt -o shallow
  pith compress MODEL --slice 25% --text calibration.txt -o narrow`,
		Args: one("MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			if f.output == "" {
				return errNoOutput
			}
			memory, err := f.memoryBytes()
			if err != nil {
				return err
			}
			f.beside, f.overwrite = f.output, overwrite
			ckpt, p, err := f.resolve(c.Context(), args[0], quietly(s.err, asJSON))
			if err != nil {
				return err
			}
			defer ckpt.Close()
			open := f.calibration.open
			if !p.Solves() {
				open = noStatistics // nobody would look at them
			}
			statistics, free, err := open(c.Context(), ckpt, p, f.workers)
			if err != nil {
				return err
			}
			defer free()
			m, events := newMeter(s.err, "compress", asJSON), newEventWriter(s.out)
			o := compress.Options{Workers: f.workers, MemoryBytes: memory, Overwrite: overwrite, Tool: "pith " + version, Statistics: statistics}
			o.Events = func(e compress.Event) {
				if asJSON {
					events.write(e) // a reader that went away must not stop the work
					return
				}
				m.update(e.DoneWeights, e.TotalWeights, fmt.Sprintf("%s (%d of %d)", e.Block, e.Index+1, e.Blocks))
			}
			run := compress.Run
			if f.format == "gguf" {
				run = compress.RunGGUF
			}
			r, err := run(c.Context(), ckpt, p, f.output, o)
			m.finish()
			if err != nil {
				return err
			}
			if err := f.forget(); err != nil {
				return err
			}
			if f.calibration.note != "" {
				r.Notes = append(r.Notes, f.calibration.note)
			}
			r.Notes = append(r.Notes, f.vocabulary.notes...)
			if asJSON {
				return events.write(resultEvent{"result", r, 8 * float64(r.Bytes) / float64(max(1, r.Weights))})
			}
			return printCompressed(s, p, r)
		},
	}
	f.add(c)
	c.Flags().BoolVar(&overwrite, "overwrite", false, "replace an artifact of another plan in OUT")
	jsonFlag(c, &asJSON)
	return c
}

// resultEvent is the last line of compress --json.
type resultEvent struct {
	Event string `json:"event"`
	compress.Result
	BitsPerWeight float64 `json:"bits_per_weight"`
}

// gathered makes one note of those that say the same of many weights ("weight: what"), so that thirty layers do not hide the result.
func gathered(notes []string) []string {
	count := map[string]int{}
	for _, n := range notes {
		_, what, _ := strings.Cut(n, ": ")
		count[what]++
	}
	var out []string
	for _, n := range notes {
		weight, what, _ := strings.Cut(n, ": ")
		switch k := count[what]; {
		case what == "" || k == 1:
			out = append(out, n)
		case k > 1:
			out = append(out, fmt.Sprintf("%s and %d more: %s", weight, k-1, what))
			count[what] = 0
		}
	}
	return out
}

// printCompressed writes what a run made.
func printCompressed(s streams, p *plan.Plan, r compress.Result) error {
	fmt.Fprintf(s.out, "written     %s\n", r.Dir)
	if r.Skipped > 0 {
		fmt.Fprintf(s.out, "resumed     %d of %d blocks were there already\n", r.Skipped, r.Blocks)
	}
	if p.Vocabulary != nil {
		fmt.Fprintf(s.out, "vocabulary  %s\n", tokensLeft(p.Vocabulary))
	}
	if p.Structure != nil {
		fmt.Fprintln(s.out, structureLine(p.Structure))
	}
	if p.Sharing != nil {
		fmt.Fprintln(s.out, sharingLine(p))
	}
	fmt.Fprintf(s.out, "weights     %s\n", human.Count(r.Weights))
	fmt.Fprintf(s.out, "tensors     %s, %.3f bits per weight\n", human.ExactSize(r.Bytes), 8*float64(r.Bytes)/float64(max(1, r.Weights)))
	fmt.Fprintf(s.out, "files       %s\n", human.ExactSize(r.ShardBytes))
	weighted := ""
	if p.Calibration != nil { // approx.Report
		weighted = ", columns weighted by the mean squares of their inputs"
	}
	if p.Structure != nil && sharesLayers(p.Structure) {
		weighted += ", of what is stored: layers that use another's matrices are not compared with their own"
	}
	fmt.Fprintf(s.out, "error       ‖W − Ŵ‖² is %.3g %% of ‖W‖²%s\n", 100*r.RelError, weighted)
	if n := fallbackNote(p); n != "" {
		fmt.Fprintf(s.out, "note        %s\n", n)
	}
	for _, n := range gathered(r.Notes) {
		fmt.Fprintf(s.out, "note        %s\n", n)
	}
	speed := ""
	if r.Seconds > 0 && r.Solved > 0 {
		speed = ", " + human.Count(int64(float64(r.Solved)/r.Seconds)) + " weights/s"
	}
	_, err := fmt.Fprintf(s.out, "time        %s%s\n", human.Duration(seconds(r.Seconds)), speed)
	return err
}
