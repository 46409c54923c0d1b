package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/internal/synth/llama"
)

func open(t testing.TB, s llama.Shape) *checkpoint.Checkpoint {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := llama.Write(dir, s, llama.Options{Seed: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func resolve(t testing.TB, c *checkpoint.Checkpoint, yaml string) *Plan {
	t.Helper()
	r, err := ParseRecipe("recipe.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Resolve(c, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func line(t testing.TB, p *Plan, weight string) Line {
	t.Helper()
	for _, l := range p.Lines() {
		if l.Weight == weight {
			return l
		}
	}
	t.Fatalf("no line for %s", weight)
	return Line{}
}

func TestEveryWeightHasExactlyOneLineAndTotalsAreTheirSums(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	p := resolve(t, c, `rules: [{match: "*", codec: int4-g128}]`)
	seen := map[string]bool{}
	var bytes, elements int64
	for _, l := range p.Lines() {
		if seen[l.Weight] {
			t.Errorf("%s has two lines", l.Weight)
		}
		seen[l.Weight] = true
		bytes += l.Bytes
		elements += l.Elements()
	}
	if len(seen) != len(c.Names()) {
		t.Errorf("%d lines for %d weights", len(seen), len(c.Names()))
	}
	if p.Totals.Bytes != bytes || p.Totals.Weights != elements || elements != c.NumWeights() || p.Totals.SourceBytes != c.Bytes() {
		t.Errorf("totals %+v, lines have %d bytes and %d weights", p.Totals, bytes, elements)
	}
	for _, name := range []string{"model.embed_tokens.weight", "lm_head.weight", "model.layers.1.mlp.down_proj.weight"} {
		if l := line(t, p, name); l.Codec != "int4-g128" || l.Method != "nearest" || l.Rule != 1 {
			t.Errorf("%+v", l)
		}
	}
	if l := line(t, p, "model.norm.weight"); !l.Keeps() || l.Codec != "f16" || l.Note != "vector: kept" {
		t.Errorf("%+v", l)
	}
}

func TestTheFirstMatchingRuleDecides(t *testing.T) {
	p := resolve(t, open(t, llama.Shapes()["tiny"]), `
name: mixed
rules:
  - match: [head, embedding]
    keep: true
  - match: "*.layers.1.*"
    codec: q8_0
  - match: ffn
    codec: int4-g64-asym
    search: true
  - {match: attn_v, codec: q6_k}
`)
	for name, want := range map[string]string{
		"lm_head.weight":                         "keep f16 1",
		"model.embed_tokens.weight":              "keep f16 1",
		"model.layers.1.mlp.up_proj.weight":      "nearest q8_0 2",
		"model.layers.0.mlp.up_proj.weight":      "nearest int4-g64-asym 3",
		"model.layers.0.self_attn.q_proj.weight": "keep f16 0",
	} {
		if l := line(t, p, name); fmt.Sprint(l.Method, " ", l.Codec, " ", l.Rule) != want {
			t.Errorf("%s: %s %s rule %d, want %s", name, l.Method, l.Codec, l.Rule, want)
		}
	}
	if l := line(t, p, "model.layers.0.self_attn.q_proj.weight"); l.Note != "no rule matches: kept" {
		t.Errorf("note %q", l.Note)
	}
	if l := line(t, p, "model.layers.0.self_attn.v_proj.weight"); l.Codec == "q6_k" || !strings.Contains(l.Note, "instead of q6_k") {
		t.Errorf("a matrix of 128 columns is planned as %s with note %q", l.Codec, l.Note)
	}
}

func TestNoFallbackMakesAShapeThatDoesNotFitAnError(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	r, err := ParseRecipe("r", []byte(`rules: [{match: attn_v, codec: q6_k, no_fallback: true}]`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Resolve(c, r); err == nil || !strings.Contains(err.Error(), "v_proj") {
		t.Errorf("error %v", err)
	}
}

func TestTiedHeadsAndIdleRulesAreNoted(t *testing.T) {
	s := llama.Shapes()["tiny"]
	s.Tied = true
	p := resolve(t, open(t, s), `rules: [{match: head, keep: true}, {match: "*", codec: q8_0}]`)
	notes := strings.Join(p.Notes, "\n")
	if !strings.Contains(notes, "tied") || !strings.Contains(notes, "rule 1 (match head) decides no weight") {
		t.Errorf("notes %q", notes)
	}
}

func TestUnknownArchitecturesGetOneBlockAWeight(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	path := filepath.Join(c.Dir(), "config.json")
	if err := os.WriteFile(path, []byte(`{"model_type": "nobody-knows"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := resolve(t, c, `rules: [{match: "*", codec: int4-g128}]`)
	if len(p.Blocks) != len(c.Names()) || len(p.Notes) == 0 {
		t.Errorf("%d blocks for %d weights, notes %q", len(p.Blocks), len(c.Names()), p.Notes)
	}
	if l := line(t, p, "model.layers.0.mlp.up_proj.weight"); l.Codec != "int4-g128" || l.Role != "other" {
		t.Errorf("%+v", l)
	}
}

func TestSavedPlansAreEqualAndHashesTellPlansApart(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	p := resolve(t, c, `rules: [{match: "*", codec: int4-g128}]`)
	path := filepath.Join(t.TempDir(), "plan.json")
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	q, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if q.Hash() != p.Hash() || resolve(t, c, "rules:\n- match: ['*']\n  codec: int4-g128").Hash() != p.Hash() {
		t.Error("the same plan has several hashes")
	}
	for _, other := range []string{`rules: [{match: "*", codec: int4-g64}]`, `rules: [{match: "*", codec: int4-g128, search: true}]`,
		"seed: 1\nrules: [{match: '*', codec: int4-g128}]"} {
		if resolve(t, c, other).Hash() == p.Hash() {
			t.Errorf("%s has the hash of another plan", other)
		}
	}
	for name, content := range map[string]string{"text": "hello", "other format": `{"format": 7}`, "negative": `{"format":1,"blocks":[{"lines":[{"weight":"a","rows":-1}]}]}`,
		"method": `{"format":1,"blocks":[{"lines":[{"weight":"a","method":"magic","codec":"f16"}]}]}`} {
		bad := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(bad, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestMemoryGrowsWithWorkersAndIsNeverBelowTheLeast(t *testing.T) {
	p := resolve(t, open(t, llama.Shapes()["small"]), `rules: [{match: "*", codec: int4-g128}]`)
	before := p.MinMemory()
	for workers := 1; workers <= 8; workers++ {
		m := p.Memory(workers)
		if m < before {
			t.Errorf("%d workers: %d, less than %d", workers, m, before)
		}
		before = m
	}
}

func TestTimeShrinksWithWorkersAndGrowsWithSearch(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	plain := resolve(t, c, `rules: [{match: "*", codec: int4-g128}]`)
	search := resolve(t, c, `rules: [{match: "*", codec: int4-g128, search: true}]`)
	if plain.Time(2, 0) >= plain.Time(1, 0) || search.Time(1, 0) <= plain.Time(1, 0) {
		t.Errorf("%v with one worker, %v with two, %v with search", plain.Time(1, 0), plain.Time(2, 0), search.Time(1, 0))
	}
	if got, want := plain.Time(4, 1e6).Seconds(), float64(plain.Totals.Weights)/4e6; got < 0.999*want || got > 1.001*want {
		t.Errorf("%g s at 1 M weights/s and 4 workers, want %g", got, want)
	}
}

func TestTimeCountsCalibrationAndFeedback(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	p := resolve(t, c, `rules: [{match: linear, codec: tcq-lut8-2-had, method: ldlq}]`)
	reading := Reading{Tokens: 1000, Context: 100, Heads: 4}
	if n := p.Unserved(); n == 0 || p.CalibrationTime(1, reading) != 0 {
		t.Errorf("without statistics: %d weights are unserved, %v of calibration", n, p.CalibrationTime(1, reading))
	}
	without := p.Time(1, 0)
	p.Calibration = &Calibration{Texts: 1}
	feedback, calibration := p.Time(1, 0), p.CalibrationTime(1, reading)
	if feedback <= without || calibration <= 0 || p.Unserved() != 0 {
		t.Errorf("%v without statistics, %v with, %v of calibration, %d unserved", without, feedback, calibration, p.Unserved())
	}
	p.Calibration.Sequential = true
	if p.Time(1, 0) <= feedback || p.CalibrationTime(1, reading) <= calibration {
		t.Error("weight after weight takes no longer")
	}
	if long := (Reading{Tokens: 1000, Context: 4000, Heads: 4}); p.CalibrationTime(1, long) < 2*p.CalibrationTime(1, reading) || p.CalibrationTime(2, long) >= p.CalibrationTime(1, long) {
		t.Errorf("windows of 4000 tokens take %v, of 100 %v", p.CalibrationTime(1, long), p.CalibrationTime(1, reading))
	}
	high := resolve(t, c, `rules: [{match: linear, codec: tcq-lut12-8}]`)
	low := resolve(t, c, `rules: [{match: linear, codec: tcq-lut12-7.5}]`)
	if high.Time(1, 0) < 10*low.Time(1, 0) {
		t.Errorf("%v at 8 bits, %v at 7½", high.Time(1, 0), low.Time(1, 0))
	}
}

// A method that has no use for its codec is refused before any work; where the codec gave way because a shape does not fit it, so does the method.
func TestMethodsAndCodecsThatDoNotGoTogetherAreRefused(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	for recipe, want := range map[string]string{
		`rules: [{match: linear, codec: int4-g64, method: awq}]`:       "int4-g64-scaled",
		`rules: [{match: linear, codec: int4-g64-had, method: awq}]`:   "int4-g64-scaled",
		`rules: [{match: linear, codec: int4-g64, method: hqq}]`:       "-mid",
		`rules: [{match: linear, codec: tcq-lut8-2-had, method: hqq}]`: "-mid",
	} {
		r, err := ParseRecipe("recipe.yaml", []byte(recipe))
		if err == nil {
			_, err = Resolve(c, r)
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "model.layers.0") {
			t.Errorf("%s: %v", recipe, err)
		}
	}
	resolve(t, c, `rules: [{match: linear, codec: int4-g64-scaled-had, method: awq}]`)
	resolve(t, c, `rules: [{match: linear, codec: int4-g64-mid, method: hqq}]`)
	odd := resolve(t, open(t, llama.Shapes()["odd"]), `rules: [{match: linear, codec: q4_k-scaled, method: awq}]`)
	for _, l := range odd.Lines() {
		if l.Codec == "f16" && !l.Keeps() && l.Method != "nearest" {
			t.Errorf("%s: %s by %s", l.Weight, l.Codec, l.Method)
		}
	}
}

func FuzzLoadPlan(f *testing.F) {
	f.Add([]byte(`{"format":1,"blocks":[{"name":"a","lines":[{"weight":"a","rows":1,"cols":2,"method":"nearest","codec":"q8_0","bytes":3}]}]}`))
	f.Add([]byte(`{"format":1,"blocks":null,"totals":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(data)
		if err != nil {
			return
		}
		again, err := parse(p.JSON())
		if err != nil || again.Hash() != p.Hash() {
			t.Errorf("a plan that was read is not the one that is written: %v", err)
		}
		p.Memory(2)
		p.MinMemory()
		p.Time(2, 0)
	})
}
