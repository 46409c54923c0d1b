package model

import (
	"context"

	"pith/internal/par"
)

// Continuations draws what m writes after each of the prompts, several at a time, that of prompts[i] with the seed raised by i. m should use one
// worker. What is drawn does not depend on the number of workers.
func Continuations(ctx context.Context, m *Model, prompts [][]int32, o GenerateOptions, workers int) ([][]int32, error) {
	out, errs := make([][]int32, len(prompts)), make([]error, len(prompts))
	par.Ranges(workers, len(prompts), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			own := o
			own.Sample.Seed += uint64(i)
			_, errs[i] = Generate(ctx, m.NewSession(len(prompts[i])+o.MaxTokens), prompts[i], own, func(id int32) bool {
				out[i] = append(out[i], id)
				return true
			})
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err // the others' will be the same
		}
	}
	return out, nil
}
