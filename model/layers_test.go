package model

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// openLayers opens the checkpoint of a golden layer by layer.
func openLayers(t *testing.T, dir string, workers int) (*Layers, *Model) {
	t.Helper()
	m := openModel(t, dir, workers)
	l, err := OpenLayers(m.config, openTest(t, filepath.Join(dir, "model.safetensors")), workers)
	if err != nil {
		t.Fatal(err)
	}
	return l, m
}

// batchOf returns three sequences of different lengths.
func batchOf(g golden) [][]int32 {
	n := len(g.Input)
	return [][]int32{g.Input, g.Input[:n/2], g.Input[n/3:]}
}

// layerwise runs a batch layer by layer and returns the hidden states after the final norm.
func layerwise(t *testing.T, l *Layers, batch [][]int32, watch func(site string, x tensor.Mat)) tensor.Mat {
	t.Helper()
	e, err := l.Embedding()
	if err != nil {
		t.Fatal(err)
	}
	rows, lengths := 0, []int{}
	for _, tokens := range batch {
		rows += len(tokens)
		lengths = append(lengths, len(tokens))
	}
	x := tensor.NewMat(rows, l.load.c.Hidden)
	row := 0
	for _, tokens := range batch {
		e.Forward(x.Slice(row, row+len(tokens)), tokens)
		row += len(tokens)
	}
	for i := range l.load.c.Layers {
		layer, err := l.Layer(i)
		if err != nil {
			t.Fatal(err)
		}
		layer.Forward(x, lengths, watch)
	}
	n, err := l.Norm()
	if err != nil {
		t.Fatal(err)
	}
	y := tensor.NewMat(rows, x.Cols)
	n.Forward(y, x)
	if watch != nil {
		watch(HeadSite, y)
	}
	return y
}

func TestLayerByLayerGivesTheBytesOfTheWholeModelForEveryArchitecture(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(filepath.Base(g.dir), func(t *testing.T) {
			l, m := openLayers(t, g.dir, 2)
			batch := batchOf(g)
			want := m.Forward(batch)
			for _, watch := range []func(string, tensor.Mat){nil, func(string, tensor.Mat) {}} {
				got := layerwise(t, l, batch, watch)
				if !slices.Equal(got.Data, want.Data) {
					t.Fatal("other hidden states")
				}
			}
			h, err := l.Head()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(h.Logits(want).Data, m.Logits(want).Data) {
				t.Error("other logits")
			}
		})
	}
}

// seen collects what is watched, by site.
type seen map[string][]float32

func (s seen) watch(site string, x tensor.Mat) {
	for r := range x.Rows {
		s[site] = append(s[site], x.Row(r)...)
	}
}

func TestEverySiteIsSeenOnceForEachToken(t *testing.T) {
	for _, g := range goldens(t) {
		l, _ := openLayers(t, g.dir, 2)
		batch := batchOf(g)
		tokens := 0
		for _, seq := range batch {
			tokens += len(seq)
		}
		got := seen{}
		layerwise(t, l, batch, got.watch)
		named := map[string]bool{}
		sites := l.Sites()
		if want := 4*l.load.c.Layers + 2; len(sites) != want {
			t.Errorf("%s: %d sites, want %d", g.dir, len(sites), want)
		}
		for _, s := range sites {
			for _, w := range s.Weights {
				named[w] = true
				shape, err := l.load.w.Shape(w)
				if err != nil || len(shape) != 2 {
					t.Fatalf("%s: %s: weight %s has shape %v (%v)", g.dir, s.Name, w, shape, err)
				}
				in := shape[1]
				if Transposed(l.load.c, w) || s.Name == EmbeddingSite {
					in = shape[0]
				}
				if in != s.Features {
					t.Errorf("%s: %s has %d features, and %s has shape %v", g.dir, s.Name, s.Features, w, shape)
				}
			}
			if s.Name != EmbeddingSite && len(got[s.Name]) != tokens*s.Features {
				t.Errorf("%s: %s: %d values were seen of %d tokens with %d features", g.dir, s.Name, len(got[s.Name]), tokens, s.Features)
			}
		}
		for _, name := range l.load.w.Names() {
			if role := Role(l.load.c, name); named[name] != (strings.HasPrefix(role, "attn_") || strings.HasPrefix(role, "ffn_") || role == "embedding" || role == "head") {
				t.Errorf("%s: weight %s of role %s: a site names it is %v", g.dir, name, role, named[name])
			}
		}
	}
}

// zeroed are some weights of a checkpoint, all zeros.
type zeroed struct {
	Weights
	names []string
}

func (z zeroed) Names() []string { return z.names }
func (z zeroed) Load(name string) (*codec.Weight, error) {
	w, err := z.Weights.Load(name)
	if err != nil {
		return nil, err
	}
	term, err := codec.Dense(name, tensor.F32, w.Rows, w.Cols, make([]byte, 4*w.Rows*w.Cols))
	return &codec.Weight{Name: name, Rows: w.Rows, Cols: w.Cols, Terms: []codec.Term{term}}, err
}

func TestReplacedWeightsChangeWhatComesAfterThemOnly(t *testing.T) {
	for _, g := range goldens(t) {
		l, _ := openLayers(t, g.dir, 2)
		want := seen{}
		layerwise(t, l, batchOf(g), want.watch)
		for i, s := range l.Sites()[1:5] {
			got := seen{}
			layerwise(t, l.With(zeroed{l.load.w, s.Weights}), batchOf(g), got.watch)
			for j, other := range l.Sites()[1:] {
				same := slices.Equal(got[other.Name], want[other.Name])
				// The MLP of a parallel block reads what attention read, not what it gave.
				parallel := l.load.c.ParallelResidual && i < 2 && (j == 2 || j == 3)
				if same != (j <= i || parallel) {
					t.Errorf("%s: with zeros for %s the inputs at %s are the same is %v", g.dir, s.Name, other.Name, same)
				}
			}
		}
	}
}

func TestMissingAndMisshapenWeightsAreErrors(t *testing.T) {
	g := goldens(t)[0]
	l, m := openLayers(t, g.dir, 1)
	name := l.Sites()[1].Weights[0]
	f := openTest(t, filepath.Join(g.dir, "model.safetensors"))
	delete(f.header, name)
	if _, err := OpenLayers(m.config, f, 1); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("a missing weight: %v", err)
	}
	bad := renamed{openTest(t, filepath.Join(g.dir, "model.safetensors")), map[string]string{name: l.Sites()[0].Weights[0]}}
	if _, err := l.With(bad).Layer(0); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("a misshapen weight: %v", err)
	}
}
