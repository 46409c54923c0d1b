package model

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pith/tensor"
)

// kept shows a checkpoint's layers under their new numbers.
func kept(t *testing.T, c Config, f *safetensorsFile, layers []int) renamed {
	t.Helper()
	return rename(f, func(name string) string {
		l := LayerOf(c, name)
		if l < 0 {
			return name
		}
		at, stays := slices.BinarySearch(layers, l)
		if !stays {
			return ""
		}
		return InLayer(c, name, at)
	})
}

// skipping runs only some layers of a model and returns the logits.
func skipping(m *Model, tokens []int32, layers []int) tensor.Mat {
	p := m.Parts()
	x := tensor.NewMat(len(tokens), m.config.Hidden)
	p.Embedding().Forward(x, tokens)
	for _, l := range layers {
		p.Layer(l).Forward(x, []int{len(tokens)}, nil)
	}
	p.Norm().Forward(x, x)
	return p.Head().Logits(x)
}

func TestSelectedLayersGiveTheLogitsOfTheModelThatSkipsTheOthers(t *testing.T) {
	for _, g := range goldens(t) {
		file := openTest(t, filepath.Join(g.dir, "model.safetensors"))
		for _, name := range []string{"config.json", "config.old.json"} {
			config, err := os.ReadFile(filepath.Join(g.dir, name))
			if err != nil {
				continue
			}
			whole := openModel(t, g.dir, 2)
			for out := range whole.config.Layers {
				layers := slices.DeleteFunc([]int{0, 1, 2}[:whole.config.Layers], func(l int) bool { return l == out })
				edited, err := SelectLayers(config, layers)
				if whole.config.ScaleByLayer && out != whole.config.Layers-1 {
					if err == nil || !strings.Contains(err.Error(), "scale_attn_by_inverse_layer_idx") {
						t.Errorf("%s without layer %d: error %v", g.dir, out, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", g.dir, err)
				}
				c, err := ParseConfig(edited)
				if err != nil {
					t.Fatalf("%s: %v", g.dir, err)
				}
				m, err := New(c, kept(t, whole.config, file, layers), 2)
				if err != nil {
					t.Fatalf("%s: %v", g.dir, err)
				}
				got, want := m.Logits(m.Forward([][]int32{g.Input})), skipping(whole, g.Input, layers)
				if !slices.Equal(got.Data, want.Data) {
					t.Errorf("%s/%s without layer %d: other logits than the whole model that skips it", g.dir, name, out)
				}
			}
		}
	}
}

func TestSelectingAllLayersChangesNothingThatTheConfigMeans(t *testing.T) {
	for _, g := range goldens(t) {
		config, err := os.ReadFile(filepath.Join(g.dir, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		var all []int
		for l := range c.Layers {
			all = append(all, l)
		}
		edited, err := SelectLayers(config, all)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseConfig(edited)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c, again) {
			t.Errorf("%s: %+v became %+v", g.dir, c, again)
		}
	}
}

func TestSelectLayersEditsTheTextModelOfAMultimodalConfig(t *testing.T) {
	_, config, _ := openGolden(t, "gemma3_text")
	edited, err := SelectLayers([]byte(`{"model_type": "gemma3", "vision_config": {"hidden_size": 8}, "text_config": `+string(config)+`}`), []int{0, 2})
	if err != nil {
		t.Fatal(err)
	}
	var top struct {
		Layers int             `json:"num_hidden_layers"`
		Vision json.RawMessage `json:"vision_config"`
		Text   struct {
			Layers int      `json:"num_hidden_layers"`
			Types  []string `json:"layer_types"`
		} `json:"text_config"`
	}
	if err := json.Unmarshal(edited, &top); err != nil {
		t.Fatal(err)
	}
	if top.Layers != 0 || top.Text.Layers != 2 || len(top.Text.Types) != 2 || top.Vision == nil {
		t.Errorf("edited to %s", edited)
	}
}

func TestLayersThatCannotBeSelectedAreErrors(t *testing.T) {
	_, config, _ := openGolden(t, "llama")
	for _, layers := range [][]int{nil, {1, 0}, {0, 0}, {-1}, {99}} {
		if _, err := SelectLayers(config, layers); err == nil {
			t.Errorf("layers %v: no error", layers)
		}
	}
}
