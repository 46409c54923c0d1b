package quantizers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"pith/approx"
	"pith/codec"
	"pith/tensor"
)

// fuse is a context that ends when it has been asked a number of times: at every possible moment, one after the other.
type fuse struct {
	context.Context
	left atomic.Int64
}

func newFuse(asked int) *fuse {
	f := &fuse{Context: context.Background()}
	f.left.Store(int64(asked))
	return f
}

func (f *fuse) Err() error {
	if f.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// counting is a codec that counts the columns which its grids round after a context has ended.
type counting struct {
	codec.Codec
	ctx  *fuse
	late *atomic.Int64
}

type countingGrid struct {
	codec.Grid
	of counting
}

func (c counting) Fit(w tensor.Mat, importance []float32, o codec.FitOptions) (codec.Grid, error) {
	g, err := c.Codec.Fit(w, importance, o)
	return countingGrid{g, c}, err
}

func (g countingGrid) Round(w tensor.Mat, c int) {
	if g.of.ctx.left.Load() < 0 {
		g.of.late.Add(1)
	}
	g.Grid.Round(w, c)
}

// everyMethod returns methods of all kinds with a codec.
func everyMethod(c codec.Codec) map[string]approx.Method {
	ldlq := LDLQ{Codec: c, Search: true, Ordered: true, Refit: true, Sweeps: 2, Gains: []float32{1, 1.2}}
	return map[string]approx.Method{"ldlq": ldlq, "rotated ldlq": Incoherent{ldlq}, "nearest": Nearest{Codec: c}, "rotated nearest": Incoherent{Nearest{Codec: c}},
		"gptq": GPTQ{Codec: c}, "corrected": Corrected{Method: ldlq}}
}

// A context that ends at any moment ends the solution with its error, nothing is rounded afterwards but what workers have in hand, and the
// statistics are as good as new.
func TestSolvingStopsWithItsContext(t *testing.T) {
	const rows, cols, workers = 40, 96, 2
	p := approx.Problem{Name: "w", W: gaussian(31, rows, cols), Stats: correlated(32, cols, 300), Workers: workers}
	fresh := p
	fresh.Stats = correlated(32, cols, 300)
	for name, m := range everyMethod(parse(t, "int3-g32")) {
		want, _ := solveWith(t, m, fresh)
		finished := false
		for asked := 0; !finished; asked += 1 + asked/3 {
			ctx, late := newFuse(asked), &atomic.Int64{}
			p.Context = ctx
			_, _, err := everyMethod(counting{parse(t, "int3-g32"), ctx, late})[name].Solve(p)
			finished = err == nil
			switch {
			case err != nil && !errors.Is(err, context.Canceled):
				t.Fatalf("%s, asked %d times: %v", name, asked, err)
			case late.Load() > workers:
				t.Errorf("%s, asked %d times: %d columns were rounded afterwards", name, asked, late.Load())
			}
		}
		p.Context = nil
		term, _ := solveWith(t, m, p)
		sameBytes(t, name+" after interruptions", term, want)
	}
}
