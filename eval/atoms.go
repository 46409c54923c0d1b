package eval

import "pith/model"

// AtomsOptions say how matrices that are combinations of atoms are multiplied.
type AtomsOptions struct {
	Policy model.Policy // "": model.Direct
	Cache  int64        // bytes of the cache that model.AutoPolicy goes by; 0: what the machine has
}

// SetAtoms sets the model's policy. Last bits of logits depend on it.
func (o *Opened) SetAtoms(a AtomsOptions) (model.Choice, error) { return setAtoms(o.Model, a) }

func setAtoms(m *model.Model, a AtomsOptions) (model.Choice, error) {
	if a.Policy == "" {
		a.Policy = model.Direct
	}
	on := model.ThisMachine()
	if a.Cache > 0 {
		on.Cache = a.Cache
	}
	return m.SetPolicy(a.Policy, on)
}
