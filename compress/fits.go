package compress

import (
	"fmt"
	"slices"

	"pith/checkpoint"
	"pith/plan"
)

// checkFits refuses a plan that was made for another checkpoint or lost lines when it was edited: every weight has exactly one line, of its shape.
func checkFits(ckpt *checkpoint.Checkpoint, p *plan.Plan) error {
	if p.Structure != nil && !slices.Equal(p.Structure.Layers, ckpt.Layers()) {
		return fmt.Errorf("the plan is for layers %v of the checkpoint, and what is compressed are layers %v; make the plan again with pith plan", p.Structure.Layers, ckpt.Layers())
	}
	planned := map[string]bool{}
	for _, l := range p.Lines() {
		if planned[l.Weight] {
			return fmt.Errorf("%s: has two lines in the plan; make the plan again with pith plan", l.Weight)
		}
		planned[l.Weight] = true
		if l.Common() {
			continue // its members have lines
		}
		info, err := ckpt.Info(l.Weight)
		if err != nil {
			return fmt.Errorf("the plan is for another checkpoint: %w", err)
		}
		if !slices.Equal(info.Shape, l.Shape) {
			return fmt.Errorf("%s: shape %v, the plan says %v; make the plan again with pith plan", l.Weight, info.Shape, l.Shape)
		}
	}
	for _, name := range ckpt.Names() {
		if !planned[name] {
			return fmt.Errorf("%s: has no line in the plan; make the plan again with pith plan (a weight to leave alone has the method keep)", name)
		}
	}
	return nil
}
