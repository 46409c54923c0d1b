package interop

import (
	"bytes"
	"slices"
	"testing"
)

// The interleaved rotary order is reshape(H, 2, d/2) with its last two axes swapped, as numpy would do it.
func TestRotaryOrderOfTwoHeadsOfFour(t *testing.T) {
	order, err := RotaryQ.rowOrder(Heads{Query: 2, Key: 1, Dim: 4}, 8)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 2, 1, 3, 4, 6, 5, 7}; !slices.Equal(order, want) {
		t.Errorf("order = %v, want %v", order, want)
	}
}

func TestInterleavedOrderGroupsQueriesThenKeysThenValues(t *testing.T) {
	order, err := InterleavedQKV.rowOrder(Heads{Query: 2, Key: 2, Dim: 2}, 12)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11}; !slices.Equal(order, want) {
		t.Errorf("order = %v, want %v", order, want)
	}
}

func TestRowOrdersArePermutationsAndScatterUndoesGather(t *testing.T) {
	for _, h := range []Heads{{1, 1, 2}, {2, 1, 4}, {8, 4, 32}, {3, 3, 6}} {
		for _, l := range []Layout{RotaryQ, RotaryK, InterleavedQKV} {
			rows := map[Layout]int{RotaryQ: h.Query * h.Dim, RotaryK: h.Key * h.Dim, InterleavedQKV: 3 * h.Query * h.Dim}[l]
			order, err := l.rowOrder(h, rows)
			if err != nil {
				t.Fatal(err)
			}
			sorted := slices.Sorted(slices.Values(order))
			for i, r := range sorted {
				if i != r {
					t.Fatalf("%v %v: not a permutation: %v", h, l, order)
				}
			}
			src := make([]byte, rows*3)
			for i := range src {
				src[i] = byte(i * 7)
			}
			if back := scatterRows(gatherRows(src, 3, order), 3, order); !bytes.Equal(back, src) {
				t.Errorf("%v %v: rows are not back in their places", h, l)
			}
		}
	}
}

func TestRowOrderRefusesRowsThatDoNotMatchTheHeads(t *testing.T) {
	for _, c := range []struct {
		l    Layout
		h    Heads
		rows int
	}{{RotaryQ, Heads{2, 1, 4}, 7}, {RotaryQ, Heads{2, 1, 3}, 6}, {RotaryK, Heads{2, 0, 4}, 0}, {InterleavedQKV, Heads{2, 2, 2}, 8}} {
		if _, err := c.l.rowOrder(c.h, c.rows); err == nil {
			t.Errorf("%v %v with %d rows: no error", c.l, c.h, c.rows)
		}
	}
}

func TestTransposeTwiceIsIdentityAcrossTileEdges(t *testing.T) {
	for _, d := range [][3]int{{1, 1, 4}, {2, 3, 2}, {31, 33, 2}, {32, 32, 4}, {65, 7, 1}, {0, 5, 4}} {
		src := make([]byte, d[0]*d[1]*d[2])
		for i := range src {
			src[i] = byte(i*31 + i/256)
		}
		once := transpose(src, d[0], d[1], d[2])
		if d[0] == 2 && !bytes.Equal(once[2:4], src[3*2:4*2]) {
			t.Error("element (1, 0) is not at (0, 1)")
		}
		if back := transpose(once, d[1], d[0], d[2]); !bytes.Equal(back, src) {
			t.Errorf("%v: not back", d)
		}
	}
}

func TestNamesTranslateBothWaysForEveryModule(t *testing.T) {
	for i := range Architectures {
		a := &Architectures[i]
		seen := map[string]string{}
		check := func(hf string) {
			g, l, ok := a.ToGGUF(hf)
			if !ok {
				t.Fatalf("%s: %s has no GGUF name", a.ModelType, hf)
			}
			back, l2, ok := a.ToHF(g)
			if !ok || back != hf || l2 != l {
				t.Errorf("%s: %s → %s → %s", a.ModelType, hf, g, back)
			}
			if was, dup := seen[g]; dup {
				t.Errorf("%s: %s and %s are both %s", a.ModelType, was, hf, g)
			}
			seen[g] = hf
			if len(g) > 63 {
				t.Errorf("%s is longer than GGML allows", g)
			}
		}
		for _, suffix := range []string{".weight", ".bias"} {
			for _, m := range a.Modules {
				check(m.HF + suffix)
			}
			for _, m := range a.Layer {
				for _, n := range []string{"0", "7", "12", "511"} {
					check(a.LayerHF[:len(a.LayerHF)-3] + n + "." + m.HF + suffix)
				}
			}
		}
	}
}

func TestNamesThatNoTableHasAreRefused(t *testing.T) {
	a, err := Find("llama")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "lm_head", "model.layers.0.mlp.up_proj", "model.layers.01.mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight",
		"model.layers.99999.mlp.up_proj.weight", "model.layers..mlp.up_proj.weight", "model.layers.0.nope.weight", "model.layers.0x.mlp.up_proj.weight"} {
		if g, _, ok := a.ToGGUF(name); ok {
			t.Errorf("%q became %q", name, g)
		}
	}
	if _, err := Find("mamba"); err == nil {
		t.Error("mamba has a table")
	}
}
