package model

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"pith/codec"
	"pith/tensor"
)

// ofAtoms returns a model whose layers' matrices are combinations of the first and the last layer's in this codec, with a term of their own.
func ofAtoms(t testing.TB, layers int, name string) *Model {
	t.Helper()
	m := synthesize(t, narrowLlama(t, layers), synthesizer(narrowLlama(t, layers), name), 2)
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	first, last := m.layers[0], m.layers[layers-1]
	for i := range m.layers {
		for _, lin := range []struct{ to, a, b *linear }{{&m.layers[i].qkv, &first.qkv, &last.qkv}, {&m.layers[i].out, &first.out, &last.out}, {&m.layers[i].up, &first.up, &last.up}, {&m.layers[i].down, &first.down, &last.down}} {
			parts := slices.Clone(lin.to.parts)
			for p := range parts {
				w := *parts[p].w
				w.Terms = []codec.Term{codec.AtomsOf(2, c).Combine([]float32{0.5, float32(i+1) / 8}, []codec.Term{lin.a.parts[p].w.Terms[0], lin.b.parts[p].w.Terms[0]}), lowRankTerm(t, w.Rows, w.Cols)}
				parts[p].w = &w
			}
			lin.to.parts = parts
		}
	}
	return m
}

// lowRankTerm is a small matrix of rank 2.
func lowRankTerm(t testing.TB, rows, cols int) codec.Term {
	c, err := codec.Parse("lr2-f32")
	if err != nil {
		t.Fatal(err)
	}
	w := tensor.NewMat(rows, cols)
	for i := range w.Data {
		w.Data[i] = float32(i*i%11-5) / 512
	}
	g, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	codec.RoundAll(g, w, 1)
	return g.Pack()
}

func setPolicy(t testing.TB, m *Model, p Policy) Choice {
	t.Helper()
	c, err := m.SetPolicy(p, Machine{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Prompts give the same states whichever policy makes the rows, single tokens the same logits whether what is made is kept or not. They differ from those
// of direct by what rounding activations to int8 does, where atoms do that; sessions side by side do not disturb one another.
func TestPoliciesAgree(t *testing.T) {
	for name, bound := range map[string]float64{"f32": 1e-5, "bf16": 1e-5, "int8-g32": 0.1} {
		for _, layers := range []int{1, 2, 3, 4} {
			m := ofAtoms(t, layers, name)
			tokens := []int32{1, 5, 30, 17, 2, 25, 9, 8, 7, 6, 11, 12}
			want := m.Forward([][]int32{tokens})
			direct := decode(t, m, tokens)
			var made []float32
			for _, p := range []Policy{Fold, Materialise} {
				if setPolicy(t, m, p); m.Policy() != p {
					t.Fatalf("the policy is %s, not %s", m.Policy(), p)
				}
				if got := m.Forward([][]int32{tokens}); !slices.Equal(got.Data, want.Data) {
					t.Errorf("%s, %d layers, %s: a prompt's states depend on the policy", name, layers, p)
				}
				done := make(chan []float32)
				for range 2 {
					go func() { done <- decode(t, m, tokens) }()
				}
				for range 2 {
					got := <-done
					if len(got) != len(direct) || distanceOf(got, direct) > bound*largestOf(direct) {
						t.Errorf("%s, %d layers, %s: logits of single tokens differ by %g of %g", name, layers, p, distanceOf(got, direct), largestOf(direct))
					}
					if made != nil && !slices.Equal(got, made) {
						t.Errorf("%s, %d layers: logits of single tokens depend on whether what is made is kept", name, layers)
					}
					made = got
				}
			}
			setPolicy(t, m, Direct)
			if got := decode(t, m, tokens); !slices.Equal(got, direct) {
				t.Errorf("%s, %d layers: direct is not what it was", name, layers)
			}
		}
	}
}

// A product with what is made of atoms that are not packed in integers is off from the one by atoms by rounding alone: n products and sums in float32 of the
// first, one more and a sum for each atom of the second, so by no more than 2·(n+S+2)·2⁻²⁴·Σ|c_s|·|D_s|·|x|, to first order.
func TestFoldedProductsAreWithinRounding(t *testing.T) {
	for _, name := range []string{"f32", "bf16"} {
		m := ofAtoms(t, 3, name)
		setPolicy(t, m, Fold)
		for i := range m.layers {
			var folded []*codec.Weight
			m.folded[i].weights(func(w *codec.Weight) { folded = append(folded, w) })
			m.layers[i].weights(func(w *codec.Weight) {
				x := tensor.NewMat(1, w.Cols)
				for c := range x.Data {
					x.Data[c] = float32(c*7%13-6) / 3
				}
				product := func(t codec.Term) []float32 {
					y := tensor.NewMat(1, w.Rows)
					codec.MatMul(y, codec.NewInput(x), &codec.Weight{Rows: w.Rows, Cols: w.Cols, Terms: []codec.Term{t}}, 1)
					return y.Data
				}
				direct, made := product(w.Terms[0]), product(folded[0].Terms[0])
				folded = folded[1:]
				atoms := w.Terms[0].(combination).Atoms()
				row := tensor.NewMat(1, w.Cols)
				for r := range direct {
					var size float64
					for s, a := range atoms {
						codec.Read(a, row, r)
						for c, v := range row.Data {
							size += []float64{0.5, float64(i+1) / 8}[s] * math.Abs(float64(v)*float64(x.Data[c]))
						}
					}
					bound := 2 * float64(w.Cols+len(atoms)+2) * 0x1p-24 * size
					if d := math.Abs(float64(direct[r] - made[r])); d > bound {
						t.Fatalf("%s, %s, row %d: %g apart, %g at most", name, w.Name, r, d, bound)
					}
				}
			})
		}
	}
}

func decode(t testing.TB, m *Model, tokens []int32) []float32 {
	s := m.NewSession(len(tokens))
	var logits []float32
	for _, token := range tokens {
		got, err := s.Feed([]int32{token})
		if err != nil {
			t.Error(err)
			return nil
		}
		logits = append(logits, got...)
	}
	return logits
}

func distanceOf(a, b []float32) (worst float64) {
	for i, v := range a {
		worst = max(worst, math.Abs(float64(v-b[i])))
	}
	return worst
}

func largestOf(a []float32) (worst float64) {
	for _, v := range a {
		worst = max(worst, math.Abs(float64(v)))
	}
	return worst
}

func TestPoliciesAreForModelsMadeOfAtoms(t *testing.T) {
	m := ofAtoms(t, 3, "int8-g32")
	var most int64
	m.layers[0].weights(func(w *codec.Weight) { most += w.Terms[0].Bytes() - 8 })
	if got := m.AtomBytes(); got != most {
		t.Errorf("%d bytes of atoms in a layer, want %d", got, most)
	}
	if _, err := m.SetPolicy("other", Machine{}); err == nil || m.Policy() != Direct {
		t.Error("an unknown policy is accepted")
	}
	plain := synthesize(t, narrowLlama(t, 2), synthesizer(narrowLlama(t, 2), "int8-g32"), 1)
	for _, p := range Policies() {
		if c := setPolicy(t, plain, p); c.Policy != Direct || plain.Policy() != Direct || c.Made != 0 {
			t.Errorf("a model without atoms has combinations to make: %+v", c)
		}
	}
}

// What AutoPolicy decides, by sizes alone. Layers of n weights: atoms of q bits a weight in common, what is made 32 bits a weight for each.
func TestAutoGoesByTheCache(t *testing.T) {
	const n, layers, rest = 1 << 20, 10, 1 << 16
	const roomy, inLayer, small = 1 << 30, 20 << 20, 1 << 20 // holds all of either; atoms, and not what is made; neither
	for _, c := range []struct {
		atoms, bits int64
		cache       int64
		want        Policy
	}{
		{1, 32, roomy, Direct}, {2, 32, roomy, Fold}, // float32: two atoms are read twice as long from wherever
		{1, 32, inLayer, Direct}, {2, 32, inLayer, Direct}, {4, 32, inLayer, Fold}, // from the cache at twice the speed
		{1, 32, small, Direct}, {2, 32, small, Fold},
		{1, 16, roomy, Direct}, {2, 16, roomy, Fold},
		{2, 16, inLayer, Direct}, {3, 16, inLayer, Fold},
		{1, 16, small, Direct}, {2, 16, small, Fold},
		{1, 8, roomy, Direct}, {3, 8, roomy, Fold},
		{2, 8, inLayer, Direct}, {3, 8, inLayer, Direct}, {6, 8, inLayer, Fold},
		{2, 8, small, Direct}, {3, 8, small, Fold},
		{1, 4, roomy, Direct}, {2, 4, roomy, Direct}, {5, 4, roomy, Fold},
		{4, 4, inLayer, Direct}, {5, 4, small, Direct}, {6, 4, small, Fold},
		{4, 32, 0, Direct}, // nobody knows
	} {
		layer := c.atoms * c.bits * n / 8
		direct := Reads{Held: layer, Token: layers * layer, Layer: layer + rest, Rest: (layers + 1) * rest}
		fold := Reads{Held: layers * 4 * n, Token: layers * 4 * n, Layer: 4*n + rest, Rest: (layers + 1) * rest}
		switch {
		case c.bits < 16:
			direct.Unpack = direct.Token
		case c.bits < 32:
			direct.Unpack = direct.Token / 2
		}
		if got := Choose(direct, fold, Machine{Cache: c.cache, Memory: fold.Held}); got != c.want {
			t.Errorf("%d atoms of %d bits, %d bytes of cache: %s, want %s (costs %d and %d)", c.atoms, c.bits, c.cache, got, c.want, direct.Cost(c.cache), fold.Cost(c.cache))
		}
		if got := Choose(direct, fold, Machine{Cache: c.cache, Memory: fold.Held - 1}); got != Direct {
			t.Errorf("%d atoms of %d bits: %s without the memory for it", c.atoms, c.bits, got)
		}
	}
}

func TestAutoChoosesForAModel(t *testing.T) {
	m := ofAtoms(t, 4, "f32")
	all := m.Resident().Weights
	for cache, want := range map[int64]Policy{1: Fold, 100 * all: Fold, 0: Direct} {
		c, err := m.SetPolicy(AutoPolicy, Machine{Cache: cache})
		if err != nil || c.Policy != want || m.Policy() != want {
			t.Errorf("%s with %d bytes of cache (%v), want %s: %+v", c.Policy, cache, err, want, c)
		}
	}
	for name, want := range map[string]int64{"f32": 0, "f16": 1, "bf16": 1, "int8-g32": 2} {
		r := setPolicy(t, ofAtoms(t, 2, name), Direct)
		if r.Direct.Unpack != r.Direct.Token*want/2 || r.Fold.Unpack != 0 {
			t.Errorf("%s: %+v, %+v", name, r.Direct, r.Fold)
		}
	}
	c := setPolicy(t, m, Direct)
	if c.Direct.Token != 4*m.AtomBytes() || c.Direct.Held != m.AtomBytes() || c.Direct.Unpack != 0 {
		t.Errorf("%+v; atoms of a layer have %d bytes", c.Direct, m.AtomBytes())
	}
	if 2*c.Fold.Token != c.Direct.Token || c.Fold.Held != c.Fold.Token || c.Fold.Rest != c.Direct.Rest || c.Fold.Layer-c.Direct.Layer != -m.AtomBytes()/2 {
		t.Errorf("%+v, %+v", c.Direct, c.Fold)
	}
	for range 2 { // what the first makes is not missing for the second
		if c, err := m.SetPolicy(AutoPolicy, Machine{Cache: 1, Memory: c.Fold.Held - int64(len(m.folded))*c.Fold.Held/4}); err != nil || c.Policy != Fold {
			t.Errorf("%s with just the memory for it (%v)", c.Policy, err)
		}
	}
	cache := c.Direct.Held + c.Direct.Rest // of two atoms of float32 from the cache, or what is made from beyond
	if c, err := m.SetPolicy(AutoPolicy, Machine{Cache: cache}); err != nil || c.Policy != Direct {
		t.Errorf("%s with the cache for the atoms (%v)", c.Policy, err)
	}
}

// Atoms count once however many weights are made of them, and so does what is made of them; what is reported is what there is.
func TestResidentBytesCountWhatIsInCommonOnce(t *testing.T) {
	const layers = 4
	m := ofAtoms(t, layers, "int8-g32")
	whole := synthesize(t, narrowLlama(t, 2), synthesizer(narrowLlama(t, 2), "int8-g32"), 1).Resident()
	got := m.Resident()
	var own, layer int64
	for i := range m.layers {
		layer = 0
		m.layers[i].weights(func(w *codec.Weight) {
			own += w.Terms[1].Bytes()
			layer += 4 * int64(w.Rows) * int64(w.Cols)
		})
	}
	if coefficients := int64(4 * 2 * 7 * layers); got.Weights != whole.Weights+coefficients+own || got.Made != 0 {
		t.Errorf("%+v; two layers hold %d, coefficients %d, their own terms %d", got, whole.Weights, coefficients, own)
	}
	m.layers[2] = m.layers[1] // a layer that uses another's matrices
	if setPolicy(t, m, Fold); m.Resident().Made != 3*layer || madeOf(m) != 3*layer {
		t.Errorf("%d bytes are said to be made, %d are; three layers have %d", m.Resident().Made, madeOf(m), 3*layer)
	}
	setPolicy(t, m, Materialise)
	decode(t, m, []int32{1, 2})
	if got := m.Resident().Made; got != 2*layer || madeOf(m) != got {
		t.Errorf("%d bytes are said to be made, %d are; two layers have %d", got, madeOf(m), 2*layer)
	}
	if setPolicy(t, m, Direct); m.Resident().Made != 0 || madeOf(m) != 0 {
		t.Errorf("%d bytes are said to be made, %d are", m.Resident().Made, madeOf(m))
	}
}

// madeOf adds up the memory of what is made of atoms.
func madeOf(m *Model) (n int64) {
	seen := map[*byte]bool{}
	for i := range m.folded {
		m.folded[i].weights(func(w *codec.Weight) {
			if data := w.Terms[0].Parts()[0].Data; !seen[&data[0]] {
				seen[&data[0]] = true
				n += int64(cap(data))
			}
		})
	}
	for _, r := range m.rings.free {
		for i := range r.slots {
			n += int64(cap(r.slots[i].buffer))
		}
	}
	return n
}

// Sessions do not hold what a policy has made when it is changed.
func TestChangingThePolicyFreesWhatWasMade(t *testing.T) {
	m := ofAtoms(t, 3, "int8-g32")
	session := m.NewSession(8)
	for _, p := range []Policy{Fold, Materialise} {
		setPolicy(t, m, p)
		if _, err := session.Feed([]int32{1}); err != nil {
			t.Fatal(err)
		}
		m.Forward([][]int32{{1, 2, 3}})
		var made weak.Pointer[byte]
		if p == Fold {
			made = weak.Make(&m.folded[1].out.parts[0].w.Terms[0].Parts()[0].Data[0])
		} else {
			made = weak.Make(&m.rings.free[0].slots[0].buffer[0])
		}
		runtime.GC()
		if made.Value() == nil {
			t.Fatalf("%s: nobody holds what is in use", p)
		}
		setPolicy(t, m, Direct)
		runtime.GC()
		if made.Value() != nil {
			t.Errorf("%s: what it made is still there", p)
		}
	}
	runtime.KeepAlive(session)
}

// Terms that are replaced are not those that were made before.
func TestReplacedTermsAreMadeAgain(t *testing.T) {
	tokens := []int32{3, 1, 4, 1, 5, 9, 2, 6, 5, 3}
	m, other := ofAtoms(t, 3, "f32"), ofAtoms(t, 3, "f32")
	w := m.layers[1].down.parts[0].w
	terms := map[string][]codec.Term{w.Name: {m.layers[2].down.parts[0].w.Terms[0]}}
	if _, err := other.SetTerms(terms); err != nil {
		t.Fatal(err)
	}
	want := other.Forward([][]int32{tokens})
	for _, p := range []Policy{Fold, Materialise} {
		setPolicy(t, m, p)
		m.Forward([][]int32{tokens})
		before, err := m.SetTerms(terms)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Forward([][]int32{tokens}); !slices.Equal(got.Data, want.Data) {
			t.Errorf("%s: other states than of a model that has the terms from the start", p)
		}
		if _, err := m.SetTerms(before); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFreeMemoryIsReadAsLinuxWritesIt(t *testing.T) {
	for text, want := range map[string]int64{
		"MemTotal:       24683640 kB\nMemFree:  5 kB\nMemAvailable:   1234 kB\n": 1234 << 10,
		"MemAvailable: -1 kB\n":                      0,
		"MemAvailable: 99999999999999999999999 kB\n": 0,
		"MemAvailable: 12\n":                         0,
		strings.Repeat("x", 100):                     0,
	} {
		if got := availableBytes(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestCacheSizesAreReadAsLinuxWritesThem(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"index0": "32K\n", "index2": "1024K\n", "index3": "2M\n", "index4": "nonsense\n", "index5": "-5K\n"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "size"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := cacheBytes(dir); err != nil || n != 2<<20 {
		t.Errorf("%d bytes (%v)", n, err)
	}
	if _, err := cacheBytes(t.TempDir()); err == nil {
		t.Error("no cache has a size")
	}
}

func narrowLlama(t testing.TB, layers int) Config {
	t.Helper()
	c, err := ParseConfig(fmt.Appendf(nil, `{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": %d, "num_attention_heads": 4,
		"num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}`, layers))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
