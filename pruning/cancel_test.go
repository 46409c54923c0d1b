package pruning_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"pith/quantizers"
)

// fuse is a context that ends when it has been asked a number of times: at every possible moment, one after the other.
type fuse struct {
	context.Context
	left atomic.Int64
}

func (f *fuse) Err() error {
	if f.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// A context that ends at any moment ends the solution with its error, and the statistics are as good as new.
func TestSolvingStopsWithItsContext(t *testing.T) {
	for _, parts := range []string{"magnitude - zero", "obs - obs", "wanda - obs-refit", "obs-all - gradual"} {
		for _, joint := range []bool{false, true} {
			p := problem(30, 24, 160)
			p.Workers = 2
			m := method(t, parts, "int4-g32-2:4")
			if joint {
				m.Round = quantizers.LDLQ{Codec: m.Codec, Search: true, Refit: true, Sweeps: 1}
			}
			want, _ := mustSolve(t, m, problem(30, 24, 160))
			for asked, finished := 0, false; !finished; asked += 1 + asked/3 {
				ctx := &fuse{Context: context.Background()}
				ctx.left.Store(int64(asked))
				p.Context = ctx
				_, _, err := m.Solve(p)
				if finished = err == nil; !finished && !errors.Is(err, context.Canceled) {
					t.Fatalf("%s, asked %d times: %v", parts, asked, err)
				}
			}
			p.Context = nil
			got, _ := mustSolve(t, m, p)
			sameParts(t, parts+" after interruptions", got, want)
		}
	}
}
