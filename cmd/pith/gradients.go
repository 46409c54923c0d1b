package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"pith/calib"
	"pith/checkpoint"
	"pith/gradient"
	"pith/observe"
)

// gradientsMade is what --gradients added.
type gradientsMade struct {
	Windows int     `json:"windows"`
	Weights int     `json:"weights"`
	Loss    float64 `json:"loss"` // mean of a token, in nats
}

// canDifferentiate returns why the gradients of a checkpoint cannot be had, before hours are spent.
func canDifferentiate(ckpt *checkpoint.Checkpoint) error {
	c, err := ckpt.Config()
	if err != nil {
		return err
	}
	return gradient.Supports(c)
}

// addGradients adds the squared gradients of some windows to the file of statistics at path.
func addGradients(ctx context.Context, s streams, ckpt *checkpoint.Checkpoint, texts []observe.Text, path string, o observe.Options, count int, asJSON bool) (*gradientsMade, error) {
	c, err := ckpt.Config()
	if err != nil {
		return nil, err
	}
	windows, _, err := observe.Windows(ckpt, texts, o.Context, count)
	if err != nil {
		return nil, err
	}
	m := newMeter(s.err, "gradients", asJSON)
	defer m.finish()
	r, err := gradient.Fisher(ctx, c, ckpt, windows, gradient.Options{Workers: o.Workers, Progress: func(done, total int64) {
		m.update(done, total, "")
	}})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %s has all statistics but the gradients", observe.ErrInterrupted, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ckpt.Path, err)
	}
	set, err := calib.Open(path)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	for _, weight := range slices.Sorted(maps.Keys(r.Fisher)) {
		if err := set.AddFisher(weight, r.Fisher[weight]); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := set.Save(path); err != nil {
		return nil, err
	}
	return &gradientsMade{len(windows), len(r.Fisher), r.Loss}, nil
}
