package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Spec is one tensor that a checkpoint of a given config has.
type Spec struct {
	Name       string
	Role       string // as Role returns
	Layer      int    // −1 outside layers
	Shape      []int  // as the checkpoint stores it
	Transposed bool   // stored (in, out), while the runtime wants (out, in)
	Optional   bool   // a head that tied models may leave out
}

// module is one line of an architecture's table once sizes are known.
type module struct {
	name, role string
	rows, cols int // cols 0: a vector of rows
	bias       bool
	linear     bool
}

func (c Config) qkvRows() int { return (c.Heads + 2*c.KVHeads) * c.HeadDim }

// layerModules lists the modules of a layer in checkpoint order.
func (c Config) layerModules() []module {
	a := c.arch
	attn, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	lnBias := c.Norm == LayerNorm
	all := []module{
		{a.attnNorm, "norm", c.Hidden, 0, lnBias, false},
		{a.q, "attn_q", attn, c.Hidden, c.QKVBias, true},
		{a.k, "attn_k", kv, c.Hidden, c.QKVBias, true},
		{a.v, "attn_v", kv, c.Hidden, c.QKVBias, true},
		{a.qkv, "attn_qkv", c.qkvRows(), c.Hidden, c.QKVBias, true},
		{a.qNorm, "norm", c.HeadDim, 0, false, false},
		{a.kNorm, "norm", c.HeadDim, 0, false, false},
		{a.o, "attn_output", c.Hidden, attn, c.OutBias, true},
		{a.postAttnNorm, "norm", c.Hidden, 0, lnBias, false},
		{a.mlpNorm, "norm", c.Hidden, 0, lnBias, false},
		{a.gate, "ffn_gate", c.Intermediate, c.Hidden, c.MLPBias, true},
		{a.up, "ffn_up", c.Intermediate, c.Hidden, c.MLPBias, true},
		{a.gateUp, "ffn_gate_up", 2 * c.Intermediate, c.Hidden, c.MLPBias, true},
		{a.down, "ffn_down", c.Hidden, c.Intermediate, c.MLPBias, true},
		{a.postMLPNorm, "norm", c.Hidden, 0, lnBias, false},
	}
	return slices.DeleteFunc(all, func(m module) bool { return m.name == "" })
}

func (c Config) specsOf(prefix string, m module, layer int) []Spec {
	w := Spec{Name: prefix + m.name + ".weight", Role: m.role, Layer: layer, Shape: []int{m.rows}}
	if m.cols > 0 {
		w.Shape = []int{m.rows, m.cols}
	}
	if m.linear && c.arch.transposed {
		w.Transposed = true
		slices.Reverse(w.Shape)
	}
	if !m.bias {
		return []Spec{w}
	}
	return []Spec{w, {Name: prefix + m.name + ".bias", Role: "bias", Layer: layer, Shape: []int{m.rows}}}
}

// Specs lists the tensors that the forward pass reads, under transformers' names: embeddings, layers, final norm, head.
func Specs(c Config) []Spec { return c.specs(c.arch.roots[0], c.arch.heads[0]) }

func (c Config) specs(root, head string) []Spec {
	if c.arch == nil {
		panic("model: Config was not made by ParseConfig")
	}
	a := c.arch
	list := c.specsOf(root, module{name: a.embed, role: "embedding", rows: c.Vocab, cols: c.Hidden}, -1)
	if c.LearnedPositions {
		list = append(list, c.specsOf(root, module{name: a.position, role: "position", rows: c.MaxPositions, cols: c.Hidden}, -1)...)
	}
	for i := range c.Layers {
		prefix := root + fmt.Sprintf(a.layer, i)
		for _, m := range c.layerModules() {
			list = append(list, c.specsOf(prefix, m, i)...)
		}
		for _, m := range c.shortcutModules(i) {
			list = append(list, c.specsOf(prefix, m, i)...)
		}
	}
	list = append(list, c.specsOf(root, module{name: a.finalNorm, role: "norm", rows: c.Hidden, bias: c.Norm == LayerNorm}, -1)...)
	h := c.specsOf("", module{name: head, role: "head", rows: c.HeadRows(), cols: c.Hidden, bias: c.HeadBias}, -1)
	h[0].Optional = c.TiedHead
	return append(append(list, h...), c.draftSpecs()...)
}

// resolve returns the root and head in use among names: the first ones whose tensors are there, else transformers'.
func (c Config) resolve(has func(name string) bool) (root, head string) {
	root, head = c.arch.roots[0], c.arch.heads[0]
	for _, r := range c.arch.roots {
		if has(r + c.arch.embed + ".weight") {
			root = r
			break
		}
	}
	for _, h := range c.arch.heads {
		if has(h + ".weight") {
			head = h
			break
		}
	}
	return root, head
}

// place returns the layer that a checkpoint name belongs to (−1: none) and the rest of the name; ok tells whether the name
// starts with one of the architecture's roots.
func (c Config) place(name string) (layer int, rest string, ok bool) {
	before, _, _ := strings.Cut(c.arch.layer, "%d")
	for _, root := range c.arch.roots {
		tail, found := strings.CutPrefix(name, root)
		if !found {
			continue
		}
		if in, isLayer := strings.CutPrefix(tail, before); isLayer {
			number, module, dot := strings.Cut(in, ".")
			if i, err := strconv.Atoi(number); err == nil && dot && i >= 0 && i < c.Layers {
				return i, module, true
			}
		}
		for _, m := range []string{c.arch.embed, c.arch.position, c.arch.finalNorm} {
			if m != "" && (tail == m+".weight" || tail == m+".bias") {
				return -1, tail, true
			}
		}
	}
	return -1, name, false
}

// Role says what a checkpoint's tensor does: "embedding", "position", "head", "attn_q", "attn_k", "attn_v", "attn_qkv",
// "attn_output", "ffn_gate", "ffn_up", "ffn_gate_up", "ffn_down", "shortcut", "norm", "bias", or "other" for what the forward pass does
// not read and for unknown architectures.
func Role(c Config, name string) string {
	if c.arch == nil {
		return "other"
	}
	for _, h := range c.arch.heads {
		switch name {
		case h + ".weight":
			return "head"
		case h + ".bias":
			return "bias"
		}
	}
	layer, rest, ok := c.place(name)
	if !ok {
		return "other"
	}
	base, isWeight := strings.CutSuffix(rest, ".weight")
	if !isWeight {
		base, ok = strings.CutSuffix(rest, ".bias")
		if !ok {
			return "other"
		}
	}
	role := "other"
	switch {
	case layer >= 0:
		for _, m := range append(c.layerModules(), c.shortcutModules(layer)...) {
			if m.name == base {
				role = m.role
			}
		}
	case base == c.arch.embed:
		role = "embedding"
	case base == c.arch.position:
		role = "position"
	case base == c.arch.finalNorm:
		role = "norm"
	}
	if role != "other" && !isWeight {
		return "bias"
	}
	return role
}

// Transposed reports whether the checkpoint stores the named matrix as (in, out): gpt2's linears. Its rows are then inputs;
// whoever quantizes it should work on the transpose and set codec.Weight.Transposed.
func Transposed(c Config, name string) bool {
	if c.arch == nil || !c.arch.transposed || !strings.HasSuffix(name, ".weight") {
		return false
	}
	role := Role(c, name)
	return strings.HasPrefix(role, "attn_") || strings.HasPrefix(role, "ffn_")
}
