package structure

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"pith/checkpoint"
	"pith/internal/par"
	"pith/kernels"
	"pith/linalg"
	"pith/model"
	"pith/tensor"
)

// folder puts patches into tensors of the layers that stay.
type folder struct {
	ckpt    *checkpoint.Checkpoint
	config  model.Config
	workers int
	stay    []int
	made    []checkpoint.Made
}

// foldPatches returns the edit that leaves out what the patches stand for and has them behind the MLPs before.
func foldPatches(ckpt *checkpoint.Checkpoint, config model.Config, stay []int, patches []patch, workers int) (checkpoint.Edit, error) {
	f := &folder{ckpt: ckpt, config: config, workers: workers, stay: stay}
	edit := checkpoint.Edit{Layers: stay}
	var err error
	if edit.Config, err = model.SelectLayers(ckpt.ConfigJSON(), stay); err != nil {
		return edit, err
	}
	biases := map[int][]float64{} // of the MLP's output, by layer of the source
	var short model.Shortcuts
	for i := range patches {
		p := &patches[i]
		if biases[p.from-1], err = f.behind(p); err != nil {
			return edit, err
		}
		if p.update.N > 0 {
			short.MLP = append(short.MLP, f.at(p.from-1))
		}
	}
	if err := f.addBiases(biases); err != nil {
		return edit, err
	}
	edit.Made = f.made
	if !config.MLPBias {
		if edit.Config, err = withMLPBias(edit.Config); err != nil {
			return edit, err
		}
	}
	if len(short.MLP) > 0 {
		edit.Config, err = model.WithShortcuts(edit.Config, short)
	}
	return edit, err
}

// withMLPBias says in a llama's config.json that its MLPs have biases.
func withMLPBias(config []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	fields["mlp_bias"] = json.RawMessage("true")
	out, err := json.MarshalIndent(fields, "", "  ")
	return append(out, '\n'), err
}

// find returns what the checkpoint calls the weight of a role in a layer.
func (f *folder) find(layer int, role string) (string, error) {
	for _, name := range f.ckpt.Names() {
		if model.LayerOf(f.config, name) == layer && model.Role(f.config, name) == role {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s: no %s in layer %d", f.ckpt.Path, role, layer)
}

// at returns the view's number of a layer that stays.
func (f *folder) at(layer int) int { return slices.Index(f.stay, layer) }

// add makes a tensor of the view beside (or in the place of) one of the source's layer.
func (f *folder) add(layer int, name string, dt tensor.DType, shape []int, values []float32) {
	_, size := dt.Block()
	data := make([]byte, len(values)*size)
	tensor.Encode(data, dt, values)
	f.made = append(f.made, checkpoint.Made{Name: model.InLayer(f.config, name, f.at(layer)), DType: dt, Shape: shape,
		Data: func() ([]byte, error) { return data, nil }})
}

// behind puts one patch behind the MLP of the layer before it, and returns that MLP's bias. x + Wz + b becomes A(x + Wz + b) + c, A = I + update:
// the shortcut A·x, the matrix A·W and the bias A·b + c.
func (f *folder) behind(p *patch) ([]float64, error) {
	layer, n := p.from-1, f.config.Hidden
	down, err := f.find(layer, "ffn_down")
	if err != nil {
		return nil, err
	}
	bias := make([]float64, n)
	if f.config.MLPBias {
		row := tensor.NewMat(1, n)
		if err := f.ckpt.ReadRows(biasOf(down), row, 0); err != nil {
			return nil, err
		}
		for i, v := range row.Data {
			bias[i] = float64(v)
		}
	}
	if p.update.N > 0 {
		a := p.update.Clone()
		for i := range n {
			a.Row(i)[i]++
		}
		w, dt, err := f.matrix(down)
		if err != nil {
			return nil, err
		}
		f.add(layer, down, dt, []int{w.Rows, w.Cols}, f.product(a, w))
		values := make([]float32, n*n)
		for i, v := range a.Data {
			values[i] = float32(v)
		}
		f.add(layer, model.ShortcutName(f.config, down, true), dt, []int{n, n}, values)
		bias = times(a, bias)
	}
	for i, v := range p.bias {
		bias[i] += v
	}
	return bias, nil
}

func biasOf(weight string) string { return strings.TrimSuffix(weight, ".weight") + ".bias" }

// matrix reads a weight, and says as which type one that takes its place is stored: its own, or F16 if it is packed.
func (f *folder) matrix(name string) (tensor.Mat, tensor.DType, error) {
	info, err := f.ckpt.Info(name)
	if err != nil {
		return tensor.Mat{}, 0, err
	}
	w := tensor.NewMat(info.Rows, info.Cols)
	return w, storedAs(info.DType), f.ckpt.ReadRows(name, w, 0)
}

// storedAs returns the type of made matrices that take the place of one of this type.
func storedAs(dt tensor.DType) tensor.DType {
	switch dt {
	case tensor.F32, tensor.BF16, tensor.F16:
		return dt
	case tensor.F64:
		return tensor.F32
	}
	return tensor.F16
}

// product returns A·W, sums in float64.
func (f *folder) product(a linalg.Matrix, w tensor.Mat) []float32 {
	wt := make([]float64, w.Rows*w.Cols) // Wᵀ
	for r := range w.Rows {
		for c, v := range w.Row(r) {
			wt[c*w.Rows+r] = float64(v)
		}
	}
	out := make([]float32, a.N*w.Cols)
	par.Ranges(f.workers, a.N, 16, func(lo, hi int) {
		c := make([]float64, (hi-lo)*w.Cols)
		kernels.Gemm64NT(c, w.Cols, a.Data[lo*a.N:], a.N, wt, w.Rows, hi-lo, w.Cols, a.N)
		for i, v := range c {
			out[lo*w.Cols+i] = float32(v)
		}
	})
	return out
}

// times returns A·x.
func times(a linalg.Matrix, x []float64) []float64 {
	y := make([]float64, a.N)
	for i := range y {
		for j, v := range a.Row(i) {
			y[i] += v * x[j]
		}
	}
	return y
}

// addBiases stores the biases of MLP outputs; where the architecture's config says that all of an MLP's linears have biases or none,
// those of the others are zeros.
func (f *folder) addBiases(biases map[int][]float64) error {
	for _, layer := range f.stay {
		for _, role := range []string{"ffn_gate", "ffn_up", "ffn_down"} {
			b, changed := biases[layer]
			if changed = changed && role == "ffn_down"; !changed && f.config.MLPBias {
				continue
			}
			name, err := f.find(layer, role)
			if err != nil {
				return err
			}
			n := f.config.Intermediate
			if role == "ffn_down" {
				n = f.config.Hidden
			}
			values := make([]float32, n)
			if changed {
				for i, v := range b {
					values[i] = float32(v)
				}
			}
			f.add(layer, biasOf(name), tensor.F32, []int{n}, values)
		}
	}
	return nil
}
