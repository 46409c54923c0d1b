package observe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"

	"pith/calib"
	"pith/checkpoint"
	"pith/formats"
	"pith/internal/lock"
	"pith/model"
)

// Identify returns what a set records of the model: its type and the sha256 of its weight files, which are read for that.
func Identify(ctx context.Context, ckpt *checkpoint.Checkpoint, c model.Config) (calib.Model, error) {
	m := calib.Model{Type: c.ModelType}
	files := ckpt.Files()
	all := sha256.New()
	for _, f := range files {
		d, err := checkpoint.DigestFile(ctx, f)
		if err != nil {
			return m, err
		}
		fmt.Fprintf(all, "%s %d %s\n", d.Name, d.Bytes, d.SHA256)
		m.SHA256 = d.SHA256
	}
	if len(files) != 1 {
		m.SHA256 = hex.EncodeToString(all.Sum(nil))
	}
	return m, nil
}

// Gather observes all layers and returns the statistics of all sites, in memory.
func (b *Observer) Gather(ctx context.Context, m calib.Model) (*calib.Set, error) {
	set := b.newSet(m)
	if err := b.addSites(set, -1, map[string]*calib.Stats{model.EmbeddingSite: b.Embedding()}); err != nil {
		return nil, err
	}
	for i := range b.config.Layers + 1 {
		part, err := b.step(ctx, i)
		if err != nil {
			return nil, err
		}
		if err := b.addSites(set, i, part); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (b *Observer) newSet(m calib.Model) *calib.Set {
	set := calib.NewSet(m, b.corpus)
	set.Tool = b.o.Tool
	return set
}

// step returns the statistics of part i of the network: a layer, or after them the head.
func (b *Observer) step(ctx context.Context, i int) (map[string]*calib.Stats, error) {
	if i < b.config.Layers {
		return b.Step(ctx, i)
	}
	s, err := b.Head(ctx)
	return map[string]*calib.Stats{model.HeadSite: s}, err
}

// partOf returns the part of the network that a site belongs to: −1 the embedding, then the layers, then the head.
func (b *Observer) partOf(s model.Site) int {
	if s.Name == model.HeadSite {
		return b.config.Layers
	}
	return s.Layer
}

// partSites returns the sites of part i.
func (b *Observer) partSites(i int) []model.Site {
	var list []model.Site
	for _, s := range b.sites {
		if b.partOf(s) == i {
			list = append(list, s)
		}
	}
	return list
}

// addSites adds the statistics of part i to a set.
func (b *Observer) addSites(set *calib.Set, i int, stats map[string]*calib.Stats) error {
	for _, s := range b.partSites(i) {
		if err := set.Add(calib.Site{Name: s.Name, Features: s.Features, Weights: s.Weights}, stats[s.Name]); err != nil {
			return err
		}
	}
	return nil
}

// ErrInterrupted is wrapped by Run's error when its context ended: what is finished stays, and the next run resumes.
var ErrInterrupted = errors.New("interrupted")

// Run observes all layers and saves the statistics of all sites to path. Finished layers are kept in path+".work" until the end: whatever stops
// Run, the same call finishes the work, with the same bytes. At path there is at every moment what was there before, or the whole result.
func (b *Observer) Run(ctx context.Context, path string) (resumed int, err error) {
	if err := MayReplace(path); err != nil {
		return 0, err
	}
	m, err := Identify(ctx, b.ckpt, b.config)
	if err != nil {
		return 0, err
	}
	defer debug.SetMemoryLimit(b.limitMemory())
	w := workDir{path + ".work"}
	held, err := lock.TakeDir(w.path)
	if errors.Is(err, lock.ErrHeld) {
		return 0, fmt.Errorf("%s: another pith calibrate is writing this; wait for it, or choose another file", path)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, formats.WithRemedy(err))
	}
	defer held.Release(true)
	parts := b.config.Layers + 1
	for resumed < parts && w.has(b, resumed, m) {
		resumed++
	}
	for i := 0; i < parts && resumed < parts; i++ {
		if err := b.part(ctx, w, i, i < resumed, m); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("%w: %d of %d layers are finished; run the same command again to resume", ErrInterrupted, i, b.config.Layers)
			}
			return resumed, err
		}
	}
	if err := b.join(w, parts, m, path); err != nil {
		return resumed, err
	}
	w.remove(parts)
	return resumed, nil // and Release removes the directory
}

// programBytes is what the program takes besides a plan's memory: code, tokenizer, the text's tokens, buffers of files.
const programBytes = 64 << 20

// limitMemory makes the garbage collector keep to the plan, and returns the limit there was.
func (b *Observer) limitMemory() (old int64) {
	old = debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(old, b.Plan().MemoryBytes+programBytes))
	return old
}

// MayReplace returns an error if path holds something else than statistics or an importance matrix: a text, or a model's own file.
func MayReplace(path string) error {
	if err := formats.CheckFileName(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s: is no file that could be replaced; choose another output", path)
	}
	if old, err := calib.Open(path); err == nil {
		return old.Close()
	}
	if _, err := calib.ReadImatrix(path); err != nil {
		return fmt.Errorf("%s: will not replace what are no statistics; choose another output", path)
	}
	return nil
}

// part observes and saves one part of the network; if that is done already, the hidden states are moved through it.
func (b *Observer) part(ctx context.Context, w workDir, i int, done bool, m calib.Model) error {
	defer runtime.GC() // frees the layer's weights before the next one's come
	if done {
		return b.Advance(ctx, i, nil)
	}
	stats, err := b.step(ctx, i)
	if err != nil {
		return err
	}
	set := b.newSet(m)
	if err := b.addSites(set, i, stats); err != nil {
		return err
	}
	err = set.Save(w.file(i))
	b.recycle(stats)
	return err
}

// join saves the whole set: the embedding's counts and all finished parts.
func (b *Observer) join(w workDir, parts int, m calib.Model, path string) error {
	set := b.newSet(m)
	defer set.Close()
	if err := b.addSites(set, -1, map[string]*calib.Stats{model.EmbeddingSite: b.Embedding()}); err != nil {
		return err
	}
	for i := range parts {
		part, err := calib.Open(w.file(i))
		if err != nil {
			return err
		}
		if err := set.Join(part); err != nil {
			part.Close()
			return err
		}
	}
	return set.Save(path)
}

// workDir holds the finished parts of a run, one file each.
type workDir struct{ path string }

func (w workDir) file(i int) string {
	return filepath.Join(w.path, fmt.Sprintf("part-%05d.safetensors", i))
}

// has reports whether part i is there, of the same model, text and options.
func (w workDir) has(b *Observer, i int, m calib.Model) bool {
	return b.wrote(w.file(i), m, b.partSites(i))
}

// Wrote reports whether path holds what Run would write there: statistics of the same model, text and options.
func (b *Observer) Wrote(ctx context.Context, path string) (bool, error) {
	m, err := Identify(ctx, b.ckpt, b.config)
	if err != nil {
		return false, err
	}
	var all []model.Site
	for i := -1; i <= b.config.Layers; i++ {
		all = append(all, b.partSites(i)...)
	}
	return b.wrote(path, m, all), nil
}

// wrote reports whether path holds statistics of these sites of the same model, text and options.
func (b *Observer) wrote(path string, m calib.Model, sites []model.Site) bool {
	set, err := calib.Open(path)
	if err != nil {
		return false
	}
	defer set.Close()
	if set.Model != m || len(set.Corpora) != 1 || !set.Corpora[0].Equal(b.corpus) {
		return false
	}
	return slices.EqualFunc(set.Sites(), sites, func(got calib.Site, want model.Site) bool {
		return got.Name == want.Name && got.Features == want.Features && got.Need == b.need(want) && slices.Equal(got.Weights, want.Weights)
	})
}

// remove deletes finished parts.
func (w workDir) remove(parts int) {
	for i := range parts {
		os.Remove(w.file(i))
	}
}
