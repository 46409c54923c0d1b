package compress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pith/checkpoint"
	"pith/formats"
	"pith/formats/interop"
	"pith/internal/lock"
	"pith/plan"
)

// RunGGUF carries out p as Run does and leaves one GGUF file: out itself if its name ends in .gguf, else model.gguf in the directory out. It
// works in an artifact beside that file (its name with .work), from which an interrupted run resumes, and which is removed at the end.
func RunGGUF(ctx context.Context, ckpt *checkpoint.Checkpoint, p *plan.Plan, out string, o Options) (Result, error) {
	path := ggufPath(out)
	if err := checkGGUF(ckpt, p, path, o); err != nil {
		return Result{}, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return Result{}, writeError(filepath.Dir(path), err)
	}
	work := workDir(path)
	r, err := Run(ctx, ckpt, p, work, o)
	if err != nil {
		return Result{}, err
	}
	packed, err := checkpoint.Open(work)
	if err != nil {
		return Result{}, err
	}
	defer packed.Close()
	warn := func(note string) { r.Notes = append(r.Notes, note) }
	if err := writeGGUF(packed, path, interop.GGUFOptions{Warn: warn}); err != nil {
		return Result{}, err
	}
	if r.Bytes, r.ShardBytes, err = sizes(path); err != nil {
		return Result{}, err
	}
	r.Dir = path
	return r, removeWork(work)
}

// sizes opens a GGUF file that was just written and returns the bytes of its tensors and of the file.
func sizes(path string) (tensors, file int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	g, err := formats.OpenGGUF(path)
	if err != nil {
		return 0, 0, err
	}
	defer g.Close()
	for _, t := range g.Tensors() {
		tensors += t.Bytes
	}
	return tensors, info.Size(), nil
}

// InGGUF returns p with the bytes that a GGUF file takes: it holds vectors, and learned positions, in F32 only. An error names the first
// weight that GGUF has no layout for, or shortcut matrices of the checkpoint. Tensors that llama.cpp wants besides the checkpoint's (rotary factors) are not counted.
func InGGUF(ckpt *checkpoint.Checkpoint, p *plan.Plan) (*plan.Plan, error) {
	if err := checkGGUFModel(ckpt); err != nil {
		return nil, err
	}
	if err := checkLayouts(p); err != nil {
		return nil, err
	}
	q := *p
	q.Blocks = make([]plan.Block, len(p.Blocks))
	q.Totals.Bytes = 0
	stored := map[string]plan.Line{} // in GGUF every layer has tensors of its own
	for i, b := range p.Blocks {
		lines := slices.Clone(b.Lines)
		for j := range lines {
			if l := &lines[j]; (len(l.Shape) < 2 || l.Role == "position") && l.Codec != "f32" {
				l.Codec, l.Bytes, l.Note = "f32", 4*l.Elements(), "always F32 in GGUF"
			}
			if l := &lines[j]; l.Alias() {
				l.Bytes, l.Note = stored[l.Of].Bytes, "of "+l.Of+", which GGUF stores again"
			}
			stored[lines[j].Weight] = lines[j]
			q.Totals.Bytes += lines[j].Bytes
		}
		q.Blocks[i] = plan.Block{Name: b.Name, Lines: lines}
	}
	q.Totals.BitsPerWeight = 8 * float64(q.Totals.Bytes) / float64(max(1, q.Totals.Weights))
	return &q, nil
}

// checkGGUF refuses what could only fail after the work is done.
func checkGGUF(ckpt *checkpoint.Checkpoint, p *plan.Plan, path string, o Options) error {
	if err := checkLayouts(p); err != nil {
		return err
	}
	return checkGGUFOutput(ckpt, path, o.Overwrite)
}

// checkGGUFOutput is the part of checkGGUF that needs no plan.
func checkGGUFOutput(ckpt *checkpoint.Checkpoint, path string, overwrite bool) error {
	if _, err := ckpt.Config(); err != nil {
		return fmt.Errorf("GGUF needs the model's architecture: %w", err)
	}
	if err := checkGGUFModel(ckpt); err != nil {
		return err
	}
	if _, err := ckpt.Tokenizer(); err != nil {
		return fmt.Errorf("GGUF holds the tokenizer too: %w", err)
	}
	if err := checkNotSourceFile(path, ckpt); err != nil {
		return err
	}
	if _, err := os.Stat(workDir(path)); err == nil {
		return nil // a run that was killed, perhaps just after it made the file: the plan in its directory decides whether this one goes on
	}
	return checkFree(path, overwrite)
}

// workDir returns the directory of the artifact that the GGUF file at path is made from.
func workDir(path string) string { return path + ".work" }

// inGGUF reports whether GGUF has a layout for a codec, or a sum of codecs: GGML's types and dtypes have plain names, Pith's own codecs hyphens.
func inGGUF(codec string) bool { return !strings.ContainsAny(codec, "-+") }

// checkLayouts refuses a plan that has a codec without a GGUF layout.
func checkLayouts(p *plan.Plan) error {
	for _, l := range p.Lines() {
		if err := CheckGGUFLayout(l.Codec); err != nil {
			return fmt.Errorf("%s: %w", l.Weight, err)
		}
	}
	return nil
}

// CheckGGUFLayout refuses a codec without a GGUF layout.
func CheckGGUFLayout(codec string) error {
	if inGGUF(codec) {
		return nil
	}
	return fmt.Errorf("GGUF has no layout for %s: choose a codec of GGML such as q8_0, q6_k, q4_k or q4_0, or --format pith", codec)
}

// writeGGUF writes an open checkpoint as one GGUF file.
func writeGGUF(c *checkpoint.Checkpoint, path string, o interop.GGUFOptions) error {
	cfg, err := c.Config()
	if err != nil {
		return err
	}
	tok, err := c.Tokenizer()
	if err != nil {
		return err
	}
	return interop.ExportGGUF(path, cfg, tok, c, o)
}

// removeWork removes the artifact that RunGGUF worked in: only the files that its manifest names, and then the directory if it is empty.
func removeWork(dir string) error {
	m, err := checkpoint.ReadManifest(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range m.Files {
		errs = append(errs, os.Remove(filepath.Join(dir, f.Name)))
	}
	for _, name := range []string{checkpoint.ManifestName, lock.DirName, checkpoint.PlanName} {
		if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, os.Remove(dir))...)
}
