package model

import (
	"fmt"
	"slices"

	"pith/codec"
)

// Policy says how matrices that are combinations of atoms (codec.Atoms) are multiplied. Logits of different policies differ in their last bits:
// single tokens may be multiplied with activations rounded to int8 by atoms, and are not by what is made of them.
type Policy string

// The policies. A model that was just loaded is Direct.
const (
	// Direct multiplies up to codec.FewTokens tokens by each atom, and more by the combination, made a tile at a time once for all of them.
	Direct Policy = "direct"
	// Fold makes all combinations once, in float32, and keeps them.
	Fold Policy = "fold"
	// Materialise makes the combinations of a layer in float32 as they are needed, in memory for two layers; the next layer's while this one
	// multiplies.
	Materialise Policy = "materialise"
	// AutoPolicy is Direct or Fold, whichever costs less with the cache there is (Choose).
	AutoPolicy Policy = "auto"
)

// Policies lists them.
func Policies() []Policy { return []Policy{Direct, Fold, Materialise, AutoPolicy} }

// SetPolicy chooses how combinations of atoms are multiplied, AutoPolicy by what on says of the machine. It waits for passes under way to end, frees what
// the policy before has made, and, for Fold, makes the combinations.
func (m *Model) SetPolicy(p Policy, on Machine) (Choice, error) {
	if !slices.Contains(Policies(), p) {
		return Choice{}, fmt.Errorf("policy %q: choose one of %v", p, Policies())
	}
	m.swap.Lock()
	defer m.swap.Unlock()
	c := Choice{Policy: p, On: on, Direct: m.reads(Direct), Fold: m.reads(Fold)}
	switch {
	case c.Direct.Held == 0:
		c.Policy = Direct
	case p == AutoPolicy:
		if on.Memory > 0 {
			on.Memory += m.madeBytes() // which will be free
		}
		c.Policy = Choose(c.Direct, c.Fold, on)
	}
	m.remake(c.Policy)
	c.Made = m.madeBytes()
	return c, nil
}

// Policy returns how combinations of atoms are multiplied.
func (m *Model) Policy() Policy {
	m.swap.RLock()
	defer m.swap.RUnlock()
	return m.policy
}

// remake frees what was made of atoms, and makes what p wants. No pass may be under way.
func (m *Model) remake(p Policy) {
	m.rings.drop()
	m.policy, m.folded = p, nil
	if p == Fold {
		m.folded = fold(m.layers, m.workers)
	}
}

// Machine is what a policy is chosen by, in bytes; 0 stands for what is not known.
type Machine struct {
	Cache  int64 `json:"cache_bytes"`  // the last level of cache
	Memory int64 `json:"memory_bytes"` // free for use
}

// Choice is a policy and what it was chosen by.
type Choice struct {
	Policy Policy  `json:"policy"`
	Made   int64   `json:"made_bytes"` // Resident.Made
	On     Machine `json:"machine"`    // as it was given
	Direct Reads   `json:"direct"`
	Fold   Reads   `json:"fold"`
}

// Reads is what a token reads of weights under a policy, in bytes. Operands are what combinations are multiplied by: atoms, or what is made of
// them.
type Reads struct {
	Held   int64 `json:"held"`   // operands, those that layers have in common once
	Token  int64 `json:"token"`  // operands, of all layers
	Unpack int64 `json:"unpack"` // of these, those that are not float32, those of 16-bit floats by half
	Layer  int64 `json:"layer"`  // all weights of the layer that has most
	Rest   int64 `json:"rest"`   // weights of layers and head that are no combinations
}

// Beyond returns the bytes of operands that one token after another reads from beyond a cache that replaces what was used longest ago. All weights fit
// in it, and nothing is read; or those of a layer do, so that what it has in common with the next is still there; or neither.
func (r Reads) Beyond(cache int64) int64 {
	switch {
	case r.Held+r.Rest <= cache:
		return 0
	case r.Layer <= cache:
		return r.Held
	}
	return r.Token
}

// Cost is how long a token's products with operands take, in units of a byte of float32 from the cache. A byte from beyond takes about twice as long, and
// one that has to be unpacked one unit more wherever it is, half a unit in F16 and BF16 (docs/methods/sharing.md has the measurements).
func (r Reads) Cost(cache int64) int64 { return r.Token + r.Beyond(cache) + r.Unpack }

// Choose is AutoPolicy's rule: Fold where it costs less than Direct and there is memory to keep what is made.
func Choose(direct, fold Reads, on Machine) Policy {
	if on.Cache > 0 && fold.Cost(on.Cache) < direct.Cost(on.Cache) && (on.Memory == 0 || fold.Held <= on.Memory) {
		return Fold
	}
	return Direct
}

// reads adds up what a token reads under Direct or Fold.
func (m *Model) reads(p Policy) (r Reads) {
	seen := map[codec.Term]bool{}
	operand := func(t codec.Term, codec string, bytes int64) {
		if !seen[t] {
			r.Held += bytes
		}
		seen[t] = true
		r.Token += bytes
		switch codec {
		case "f32":
		case "f16", "bf16":
			r.Unpack += bytes / 2
		default:
			r.Unpack += bytes
		}
	}
	for i := range m.layers {
		before := r.Token + r.Rest
		m.layers[i].weights(func(w *codec.Weight) {
			for _, t := range w.Terms {
				c, ok := t.(combination)
				switch {
				case !ok:
					r.Rest += t.Bytes()
				case p == Fold:
					operand(t, "f32", madeBytes(t))
				default:
					for _, a := range c.Atoms() {
						operand(a, a.Codec(), a.Bytes())
					}
				}
			}
		})
		r.Layer = max(r.Layer, r.Token+r.Rest-before)
	}
	for _, part := range m.head.parts {
		r.Rest += part.w.Bytes()
	}
	return r
}

// AtomBytes returns the bytes of the atoms of the layer that has most: what the products of one token read for it.
func (m *Model) AtomBytes() (most int64) {
	for i := range m.layers {
		var n int64
		m.layers[i].weights(func(w *codec.Weight) {
			for _, t := range w.Terms {
				if c, ok := t.(combination); ok {
					for _, a := range c.Atoms() {
						n += a.Bytes()
					}
				}
			}
		})
		most = max(most, n)
	}
	return most
}
