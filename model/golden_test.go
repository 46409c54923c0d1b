package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/codec"
)

// goldenTolerance is the largest difference from transformers' float32 logits, relative to the largest logit of the position.
const goldenTolerance = 1e-5

type golden struct {
	dir       string
	Input     []int32 `json:"input_ids"`
	Positions []int
	Logits    [][]float64
}

func goldens(t testing.TB) []golden {
	t.Helper()
	paths, err := filepath.Glob("testdata/*/golden.json")
	if err != nil || len(paths) < 15 {
		t.Fatalf("%d goldens in testdata (%v)", len(paths), err)
	}
	var list []golden
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		g := golden{dir: filepath.Dir(p)}
		if err := json.Unmarshal(data, &g); err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		list = append(list, g)
	}
	return list
}

// difference returns the largest difference of row from want relative to the largest of want.
func difference(row []float32, want []float64) float64 {
	var worst, scale float64
	for i, w := range want {
		scale = max(scale, math.Abs(w))
		d := math.Abs(float64(row[i]) - w)
		if !(d <= worst) {
			worst = d
		}
	}
	return worst / scale
}

func (g golden) check(t *testing.T, m *Model) {
	t.Helper()
	var worst float64
	defer func() { t.Logf("%s: worst difference %.2g", g.dir, worst) }()
	logits := m.Logits(m.Forward([][]int32{g.Input}))
	for i, p := range g.Positions {
		d := difference(logits.Row(p), g.Logits[i])
		worst = max(worst, d)
		if !(d < goldenTolerance) {
			t.Errorf("position %d: logits differ from transformers' by %.3g relative", p, d)
		}
	}
}

func TestLogitsOfEveryArchitectureAndRopeAgreeWithTransformers(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range goldens(t) {
		t.Run(filepath.Base(g.dir), func(t *testing.T) {
			m := openModel(t, g.dir, 2)
			seen[m.config.ModelType], seen[m.config.Rope.Type] = true, true
			g.check(t, m)
		})
	}
	for _, name := range append(ModelTypes(), "default", "linear", "dynamic", "llama3", "yarn", "longrope") {
		if !seen[name] && name != "gemma3" { // the multimodal name of gemma3_text has a test of its own
			t.Errorf("%s: no golden", name)
		}
	}
}

func TestConfigsInTheOldSpellingMeanTheSame(t *testing.T) {
	tested := 0
	for _, g := range goldens(t) {
		data, err := os.ReadFile(filepath.Join(g.dir, "config.old.json"))
		if err != nil {
			continue
		}
		tested++
		c, err := ParseConfig(data)
		if err != nil {
			t.Fatalf("%s: %v", g.dir, err)
		}
		m, err := New(c, openTest(t, filepath.Join(g.dir, "model.safetensors")), 1)
		if err != nil {
			t.Fatalf("%s: %v", g.dir, err)
		}
		g.check(t, m)
	}
	if tested < 6 {
		t.Errorf("only %d configs in the old spelling", tested)
	}
}

// renamed is a checkpoint whose names are changed: to maps a name of the file to the one shown.
type renamed struct {
	*safetensorsFile
	from map[string]string
}

func rename(f *safetensorsFile, to func(string) string) renamed {
	r := renamed{f, map[string]string{}}
	for _, name := range f.Names() {
		if n := to(name); n != "" {
			r.from[n] = name
		}
	}
	return r
}

func (r renamed) Names() []string {
	var names []string
	for n := range r.from {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
func (r renamed) Shape(name string) ([]int, error) { return r.safetensorsFile.Shape(r.from[name]) }
func (r renamed) Load(name string) (*codec.Weight, error) {
	return r.safetensorsFile.Load(r.from[name])
}

func openGolden(t testing.TB, name string) (golden, []byte, *safetensorsFile) {
	t.Helper()
	for _, g := range goldens(t) {
		if filepath.Base(g.dir) == name {
			config, err := os.ReadFile(filepath.Join(g.dir, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			return g, config, openTest(t, filepath.Join(g.dir, "model.safetensors"))
		}
	}
	t.Fatalf("no golden %s", name)
	return golden{}, nil, nil
}

func TestTextModelOfAMultimodalGemma3IsFoundUnderEitherPrefix(t *testing.T) {
	g, config, file := openGolden(t, "gemma3_text")
	c, err := ParseConfig([]byte(`{"model_type": "gemma3", "vision_config": {"hidden_size": 8}, "eos_token_id": [1, 106], "text_config": ` + string(config) + `}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"language_model.model.", "model.language_model."} {
		w := rename(file, func(name string) string { return strings.Replace(name, "model.", prefix, 1) })
		m, err := New(c, w, 1)
		if err != nil {
			t.Fatal(err)
		}
		g.check(t, m)
		blocks := Blocks(c, append(w.Names(), "vision_tower.x.weight"))
		if n := len(blocks); n != c.Layers+3 || blocks[n-1].Name != "vision_tower.x.weight" {
			t.Errorf("%s: blocks %v", prefix, blocks)
		}
	}
}

func TestGPT2WithoutItsPrefixAndWithTermsOfTheTransposeIsTheSame(t *testing.T) {
	g, config, file := openGolden(t, "gpt2")
	c, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	w := rename(file, func(name string) string { return strings.TrimPrefix(name, "transformer.") })
	m, err := New(c, w, 1)
	if err != nil {
		t.Fatal(err)
	}
	g.check(t, m)
	if m, err = New(c, transposedWeights{w, c}, 1); err != nil {
		t.Fatal(err)
	}
	g.check(t, m)
}

// transposedWeights gives the linears of gpt2 as terms of the transpose, as compressed checkpoints do.
type transposedWeights struct {
	renamed
	c Config
}

func (w transposedWeights) Load(name string) (*codec.Weight, error) {
	got, err := w.renamed.Load(name)
	if err == nil && Transposed(w.c, name) {
		return transpose(got)
	}
	return got, err
}

func TestAHeadInTheCheckpointOfATiedModelIsUsed(t *testing.T) {
	g, config, file := openGolden(t, "llama")
	c, err := ParseConfig(bytes.Replace(config, []byte(`"tie_word_embeddings": false`), []byte(`"tie_word_embeddings": true`), 1))
	if err != nil || !c.TiedHead {
		t.Fatal(c.TiedHead, err)
	}
	m, err := New(c, file, 1)
	if err != nil {
		t.Fatal(err)
	}
	g.check(t, m)
}

func TestMissingAndMisshapenTensorsAreNamed(t *testing.T) {
	_, config, file := openGolden(t, "llama")
	c, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	const victim = "model.layers.1.mlp.up_proj.weight"
	_, err = New(c, rename(file, func(n string) string {
		if n == victim {
			return ""
		}
		return n
	}), 1)
	if err == nil || !strings.Contains(err.Error(), victim) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("missing tensor: %v", err)
	}
	wide := c
	wide.Intermediate++
	_, err = New(wide, file, 1)
	if err == nil || !strings.Contains(err.Error(), "model.layers.0.mlp.gate_proj.weight: shape is [48 32]; ") || !strings.Contains(err.Error(), "[49 32]") {
		t.Errorf("wrong shape: %v", err)
	}
	if _, err = New(Config{}, file, 1); !errors.Is(err, ErrUnknownArchitecture) {
		t.Errorf("no architecture: %v", err)
	}
}

func TestSpecsListExactlyTheTensorsOfACheckpoint(t *testing.T) {
	for _, g := range goldens(t) {
		_, config, file := openGolden(t, filepath.Base(g.dir))
		c, err := ParseConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		names := file.Names()
		_, head := c.resolve(func(n string) bool { return slices.Contains(names, n) })
		for _, s := range c.specs(c.arch.roots[0], head) {
			i, found := slices.BinarySearch(names, s.Name)
			if !found && !s.Optional {
				t.Errorf("%s: no %s", g.dir, s.Name)
				continue
			}
			if found {
				if shape, _ := file.Shape(s.Name); !slices.Equal(shape, s.Shape) {
					t.Errorf("%s: %s is %v, not %v", g.dir, s.Name, shape, s.Shape)
				}
				names = slices.Delete(names, i, i+1)
			}
			if role := Role(c, s.Name); role != s.Role {
				t.Errorf("%s: role of %s is %q, not %q", g.dir, s.Name, role, s.Role)
			}
			if Transposed(c, s.Name) != s.Transposed {
				t.Errorf("%s: transposed %s", g.dir, s.Name)
			}
		}
		if len(names) > 0 {
			t.Errorf("%s: unknown tensors %v", g.dir, names)
		}
	}
}
