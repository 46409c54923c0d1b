package pruning

import (
	"fmt"

	"pith/calib"
	"pith/linalg"
)

// defaultDamping is the share of the mean diagonal of H that is added to the diagonal: SparseGPT's 0.01.
const defaultDamping = 0.01

// Inputs is what is known of the activations that a weight multiplies.
type Inputs struct {
	Stats   *calib.Stats // nil: nothing
	Cols    int
	Damping float64 // relative to the mean of H's diagonal; 0 means 0.01. It grows where H is not positive definite
	Workers int
}

func (in *Inputs) damping() float64 {
	if in.Damping == 0 {
		return defaultDamping
	}
	return in.Damping
}

// curved is what Stats keep: a curvature, or why there is none.
type curved struct {
	*linalg.Curvature
	why string
}

// Curvature returns the factor of H, the mean of x·xᵀ, which is made once for all weights that share the input; or why there is none.
func (in *Inputs) Curvature() (*linalg.Curvature, string) {
	if in.Stats == nil || in.Stats.Gram == nil {
		return nil, "no Gram matrix"
	}
	made := in.Stats.Derive(fmt.Sprintf("pruning: curvature %g", in.damping()), func() any {
		h, why := in.Stats.MeanGram(in.Cols)
		if why != "" {
			return curved{why: why}
		}
		f, err := linalg.NewCurvature(h, in.damping(), in.Workers)
		if err != nil {
			return curved{why: "Gram matrix: " + err.Error()}
		}
		return curved{Curvature: f}
	}).(curved)
	return made.Curvature, made.why
}

// Dead reports whether feature j was zero in every token.
func (in *Inputs) Dead(j int) bool {
	return in.Stats != nil && in.Stats.SqSum != nil && in.Stats.Tokens > 0 && in.Stats.SqSum[j] == 0
}
