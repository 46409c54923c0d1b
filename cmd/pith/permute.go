package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pith/calib"
	"pith/checkpoint"
	"pith/pruning"
	"pith/structure"
)

// permuteFlags say how the inner features of MLPs are reordered.
type permuteFlags struct{ pattern, stats string }

func (f *permuteFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.pattern, "permute", "", "reorder the inner features of MLPs for pruning to a pattern N:M, as 2:4")
	c.Flags().StringVar(&f.stats, "stats", "", "with --permute: statistics that pith calibrate wrote of MODEL (default: magnitudes decide)")
}

// view returns the checkpoint with its features reordered, if that was asked for.
func (f *permuteFlags) view(c *checkpoint.Checkpoint, shortened bool, workers int) (*checkpoint.Checkpoint, error) {
	if f.pattern == "" {
		if f.stats != "" {
			return nil, errors.New("--stats goes with --permute")
		}
		return c, nil
	}
	s, err := pruning.ParseSelector(f.pattern)
	g, ok := s.(pruning.Group)
	if err != nil || !ok {
		return nil, fmt.Errorf("--permute %q: give a pattern N:M, as 2:4", f.pattern)
	}
	if f.stats == "" {
		return structure.Permuted(c, g, nil, workers)
	}
	if shortened {
		return nil, errors.New("--stats are of all layers: leave layers out first, calibrate the result, then --permute")
	}
	set, err := calib.Open(f.stats)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	return structure.Permuted(c, g, func(weight string, cols int) (*calib.Stats, error) { return set.For(weight, cols, calib.Moments) }, workers)
}
