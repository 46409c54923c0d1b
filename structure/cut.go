package structure

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"pith/checkpoint"
	"pith/internal/par"
	"pith/kernels"
	"pith/model"
	"pith/tensor"
)

// cutter makes the tensors of a sliced model. Boundary 2l is before the attention of layer l, 2l+1 before its MLP, the last one before the head.
type cutter struct {
	ckpt    *checkpoint.Checkpoint
	config  model.Config
	workers int
	bases   []basis
	made    []checkpoint.Made
}

func (c *cutter) at(boundary int) *basis { return &c.bases[min(boundary, len(c.bases)-1)] }

// all makes every tensor that reads or writes the residual stream.
func (c *cutter) all() error {
	embedding, head := "", ""
	last := 2 * c.config.Layers
	norms := map[string]string{} // "layer role-of-reader" → the norm before it
	for _, name := range c.ckpt.Names() {
		norms[c.reads(name)] = name
	}
	for _, name := range c.ckpt.Names() {
		layer, role := model.LayerOf(c.config, name), model.Role(c.config, name)
		switch role {
		case "embedding":
			embedding = name
			c.reader(name, name, "", c.at(0))
		case "head":
			head = name
			c.reader(name, name, norms["head"], c.at(last))
		case "attn_q", "attn_k", "attn_v", "attn_qkv":
			c.reader(name, name, norms[fmt.Sprint("attention ", layer)], c.at(2*layer))
		case "ffn_gate", "ffn_up", "ffn_gate_up":
			c.reader(name, name, norms[fmt.Sprint("mlp ", layer)], c.at(2*layer+1))
		case "attn_output":
			c.writer(name, c.at(2*layer+1))
			c.shortcut(model.ShortcutName(c.config, name, false), c.at(2*layer), c.at(2*layer+1), name)
		case "ffn_down":
			c.writer(name, c.at(2*layer+2))
			c.shortcut(model.ShortcutName(c.config, name, true), c.at(2*layer+1), c.at(2*layer+2), name)
		}
	}
	if head == "" { // tied
		c.reader("lm_head.weight", embedding, norms["head"], c.at(last))
	}
	for reader, name := range norms {
		if reader != "" {
			c.ones(name)
		}
	}
	slices.SortFunc(c.made, func(a, b checkpoint.Made) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// reads says what a norm's output goes into, "" for what is no norm of the residual stream.
func (c *cutter) reads(name string) string {
	if model.Role(c.config, name) != "norm" {
		return ""
	}
	layer := model.LayerOf(c.config, name)
	switch {
	case layer < 0:
		return "head"
	case strings.HasSuffix(name, ".input_layernorm.weight"):
		return fmt.Sprint("attention ", layer)
	case strings.HasSuffix(name, ".post_attention_layernorm.weight"):
		return fmt.Sprint("mlp ", layer)
	}
	return "" // of the heads' queries and keys
}

func (c *cutter) stored(name string) tensor.DType {
	info, err := c.ckpt.Info(name)
	if err != nil {
		return tensor.F32
	}
	return storedAs(info.DType)
}

// rows reads a weight as float32, (rows, cols).
func (c *cutter) rows(name string) (tensor.Mat, error) {
	info, err := c.ckpt.Info(name)
	if err != nil {
		return tensor.Mat{}, err
	}
	w := tensor.NewMat(info.Rows, info.Cols)
	return w, c.ckpt.ReadRows(name, w, 0)
}

func encode(dt tensor.DType, values []float32) []byte {
	_, size := dt.Block()
	data := make([]byte, len(values)*size)
	tensor.Encode(data, dt, values)
	return data
}

// product returns A·Bᵀ of (m, k) and (n, k) in float64, rounded to float32.
func product(workers int, a []float64, m int, b []float64, n, k int) []float32 {
	out := make([]float32, m*n)
	par.Ranges(workers, m, 32, func(lo, hi int) {
		c := make([]float64, (hi-lo)*n)
		kernels.Gemm64NT(c, n, a[lo*k:], k, b, k, hi-lo, n, k)
		for i, v := range c {
			out[lo*n+i] = float32(v)
		}
	})
	return out
}

// reader makes to = W·diag(norm)·Qᵀ of the weight from: what reads the stream in basis Q. norm "": none.
func (c *cutter) reader(to, from, norm string, q *basis) {
	dt := c.stored(from)
	info, err := c.ckpt.Info(from)
	data := func() ([]byte, error) {
		if err != nil {
			return nil, err
		}
		w, err := c.rows(from)
		if err != nil {
			return nil, err
		}
		g := make([]float32, w.Cols)
		for i := range g {
			g[i] = 1
		}
		if norm != "" {
			v, err := c.rows(norm)
			if err != nil {
				return nil, err
			}
			copy(g, v.Data)
		}
		wide := make([]float64, w.Rows*w.Cols)
		for r := range w.Rows {
			for j, v := range w.Row(r) {
				wide[r*w.Cols+j] = float64(v) * float64(g[j])
			}
		}
		return encode(dt, product(c.workers, wide, w.Rows, q.rows, q.kept, q.n)), nil
	}
	c.made = append(c.made, checkpoint.Made{Name: to, DType: dt, Shape: []int{info.Rows, q.kept}, Data: data})
}

// writer makes Q·W, and Q·b of the bias if there is one: what writes to the stream in basis Q.
func (c *cutter) writer(name string, q *basis) {
	dt := c.stored(name)
	info, err := c.ckpt.Info(name)
	c.made = append(c.made, checkpoint.Made{Name: name, DType: dt, Shape: []int{q.kept, info.Cols}, Data: func() ([]byte, error) {
		if err != nil {
			return nil, err
		}
		w, err := c.rows(name)
		if err != nil {
			return nil, err
		}
		return encode(dt, product(c.workers, q.rows, q.kept, transposed(w), w.Cols, q.n)), nil
	}})
	bias := biasOf(name)
	if _, err := c.ckpt.Info(bias); err != nil {
		return
	}
	c.made = append(c.made, checkpoint.Made{Name: bias, DType: tensor.F32, Shape: []int{q.kept}, Data: func() ([]byte, error) {
		b, err := c.rows(bias)
		if err != nil {
			return nil, err
		}
		return encode(tensor.F32, product(1, q.rows, q.kept, transposed(tensor.Of(q.n, 1, b.Data)), 1, q.n)), nil
	}})
}

// transposed returns Wᵀ in float64.
func transposed(w tensor.Mat) []float64 {
	out := make([]float64, w.Rows*w.Cols)
	for r := range w.Rows {
		for j, v := range w.Row(r) {
			out[j*w.Rows+r] = float64(v)
		}
	}
	return out
}

// shortcut makes the matrix from one basis to the next, unless they are the same.
func (c *cutter) shortcut(name string, from, to *basis, beside string) {
	if from == to {
		return
	}
	dt := c.stored(beside)
	if dt == tensor.BF16 { // entries are at most 1, and errors add up along the stream
		dt = tensor.F16
	}
	c.made = append(c.made, checkpoint.Made{Name: name, DType: dt, Shape: []int{to.kept, from.kept}, Data: func() ([]byte, error) {
		return encode(dt, product(c.workers, to.rows, to.kept, from.rows, from.kept, from.n)), nil
	}})
}

// ones makes a norm's weights: all the same, since what they were is in the matrices behind it.
func (c *cutter) ones(name string) {
	q := c.at(0)
	values := make([]float32, q.kept)
	for i := range values {
		values[i] = float32(math.Sqrt(float64(q.n) / float64(q.kept)))
	}
	c.made = append(c.made, checkpoint.Made{Name: name, DType: tensor.F32, Shape: []int{q.kept}, Data: func() ([]byte, error) { return encode(tensor.F32, values), nil }})
}
