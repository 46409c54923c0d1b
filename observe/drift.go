package observe

import (
	"context"
	"fmt"

	"pith/calib"
	"pith/model"
	"pith/tensor"
)

// Drifts reports whether the observer keeps the hidden states of the original network beside those that compressed layers give.
func (b *Observer) Drifts() bool { return b.original != nil }

// Embed replaces the hidden states at the input of the first layer by those of over's embedding.
func (b *Observer) Embed(ctx context.Context, over model.Weights) error {
	if b.next != 0 {
		panic("observe: Embed after the first layer")
	}
	return b.embed(ctx, b.layers.With(over), b.hidden)
}

// Drift returns the statistics of one site of layer i: of its input computed with the weights of over where over has them, and how that and
// what the outputs are added to differ from the original network's. i must be Next, and the hidden states stay where they are. What attention gives is
// computed once a layer, when a site behind it is first asked for: from then until Advance the weights that it depends on must stay the same.
func (b *Observer) Drift(ctx context.Context, i int, over model.Weights, site string) (*calib.Stats, error) {
	if i != b.next || !b.Drifts() {
		panic("observe: Drift of another layer than Next, or without the original's hidden states")
	}
	now, err := b.layers.With(over).Layer(i)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.ckpt.Path, err)
	}
	original, err := b.layers.Layer(i)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.ckpt.Path, err)
	}
	d := &driftPass{b: b, outputs: 0}
	if original.Adds(site) {
		d.outputs = b.config.Hidden
	}
	for _, s := range b.sites {
		if s.Name == site {
			d.features = s.Features
		}
	}
	d.stats = calib.NewDrift(d.features, d.outputs)
	behind := !original.ReadsHidden(site)
	err = b.eachBatch(ctx, func(lo, hi int, lengths []int) error {
		d.begin(hi - lo)
		if err := b.reach(original, b.original, b.attended.original, lo, hi, lengths, site, d.keep); err != nil {
			return err
		}
		if err := b.reach(now, b.hidden, b.attended.now, lo, hi, lengths, site, d.subtract); err != nil {
			return err
		}
		d.stats.ObserveDrift(b.o.Workers, d.x, d.input, d.output)
		return nil
	})
	b.attended.known = b.attended.known || behind && err == nil
	return d.stats, err
}

// attended keeps what attention makes of all tokens' hidden states at the layer under way.
type attended struct {
	original, now *hidden
	known         bool
}

// of returns what is known of the original network and of the compressed one; nil if nothing is.
func (a *attended) of() (original, now *hidden) {
	if a == nil || !a.known {
		return nil, nil
	}
	return a.original, a.now
}

func newAttended(rows, cols int, bound int64, dir string) (a *attended, err error) {
	a = &attended{}
	if a.original, err = newHidden(rows, cols, bound, dir); err != nil {
		return nil, err
	}
	if a.now, err = newHidden(rows, cols, bound, dir); err != nil {
		a.original.close()
		return nil, err
	}
	return a, nil
}

func (a *attended) close() {
	a.original.close()
	a.now.close()
}

// reach shows one batch of a network's hidden states to watch at a site, by way of the attention, which is computed if it is not known.
func (b *Observer) reach(l *model.Layer, from, att *hidden, lo, hi int, lengths []int, site string, watch func(in, residual tensor.Mat)) error {
	x, err := from.copy(lo, hi)
	if err != nil {
		return err
	}
	if l.ReadsHidden(site) {
		l.Reach(x, tensor.Mat{}, lengths, site, watch)
		return nil
	}
	var y tensor.Mat
	if b.attended.known {
		y, err = att.batch(lo, hi)
	} else {
		y = att.room(lo, hi)
		l.Attend(y, x, lengths)
		err = att.put(lo, y)
	}
	if err == nil {
		l.Reach(x, y, lengths, site, watch)
	}
	return err
}

// driftPass is one batch at a site, in the original network and in the compressed one.
type driftPass struct {
	b                 *Observer
	stats             *calib.Stats
	features, outputs int
	row               int        // of the batch, next to be shown
	x                 tensor.Mat // the compressed network's inputs
	input, output     tensor.Mat // the original's inputs and residuals, then what they are more than the compressed one's
}

func (d *driftPass) begin(rows int) {
	d.row = 0
	if d.x.Rows != rows {
		d.x, d.input = tensor.NewMat(rows, d.features), tensor.NewMat(rows, d.features)
		d.output = tensor.Mat{}
		if d.outputs > 0 {
			d.output = tensor.NewMat(rows, d.outputs)
		}
	}
}

// keep remembers rows of the original network.
func (d *driftPass) keep(in, residual tensor.Mat) {
	for r := range in.Rows {
		copy(d.input.Row(d.row+r), in.Row(r))
		if d.outputs > 0 {
			copy(d.output.Row(d.row+r), residual.Row(r))
		}
	}
	if d.row += in.Rows; d.row == d.x.Rows {
		d.row = 0
	}
}

// subtract takes rows of the compressed network off.
func (d *driftPass) subtract(in, residual tensor.Mat) {
	for r := range in.Rows {
		copy(d.x.Row(d.row+r), in.Row(r))
		less(d.input.Row(d.row+r), in.Row(r))
		if d.outputs > 0 {
			less(d.output.Row(d.row+r), residual.Row(r))
		}
	}
	d.row += in.Rows
}

// less subtracts y from x.
func less(x, y []float32) {
	for i, v := range y {
		x[i] -= v
	}
}

// headDrift returns the statistics of the head's input with its drift.
func (b *Observer) headDrift(ctx context.Context, norm *model.Norm) (*calib.Stats, error) {
	n := b.config.Hidden
	stats := calib.NewDrift(n, 0)
	return stats, b.eachBatch(ctx, func(lo, hi int, _ []int) error {
		x, err := b.hidden.copy(lo, hi)
		if err != nil {
			return err
		}
		input, err := b.original.copy(lo, hi)
		if err != nil {
			return err
		}
		norm.Forward(x, x)
		norm.Forward(input, input)
		for r := range x.Rows {
			less(input.Row(r), x.Row(r))
		}
		stats.ObserveDrift(b.o.Workers, x, input, tensor.Mat{})
		return nil
	})
}

// driftBytes is the memory that drifts take besides Gram matrices: the sums of the widest site and what is kept of a batch.
func (b *Observer) driftBytes(batchRows int) (sums, batch int64) {
	for _, s := range b.sites {
		if s.Name == model.EmbeddingSite {
			continue
		}
		n, m := int64(s.Features), int64(b.config.Hidden)
		sums = max(sums, 4*n*(n+m))
		batch = max(batch, 4*int64(batchRows)*(4*n+2*m)) // and their transposes
	}
	return sums, batch
}
