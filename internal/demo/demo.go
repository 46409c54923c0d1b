// Package demo is `pith demo`: the main job from checkpoint to proven artifacts, on a small model that is part of the program. It
// exists so that a new user sees real figures in a minute without a download, and so that a test runs the whole road.
package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"pith/checkpoint"
	"pith/compress"
	"pith/eval"
	"pith/formats"
	"pith/internal/human"
	"pith/plan"
)

//go:embed model heldout.txt sample.txt
var embedded embed.FS

// Files returns the embedded model's files, a Hugging Face directory.
func Files() fs.FS {
	files, err := fs.Sub(embedded, "model")
	if err != nil {
		panic("demo: the embedded directory has a valid name")
	}
	return files
}

// Codecs are the settings that the demo compresses with, from many bits to few.
func Codecs() []string {
	return []string{"q8_0", "int8-g128", "q6_k", "int6-g64", "q5_k", "q4_k", "int4-g32", "q4_0", "int4-g128", "q3_k", "int3-g64", "int2-g32"}
}

// Options are for those who want another demo; the zero value is the demo.
type Options struct {
	Model     fs.FS    // a Hugging Face directory; nil: the embedded one
	Codecs    []string // nil: Codecs()
	TextBytes int      // of held-out text to evaluate on; 0: 32,000
	Workers   int      // 0: all cores
}

// Row is one line of the demo's table.
type Row struct {
	Codec  string      `json:"codec"`
	Path   string      `json:"path"`
	Result eval.Result `json:"result"`
	Decode float64     `json:"decode_tokens_per_second"`
}

// Run does the demo: unpack the model below out, inspect it, plan, compress with each codec, open the artifacts again from disk and
// evaluate each against the original, telling w as it goes. It returns the table, the original's row first.
func Run(ctx context.Context, out string, w io.Writer, o Options) ([]Row, error) {
	if o.Model == nil {
		o.Model = Files()
	}
	if o.Codecs == nil {
		o.Codecs = Codecs()
	}
	if o.TextBytes == 0 {
		o.TextBytes = 32_000
	}
	if o.Workers == 0 {
		o.Workers = runtime.NumCPU()
	}
	d := demo{Options: o, out: out, w: w}
	d.model = filepath.Join(out, "model")
	if err := unpack(o.Model, d.model); err != nil {
		return nil, err
	}
	if err := d.inspect(); err != nil {
		return nil, err
	}
	text, where, err := heldOut(goRoots(ctx), o.TextBytes)
	if err != nil {
		return nil, err
	}
	d.text = text
	fmt.Fprintf(w, "text        %s bytes of %s\n", human.Count(len(text)), where)
	return d.rows(ctx)
}

// demo is one run.
type demo struct {
	Options
	out, model string
	w          io.Writer
	text       []byte
	base       *eval.Opened
}

// unpack writes the model's files to dir, atomically each; files that are there with the right bytes are left alone.
func unpack(files fs.FS, dir string) error {
	if _, err := fs.Stat(files, "config.json"); err != nil {
		return errors.New("this build of pith has no embedded model: see internal/demo/README.md")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("%w: choose a directory you may write to with -o", err)
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		data, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return err
		}
		path := filepath.Join(dir, e.Name())
		if old, err := os.ReadFile(path); err == nil && slices.Equal(old, data) {
			continue
		}
		err = formats.WriteFileAtomic(path, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) inspect() error {
	c, err := checkpoint.Open(d.model)
	if err != nil {
		return err
	}
	defer c.Close()
	cfg, err := c.Config()
	if err != nil {
		return err
	}
	fmt.Fprintf(d.w, "model       %s: %s, %d layers of %d, %d heads (%d KV), vocabulary %s\n", d.model, cfg.ModelType, cfg.Layers, cfg.Hidden,
		cfg.Heads, cfg.KVHeads, human.Count(cfg.Vocab))
	fmt.Fprintf(d.w, "parameters  %s in %s\n", human.Count(c.NumWeights()), human.ExactSize(c.Bytes()))
	return nil
}

// rows makes and prints the table, row by row as they come.
func (d *demo) rows(ctx context.Context) ([]Row, error) {
	var err error
	if d.base, err = eval.Open(d.model, d.Workers); err != nil {
		return nil, err
	}
	fmt.Fprintf(d.w, "\nEach line: plan, compress, write, open again from disk, evaluate against the original (KL and agreement; every token once).\n\n")
	fmt.Fprintf(d.w, "%-11s %12s %12s %11s %10s %8s %10s\n", "codec", "bytes", "bits/weight", "perplexity", "KL", "top-1", "tokens/s")
	original, err := d.measure(ctx, "original", d.model)
	if err != nil {
		return nil, err
	}
	rows := []Row{original}
	for _, name := range d.Codecs {
		dir := filepath.Join(d.out, name)
		if err := d.compress(ctx, name, dir); err != nil {
			return nil, err
		}
		row, err := d.measure(ctx, name, dir)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	fmt.Fprintf(d.w, "\nThe artifacts are in %s. Next:\n", d.out)
	last := filepath.Join(d.out, d.Codecs[len(d.Codecs)/2])
	for _, line := range []string{"inspect " + last, "verify " + last, "run " + last + " --prompt \"func main() {\" -n 60 --temp 0.7", "compress " + d.model + " --codec q4_k -o " + filepath.Join(d.out, "model-q4_k.gguf")} {
		fmt.Fprintf(d.w, "  pith %s\n", line)
	}
	return rows, nil
}

// compress writes the artifact of one codec; an artifact of the same plan that is there already is checked and kept.
func (d *demo) compress(ctx context.Context, name, dir string) error {
	recipe, err := plan.FromCodec(name, "", false)
	if err != nil {
		return err
	}
	c, err := checkpoint.Open(d.model)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := plan.Resolve(c, recipe)
	if err != nil {
		return err
	}
	_, err = compress.Run(ctx, c, p, dir, compress.Options{Workers: d.Workers, Overwrite: true, Tool: "pith demo"})
	return err
}

// measure opens a model from disk, evaluates it against the original and prints its row.
func (d *demo) measure(ctx context.Context, name, path string) (Row, error) {
	m, err := eval.Open(path, d.Workers)
	if err != nil {
		return Row{}, err
	}
	base := d.base
	if path == d.model {
		base = nil
	}
	r, err := eval.Compare(ctx, m, base, d.text, eval.Options{Protocol: eval.BitsPerByte, Workers: d.Workers})
	if err != nil {
		return Row{}, err
	}
	speed, err := m.DecodeSpeed(ctx, 48)
	if err != nil {
		return Row{}, err
	}
	kl, agreement := "", ""
	if r.Comparison != nil {
		kl, agreement = fmt.Sprintf("%.5f", r.KLMean), fmt.Sprintf("%.2f %%", 100*r.Agreement)
	}
	fmt.Fprintf(d.w, "%-11s %12s %12.3f %11.4f %10s %8s %10.0f\n", name, human.Count(r.FileBytes), r.BitsPerWeight, r.Perplexity, kl, agreement, speed)
	return Row{name, path, r, speed}, nil
}
