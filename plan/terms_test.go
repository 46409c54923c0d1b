package plan

import (
	"strings"
	"testing"

	"pith/internal/synth/llama"
)

func TestSumsTakeAListOfMethods(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	for list, want := range map[string]string{"": "nearest+nearest", "ldlq": "ldlq+nearest", "ldlq+gptq": "ldlq+gptq", "nearest+ldlq": "nearest+ldlq"} {
		r, err := FromCodec("int3-g64+int2-g64", list, false)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Resolve(c, r)
		if err != nil {
			t.Fatal(err)
		}
		l := line(t, p, "model.layers.0.mlp.up_proj.weight")
		m, err := l.NewMethod()
		if err != nil || m.Name() != want || m.RowWise() {
			t.Errorf("%q: %v, %v", list, m, err)
		}
		if p.Fallbacks() > 0 {
			t.Errorf("%q: %d fallbacks", list, p.Fallbacks())
		}
	}
	r, err := ParseRecipe("r.yaml", []byte(`rules: [{match: "*", codec: int2-g64+int2-g64}]`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Resolve(c, r)
	if err != nil {
		t.Fatal(err)
	}
	if l := line(t, p, "model.layers.0.mlp.up_proj.weight"); l.Codec != "2*int2-g64" || p.Fallbacks() > 0 {
		t.Errorf("%s, %d fallbacks", l.Codec, p.Fallbacks())
	}
	for rule, want := range map[string]string{
		"method: ldlq+gptq, codec: int4-g64":                     "2 methods",
		"method: ldlq+gptq+awq, codec: 2*int4-g64":               "3 methods",
		"method: ldlq+, codec: 2*int4-g64":                       "no name for term 1",
		"method: ldlq+best, codec: 2*int4-g64":                   `unknown method "best"`,
		"method: nearest+wanda, codec: 2*int4-g64":               "stores every element",
		"codec: 65*int4-g64":                                     "1 to 64",
		"codec: int4-g64+":                                       "unknown codec",
		"codec: 40*int4-g64+40*int2-g64":                         "more than 64",
		"codec: 2*int4-g64, solver: obs":                         "part of methods that prune",
		"codec: x*int4-g64, method: nearest":                     "repeated as in",
		"method: ldlq, codec: int4-g64+int99-g64, match: linear": "unknown codec \"int99-g64\"",
	} {
		if !strings.Contains(rule, "match") {
			rule += `, match: "*"`
		}
		_, err := ParseRecipe("r.yaml", []byte(`rules: [{`+rule+`}]`))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", rule, err, want)
		}
	}
}
