package pruning

import (
	"context"
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
	Context context.Context // nil: never ends. Once it has, what solvers leave means nothing
}

// stopped reports whether the context has ended.
func (in *Inputs) stopped() bool { return in.Context != nil && in.Context.Err() != nil }

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
	ctx := in.Context
	if ctx == nil {
		ctx = context.Background()
	}
	made, err := in.Stats.TryDerive(fmt.Sprintf("pruning: curvature %g", in.damping()), func() (any, error) {
		h, why := in.Stats.MeanGram(in.Cols)
		if why != "" {
			return curved{why: why}, nil
		}
		f, err := linalg.NewCurvature(ctx, h, in.damping(), in.Workers)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return curved{why: "Gram matrix: " + err.Error()}, nil
		}
		return curved{Curvature: f}, nil
	})
	if err != nil {
		return nil, err.Error()
	}
	return made.(curved).Curvature, made.(curved).why
}

// Dead reports whether feature j was zero in every token.
func (in *Inputs) Dead(j int) bool {
	return in.Stats != nil && in.Stats.SqSum != nil && in.Stats.Tokens > 0 && in.Stats.SqSum[j] == 0
}
