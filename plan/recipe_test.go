package plan

import (
	"strings"
	"testing"
)

func TestRecipeErrorsPointAtTheLineInOneLine(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"unknown field":     {"rules:\n  - match: \"*\"\n    codex: int4-g128\n", "r.yaml:3:5: unknown field \"codex\""},
		"unknown top field": {"rule:\n  - match: \"*\"\n", "r.yaml:1:1: unknown field \"rule\""},
		"unknown codec":     {"rules:\n  - match: \"*\"\n    codec: int4-g127\n", "r.yaml:3:12: rule 1: unknown codec"},
		"unknown role":      {"rules:\n  - match: embeding\n    codec: q8_0\n", "r.yaml:2:12: rule 1: \"embeding\" is neither"},
		"unknown method":    {"rules:\n  - match: ffn\n    codec: q8_0\n    method: nearset\n", "r.yaml:4:13: rule 1: unknown method"},
		"no codec":          {"rules:\n  - match: ffn\n", "r.yaml:2:5: rule 1: codec is missing"},
		"no match":          {"rules:\n  - codec: q8_0\n", "r.yaml:2:5: rule 1: match is missing"},
		"keep and codec":    {"rules:\n  - match: ffn\n    keep: true\n    codec: q8_0\n", "r.yaml:3:11: rule 1: keep"},
		"wrong type":        {"rules:\n  - match: ffn\n    codec: q8_0\n    search: maybe\n", "r.yaml:4:"},
		"second rule":       {"rules:\n  - match: ffn\n    codec: q8_0\n  - match: head\n    codec: q9\n", "r.yaml:5:12: rule 2:"},
		"duplicate field":   {"rules:\n  - match: ffn\n    codec: q8_0\n    codec: q4_0\n", "r.yaml:4:"},
		"not a mapping":     {"- a\n- b\n", "r.yaml:1:"},
		"empty":             {"", "r.yaml: the recipe is empty"},
		"comment only":      {"# nothing\n", "r.yaml: the recipe"},
		"no rules":          {"name: x\n", "r.yaml: the recipe has no rules"},
		"syntax":            {"rules: [\n", "r.yaml:"},
		"tab":               {"rules:\n\t- match: ffn\n", "r.yaml:"},
		"deep nesting":      {strings.Repeat("[", 100000), "r.yaml: nested too deeply"},
		"deep sequences":    {strings.Repeat("- ", 100000) + "a", "r.yaml: nested too deeply"},
	} {
		_, err := ParseRecipe("r.yaml", []byte(c.yaml))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q, want one line starting %q", name, err, c.want)
		}
	}
}

func TestGlobStarsCrossDotsAndNeverBacktrackExponentially(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "a.b", true}, {"a*c", "a.b.c", true}, {"a*c", "a.b.d", false}, {"?", "", false}, {"?", "a", true},
		{"*.mlp.*", "model.layers.3.mlp.up_proj.weight", true}, {"*.mlp", "x.mlp.y", false}, {"**", "x", true}, {"", "", true}, {"", "x", false},
		{"*.layers.1.*", "model.layers.11.x", false}, {"*a", "aaab", false}, {"*ab", "aab", true},
		{strings.Repeat("*a", 30), strings.Repeat("a", 10_000) + "b", false},
	} {
		if got := glob(c.pattern, c.name); got != c.want {
			t.Errorf("glob(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

func TestCodecFlagIsAOneRuleRecipe(t *testing.T) {
	r, err := FromCodec("int4-g128", "", true)
	if err != nil || len(r.Rules) != 1 || r.Rules[0].Codec != "int4-g128" || !r.Rules[0].Search {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := FromCodec("int4g128", "", false); err == nil || !strings.Contains(err.Error(), "int4-g128") {
		t.Errorf("error %v does not suggest int4-g128", err)
	}
}

func FuzzParseRecipe(f *testing.F) {
	f.Add("rules:\n  - match: \"*\"\n    codec: int4-g128\n")
	f.Add("name: a\nseed: 3\nrules:\n  - {match: [head, ffn], keep: true}\n")
	f.Add("rules: [{match: \"*\", codec: q8_0, search: true, no_fallback: true}]")
	f.Add("? [a, b]\n: &x !!str y\n*x : z")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		r, err := ParseRecipe("r.yaml", []byte(text))
		if err == nil && len(r.Rules) == 0 {
			t.Error("a recipe without rules is accepted")
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
	})
}
