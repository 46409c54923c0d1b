package structure

import (
	"fmt"
	"strings"

	"pith/calib"
	"pith/checkpoint"
	"pith/model"
	"pith/pruning"
	"pith/tensor"
)

// mlp is the weights of a layer that share its inner features: rows of up and gate (or both in one), columns of down.
type mlp struct {
	down string
	into []string // gate, up, or both in one; and their biases
}

// Permuted returns a view of c that computes the same with the inner features of every MLP in another order: the one in which pattern g keeps most
// of the down projection. Rows of gate and up move with the columns of down, so nothing is left to undo. Scores are Wanda's for weights
// that stats (may be nil) gives statistics of, else magnitudes.
func Permuted(c *checkpoint.Checkpoint, g pruning.Group, stats func(weight string, cols int) (*calib.Stats, error), workers int) (*checkpoint.Checkpoint, error) {
	cfg, err := c.Config()
	if err != nil {
		return nil, err
	}
	list, err := mlps(c, cfg)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: has no MLP whose inner features could be reordered", c.Path)
	}
	var edit checkpoint.Edit
	for _, m := range list {
		order, err := bestOrder(c, m.down, g, stats, workers)
		if err != nil {
			return nil, err
		}
		for _, name := range append(m.into, m.down) {
			made, err := reordered(c, name, order, name == m.down)
			if err != nil {
				return nil, err
			}
			edit.Made = append(edit.Made, made)
		}
	}
	return c.View(edit)
}

// mlps finds the MLPs by the roles of their weights.
func mlps(c *checkpoint.Checkpoint, cfg model.Config) ([]mlp, error) {
	var list []mlp
	at := map[string]int{} // by what the names of an MLP's weights begin with
	find := func(name string) *mlp {
		parent := name
		for range 2 { // "down_proj.weight"
			parent = parent[:max(0, strings.LastIndexByte(parent, '.'))]
		}
		if _, ok := at[parent]; !ok {
			at[parent] = len(list)
			list = append(list, mlp{})
		}
		return &list[at[parent]]
	}
	for _, name := range c.Names() {
		role := model.Role(cfg, strings.TrimSuffix(name, ".bias")+".weight")
		if !strings.HasSuffix(name, ".bias") {
			role = model.Role(cfg, name)
		}
		isBias := strings.HasSuffix(name, ".bias")
		switch {
		case role == "ffn_down" && !isBias:
			find(name).down = name
		case role == "ffn_up" || role == "ffn_gate" || role == "ffn_gate_up":
			m := find(name)
			m.into = append(m.into, name)
		}
		if strings.HasPrefix(role, "ffn") && !isBias && (!c.Plain(name) || model.Transposed(cfg, name)) {
			return nil, fmt.Errorf("%s: %s: is packed or transposed, and cannot be reordered; start from the original model of a llama-like architecture", c.Path, name)
		}
	}
	for _, m := range list {
		if m.down == "" || len(m.into) == 0 {
			return nil, fmt.Errorf("%s: an MLP with %s has weights that are not known", c.Path, strings.Join(append(m.into, m.down), ", "))
		}
	}
	return list, nil
}

// bestOrder returns the order of the columns of a down projection.
func bestOrder(c *checkpoint.Checkpoint, name string, g pruning.Group, stats func(string, int) (*calib.Stats, error), workers int) ([]int, error) {
	rows, err := c.Rows(name)
	if err != nil {
		return nil, err
	}
	w := tensor.NewMat(rows.Dims())
	if err := rows.Read(w, 0); err != nil {
		return nil, err
	}
	in := &pruning.Inputs{Cols: w.Cols, Workers: workers}
	if stats != nil {
		if in.Stats, err = stats(name, w.Cols); err != nil {
			return nil, err
		}
	}
	score, why := pruning.Wanda{}.Scores(in, w.Rows)
	if why != "" {
		score, _ = pruning.Magnitude{}.Scores(in, w.Rows)
	}
	for r := range w.Rows {
		score(w.Row(r), w.Row(r), r, 0)
	}
	return pruning.Permute(w, g, workers), nil
}

// reordered returns a plain tensor with its columns, or else its rows, in another order; of two matrices in one the rows of both.
func reordered(c *checkpoint.Checkpoint, name string, order []int, columns bool) (checkpoint.Made, error) {
	info, err := c.Info(name)
	if err != nil {
		return checkpoint.Made{}, err
	}
	block, size := info.DType.Block()
	n := len(order)
	rows, cols := info.Rows, info.Cols
	if len(info.Shape) == 1 { // a bias
		rows, cols = cols, 1
	}
	if block != 1 || columns && cols != n || !columns && rows%n != 0 {
		return checkpoint.Made{}, fmt.Errorf("%s: %s: shape %v does not go with %d inner features", info.File, name, info.Shape, n)
	}
	return checkpoint.Made{Name: name, DType: info.DType, Shape: info.Shape, Data: func() ([]byte, error) {
		from, to := make([]byte, info.Bytes), make([]byte, info.Bytes)
		if err := c.ReadRaw(name, from, 0); err != nil {
			return nil, err
		}
		if columns {
			for r := range rows {
				for at, old := range order {
					copy(to[(r*cols+at)*size:][:size], from[(r*cols+old)*size:])
				}
			}
			return to, nil
		}
		width := cols * size
		for first := 0; first < rows; first += n {
			for at, old := range order {
				copy(to[(first+at)*width:][:width], from[(first+old)*width:])
			}
		}
		return to, nil
	}}, nil
}
