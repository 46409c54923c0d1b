package compress

import (
	"fmt"
	"strings"

	"pith/checkpoint"
	"pith/codec"
	"pith/plan"
	"pith/tensor"
)

// stored is how a weight that others are aliases of lies in its shard.
type stored struct {
	specs []checkpoint.TermSpec // none: a plain tensor
	dtype tensor.DType          // of that
}

// alias prepares a weight whose parts are those of another, which is solved.
func (r *run) alias(s *solved) error {
	l := s.line
	owner, known := r.owners[l.Of]
	if !known {
		return blockError(l, fmt.Errorf("is an alias of %s, which is not solved before it; make the plan again with pith plan", l.Of))
	}
	specs := owner.specs
	if len(specs) == 0 {
		specs = []checkpoint.TermSpec{{Codec: strings.ToLower(owner.dtype.String()), Rows: l.Rows, Cols: l.Cols, Parts: []string{valuesPart},
			From: map[string]string{valuesPart: l.Of}}}
		if len(l.Shape) != 2 {
			specs[0].Shape = l.Shape
		}
		s.specs = specs
		return nil
	}
	for i, spec := range specs {
		from := map[string]string{}
		for _, part := range spec.Parts {
			from[part] = checkpoint.PartName(l.Of, i, part)
			if shared, ok := spec.From[part]; ok { // a reference leads to what is stored
				from[part] = shared
			}
		}
		spec.From = from
		s.specs = append(s.specs, spec)
	}
	return nil
}

// noteOwners remembers how the weights of a block lie that are aliases' owners.
func (r *run) noteOwners(b *plan.Block, of func(weight string) stored) {
	for i := range b.Lines {
		if name := b.Lines[i].Weight; r.hasAlias[name] {
			r.owners[name] = of(name)
		}
	}
}

// noteSolved is noteOwners of a block just solved. Its weights are kept for those that look at their aliases.
func (r *run) noteSolved(b *plan.Block, all []*solved) error {
	byName := map[string]*solved{}
	for _, s := range all {
		byName[s.line.Weight] = s
	}
	r.noteOwners(b, func(name string) stored { return byName[name].stored() })
	if r.o.Statistics == nil {
		return nil
	}
	for name, s := range byName {
		if !r.hasAlias[name] || s.raw {
			continue
		}
		w, err := s.weight()
		if err != nil {
			return err
		}
		r.loaded[name] = w
	}
	return nil
}

func (s *solved) stored() stored {
	if len(s.specs) > 0 {
		return stored{specs: s.specs}
	}
	return stored{dtype: s.parts[0].DType}
}

// loadAlias returns an alias as a model reads it.
func (r *run) loadAlias(l *plan.Line) (*codec.Weight, error) {
	w := r.loaded[l.Of]
	if w == nil {
		if r.rawOwner[l.Of] {
			return r.ckpt.Load(l.Weight)
		}
		var err error
		if w, err = r.loadFinished(l.Of); err != nil {
			return nil, err
		}
		r.loaded[l.Of] = w
	}
	named := *w
	named.Name = l.Weight
	return &named, nil
}
