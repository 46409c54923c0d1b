package compress

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/internal/synth/llama"
	"pith/model"
	"pith/plan"
	"pith/tensor"
)

// sharings are ways to share among three layers, with what other weights are stored as.
func sharings() map[string]plan.Sharing {
	all := [][]int{{0, 1, 2}}
	return map[string]plan.Sharing{
		"atoms":        {Method: plan.MatrixPCA, Match: plan.Patterns{"attention"}, Groups: all, Atoms: 2, Rank: 3},
		"only atoms":   {Method: plan.MatrixPCA, Match: plan.Patterns{"linear"}, Groups: [][]int{{0, 1}, {2}}, Atoms: 1},
		"right factor": {Method: plan.BasisV, Match: plan.Patterns{"linear"}, Groups: all, Keep: 0.5},
		"left factor":  {Method: plan.BasisU, Match: plan.Patterns{"attn_output", "ffn_down"}, Groups: all, Rank: 16},
		"joint":        {Method: plan.Joint, Match: plan.Patterns{"attention", "ffn"}, Rank: 40}, // keys have 32 rows
		"joint in all": {Method: plan.Joint, Match: plan.Patterns{"attention"}, Groups: all, Rank: 40},
	}
}

// small is a synthetic model of three layers.
func small(t testing.TB) string {
	return copyOf(t, "three layers", func(dir string) {
		shape := llama.Shape{Vocab: 512, Hidden: 64, FFN: 96, Layers: 3, Heads: 4, KVHeads: 2, Context: 64}
		if err := llama.Write(dir, shape, llama.Options{Seed: 4}); err != nil {
			panic(err)
		}
	})
}

func sharedPlan(t testing.TB, c *checkpoint.Checkpoint, yaml string, s plan.Sharing) *plan.Plan {
	t.Helper()
	p := resolve(t, c, yaml)
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Share(p, cfg, s); err != nil {
		t.Fatal(err)
	}
	return p
}

// What is planned of sets is what is written, opens and verifies; a model with them is the model with its weights written out.
func TestSetsAreStoredOnceAndRunAsIfWrittenOut(t *testing.T) {
	t.Parallel()
	src := open(t, small(t))
	for name, s := range sharings() {
		p := sharedPlan(t, src, `rules: [{match: norm, keep: true}, {match: attn_output, codec: bf16}, {match: "*", codec: int8-g32}]`, s)
		out := filepath.Join(t.TempDir(), "out")
		res, err := Run(t.Context(), src, p, out, Options{Workers: 2})
		if err != nil {
			t.Fatal(name, err)
		}
		v, err := Verify(out)
		if err != nil {
			t.Fatal(name, err)
		}
		ours := open(t, out)
		var onDisk int64
		for _, f := range ours.Files() {
			info, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			onDisk += info.Size()
		}
		if p.Totals.Bytes != res.Bytes || v.TensorBytes != res.Bytes || ours.Bytes() != res.Bytes || onDisk != res.ShardBytes {
			t.Errorf("%s: %d bytes planned, %d written, %d verified, %d opened; files of %d, said to be %d", name, p.Totals.Bytes, res.Bytes, v.TensorBytes, ours.Bytes(), onDisk, res.ShardBytes)
		}
		for _, l := range p.Lines() {
			if _, err := ours.Info(l.Weight); (err != nil) != l.Common() {
				t.Errorf("%s: %s: %v", name, l.Weight, err)
			}
		}
		if l, err := plan.Load(savedPlan(t, p)); err != nil || l.Hash() != p.Hash() {
			t.Errorf("%s: the plan does not survive saving: %v", name, err)
		}
		hf := filepath.Join(t.TempDir(), "hf")
		if _, _, err := Convert(ours, hf, ConvertOptions{Format: "hf", DType: tensor.F32}); err != nil {
			t.Fatal(name, err)
		}
		theirs := open(t, hf)
		for _, weight := range ours.Names() {
			if a, b := decodedWeight(t, ours, weight), decodedWeight(t, theirs, weight); !slices.Equal(a.Data, b.Data) {
				t.Errorf("%s: %s differs when it is written out", name, weight)
			}
		}
		if d := distance(logitsOf(t, theirs), logitsOf(t, ours)); d > 0.05 { // activations in 8 bits
			t.Errorf("%s: logits differ by %g from those of the weights written out", name, d)
		}
	}
}

func savedPlan(t testing.TB, p *plan.Plan) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.json")
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestResumedRunsWithSetsEndByteIdentical(t *testing.T) {
	t.Parallel()
	src := open(t, small(t))
	for name, s := range sharings() {
		p := sharedPlan(t, src, `rules: [{match: norm, keep: true}, {match: "*", codec: int8-g32}]`, s)
		want := filepath.Join(t.TempDir(), "want")
		if _, err := Run(t.Context(), src, p, want, Options{Workers: 3}); err != nil {
			t.Fatal(name, err)
		}
		for _, stop := range []int{0, 2} {
			out := filepath.Join(t.TempDir(), "out")
			ctx, cancel := context.WithCancel(t.Context())
			done := 0
			_, _ = Run(ctx, src, p, out, Options{Workers: 2, Events: func(e Event) {
				if e.Kind == BlockDone {
					if done++; done > stop {
						cancel()
					}
				}
			}})
			cancel()
			if _, err := Run(t.Context(), src, p, out, Options{Workers: 1}); err != nil {
				t.Fatal(name, err)
			}
			sameFiles(t, name+", resumed", out, want)
		}
	}
}

// An edited plan must not make members of sets that are not there.
func TestPlansOfDamagedSetsAreRefused(t *testing.T) {
	t.Parallel()
	src := open(t, small(t))
	p := sharedPlan(t, src, `rules: [{match: "*", codec: int8-g32}]`, sharings()["atoms"])
	text := string(p.JSON())
	for name, edit := range map[string]func(string) string{
		"no such set": func(s string) string {
			return strings.Replace(s, `"set":"pith.shared.0-2.attn_q"`, `"set":"pith.shared.x"`, 1)
		},
		"of another": func(s string) string {
			return strings.Replace(s, `"set":"pith.shared.0-2.attn_q"`, `"set":"pith.shared.0-2.attn_k"`, 1)
		},
		"another method":  func(s string) string { return strings.ReplaceAll(s, `"method":"matrix-pca"`, `"method":"basis-u"`) },
		"set renamed":     func(s string) string { return strings.ReplaceAll(s, `pith.shared.0-2.attn_q`, `shared.0-2.attn_q`) },
		"stored by keep":  func(s string) string { return strings.ReplaceAll(s, `"store":"nearest"`, `"store":"keep"`) },
		"unknown storage": func(s string) string { return strings.ReplaceAll(s, `"store":"nearest"`, `"store":"magic"`) },
	} {
		path := filepath.Join(t.TempDir(), "plan.json")
		if err := os.WriteFile(path, []byte(edit(text)), 0o666); err != nil {
			t.Fatal(err)
		}
		q, err := plan.Load(path)
		if err == nil {
			_, err = Run(t.Context(), src, q, filepath.Join(t.TempDir(), "out"), Options{})
		}
		if err == nil {
			t.Errorf("%s: carried out", name)
		}
	}
	var back plan.Plan
	if err := json.Unmarshal([]byte(text), &back); err != nil || back.Hash() != p.Hash() {
		t.Error("the plan's JSON is not the plan's")
	}
}

// Sessions cache keys and values by layer, whatever the layers have in common.
func TestSharedLayersDecodeTokenByTokenAsWhole(t *testing.T) {
	t.Parallel()
	src := sharing(t, open(t, small(t)), 0, 0, 2)
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Run(t.Context(), src, resolve(t, src, `rules: [{match: "*", keep: true}]`), out, Options{}); err != nil {
		t.Fatal(err)
	}
	ours := open(t, out)
	cfg, err := ours.Config()
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(cfg, ours, 2)
	if err != nil {
		t.Fatal(err)
	}
	tokens := []int32{1, 5, 300, 17, 2, 255}
	whole := m.Logits(m.Forward([][]int32{tokens}))
	s := m.NewSession(16)
	for i, token := range tokens {
		got, err := s.Feed([]int32{token})
		if err != nil {
			t.Fatal(err)
		}
		if d := distance(tensor.Of(1, len(got), got), tensor.Of(1, len(got), whole.Row(i))); d > 1e-3 {
			t.Errorf("token %d: logits differ by %g", i, d)
		}
	}
}
