package stack

import (
	"context"
	"encoding/json"
	"fmt"

	"pith/approx"
	"pith/checkpoint"
	"pith/codec"
	"pith/model"
	"pith/quantizers"
	"pith/tensor"
)

// write writes the stack with the blocks in this order.
func (b *builder) write(ctx context.Context, path string, order []place, probed int) (Report, error) {
	r := Report{Path: path, Mandatory: len(b.stacked), Blocks: len(order), Matrices: len(b.stacked), Weights: b.ckpt.NumWeights(), Probed: probed, Resumed: b.resumed, Order: b.Order}
	made, err := json.Marshal(struct {
		Method string `json:"method"`
		Levels int    `json:"levels"`
		Keep   string `json:"keep"`
		Order  Order  `json:"order"`
		Probed int    `json:"probe_tokens"`
		Kind   string `json:"source_kind"`
	}{b.MethodName, b.Levels, b.Keep, b.Order, probed, string(b.ckpt.Kind)})
	if err != nil {
		return r, err
	}
	c := checkpoint.StackContents{Tool: b.Tool, Made: made}
	if c.Files, err = b.ckpt.ConfigContents(); err != nil {
		return r, err
	}
	if c.Kept, err = b.kept(ctx); err != nil {
		return r, err
	}
	for _, p := range order {
		m := b.stacked[p.matrix]
		c.Blocks = append(c.Blocks, checkpoint.StackTensor{Name: m.name, Shape: m.shape, Transposed: m.transposed,
			Term: func() (codec.Term, error) { return b.work.block(p.matrix, m, p.level) }})
	}
	if err := checkpoint.WriteStack(path, c); err != nil {
		return r, err
	}
	return r, b.sum(path, &r)
}

// sum opens what was written and states its sizes.
func (b *builder) sum(path string, r *Report) error {
	c, err := checkpoint.Open(path)
	if err != nil {
		return fmt.Errorf("%s: verification after writing: %w", path, err)
	}
	defer c.Close()
	s := c.Stack()
	r.Bytes, r.MandatoryBytes = s.BytesOf(s.Blocks()), s.BytesOf(s.Mandatory())
	if r.Weights > 0 {
		r.SmallestBPW, r.LargestBPW = 8*float64(r.MandatoryBytes)/float64(r.Weights), 8*float64(r.Bytes)/float64(r.Weights)
	}
	return nil
}

// kept lists the weights that are not stacked, as they are stored: embedding and head by the codec of Keep, others as the checkpoint does.
func (b *builder) kept(ctx context.Context) (list []checkpoint.StackTensor, err error) {
	for _, name := range b.ckpt.Names() {
		if b.isStacked(name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info, err := b.ckpt.Info(name)
		if err != nil {
			return nil, err
		}
		role := model.Role(b.config, name)
		if b.Keep != keepAll && (role == "embedding" || role == "head") && info.Rows > 1 {
			term, err := b.packed(info)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			list = append(list, checkpoint.StackTensor{Name: name, Shape: info.Shape, Transposed: info.Transposed, Term: func() (codec.Term, error) { return term, nil }})
			continue
		}
		w, err := b.ckpt.Load(name)
		if err != nil {
			return nil, err
		}
		for i := range w.Terms {
			list = append(list, checkpoint.StackTensor{Name: name, Shape: info.Shape, Transposed: info.Transposed, Term: func() (codec.Term, error) { return w.Terms[i], nil }})
		}
	}
	return list, nil
}

// packed rounds a weight to nearest, with scales that are searched.
func (b *builder) packed(info checkpoint.Info) (codec.Term, error) {
	c, err := codec.Parse(codec.Fallback(b.Keep, info.Cols))
	if err != nil {
		return nil, err
	}
	rows, err := b.ckpt.Rows(info.Name)
	if err != nil {
		return nil, err
	}
	w := tensor.NewMat(info.Rows, info.Cols)
	if err := rows.Read(w, 0); err != nil {
		return nil, err
	}
	term, _, err := quantizers.Nearest{Codec: c, Search: true}.Solve(approx.Problem{Name: info.Name, W: w, Workers: b.Workers})
	return term, err
}
