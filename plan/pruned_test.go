package plan

import (
	"strings"
	"testing"

	"pith/internal/synth/llama"
)

func TestPruningLeavesEmbeddingAndHeadWhole(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	for _, name := range []string{"magnitude", "wanda", "sparsegpt", "surgeon"} {
		r, err := FromCodec("int4-g128-2:4", name, false)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Resolve(c, r)
		if err != nil {
			t.Fatal(err)
		}
		pruned := 0
		for _, l := range p.Lines() {
			switch {
			case l.Keeps():
			case l.Role == "embedding" || l.Role == "head":
				if l.Codec != "int4-g128" || l.Method != "nearest" {
					t.Errorf("%s: %s of %s", name, l.Codec, l.Weight)
				}
			case l.Codec != "int4-g128-2:4" || l.Method != name:
				t.Errorf("%s: %s of %s", name, l.Codec, l.Weight)
			default:
				pruned++
			}
		}
		if pruned < 7 {
			t.Errorf("%s: %d weights", name, pruned)
		}
		again, err := parse(p.JSON())
		if err != nil || again.Hash() != p.Hash() {
			t.Errorf("%s: a plan that was read is another: %v", name, err)
		}
	}
}

func TestRulesNameThePartsOfPruning(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	for _, parts := range []string{"scorer: obs-all", "selector: cumulative", "selector: 4:8", "solver: refit", "solver: joint", "solver: gradual-joint", "scorer: random-3, selector: matrix, solver: gradual", ""} {
		p := resolve(t, c, `rules: [{match: linear, method: wanda, codec: f16-s50, `+strings.ReplaceAll(parts, "4:8", `"4:8"`)+`}]`)
		l := line(t, p, "model.layers.0.mlp.up_proj.weight")
		m, err := l.NewMethod()
		if err != nil || m.Name() != "wanda" {
			t.Errorf("%s: %v, %v", parts, m, err)
		}
	}
}

func TestPartsThatCannotPruneAreErrorsOfTheirField(t *testing.T) {
	for rule, want := range map[string]string{
		"method: wanda, codec: int4-g128":                     "stores every element",
		"method: nearest, codec: f16-s50, solver: obs":        "part of methods that prune",
		"codec: f16-s50, scorer: wanda":                       "part of methods that prune",
		"method: wanda, codec: f16-s50, solver: sgd":          "unknown solver \"sgd\"; known: zero, obs, refit, obs-refit, gradual, joint, NAME-joint",
		"method: wanda, codec: f16-s50, scorer: best":         "unknown scorer",
		"method: wanda, codec: f16-2:4, selector: row":        "decides otherwise",
		"method: sparsegpt, codec: f16-s50, selector: column": "unknown selector",
		"keep: true, solver: obs":                             "excludes",
	} {
		_, err := ParseRecipe("r.yaml", []byte(`rules: [{match: "*", `+rule+`}]`))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "r.yaml:1:") {
			t.Errorf("%s: %v, want %q", rule, err, want)
		}
	}
	c := open(t, llama.Shapes()["tiny"])
	r, err := ParseRecipe("r.yaml", []byte(`rules: [{match: linear, method: wanda, codec: f16-s50, selector: "1:4"}]`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Resolve(c, r); err == nil || !strings.Contains(err.Error(), "same share") {
		t.Errorf("a pattern of another share: %v", err)
	}
}
