package compress

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// fuse is a context that ends when it has been asked a number of times.
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

// Runs that are stopped in the midst of weights, statistics and shards, each a little later than the one before, end with the bytes of one that was not.
func TestRunsStoppedAnywhereGiveTheSameBytesInTheEnd(t *testing.T) {
	src := source(t, "tiny")
	for _, sequential := range []bool{false, true} {
		want, out := t.TempDir()+"/want", t.TempDir()+"/out"
		if err := calibrated(t, t.Context(), src, want, sequential, Options{Workers: 2}); err != nil {
			t.Fatal(err)
		}
		stopped := 0
		for asked := int64(40); ; asked *= 3 {
			ctx := &fuse{Context: t.Context()}
			ctx.left.Store(asked)
			err := calibrated(t, ctx, src, out, sequential, Options{Workers: 2})
			if err == nil {
				break
			}
			if !errors.Is(err, ErrInterrupted) && !errors.Is(err, context.Canceled) {
				t.Fatalf("stopped after %d questions: %v", asked, err)
			}
			stopped++
		}
		if stopped < 3 {
			t.Errorf("stopped %d times only", stopped)
		}
		sameFiles(t, "stopped", out, want)
	}
}
