package gradient

import (
	"fmt"
	"math"
	"strings"

	"pith/kernels"
	"pith/model"
	"pith/tensor"
)

// linear is y = W·x + bias in float32.
type linear struct {
	name string
	m    tensor.Mat
	bias []float32
}

// layer is the weights of one layer.
type layer struct {
	c                            *model.Config
	attention, mlp               []float32 // weights of the norms
	q, k, v, out, gate, up, down linear
	window                       int // positions a query sees; 0: all before it
	rope                         model.Rope
}

// load reads layer i.
func (n *network) load(i int) (*layer, error) {
	l := &layer{c: &n.config, rope: n.config.Rope}
	if n.config.Sliding[i] {
		l.window, l.rope = n.config.SlidingWindow, n.config.RopeLocal
	}
	const first = "self_attn.q_proj.weight"
	prefix := ""
	for _, s := range n.layers.Sites() {
		if s.Layer == i && strings.HasSuffix(s.Weights[0], first) {
			prefix = strings.TrimSuffix(s.Weights[0], first)
		}
	}
	if prefix == "" {
		return nil, fmt.Errorf("layer %d: queries have no weight of their own, as gradients need", i)
	}
	var err error
	for _, m := range []struct {
		to   *linear
		name string
		bias bool
	}{
		{&l.q, "self_attn.q_proj", n.config.QKVBias}, {&l.k, "self_attn.k_proj", n.config.QKVBias}, {&l.v, "self_attn.v_proj", n.config.QKVBias},
		{&l.out, "self_attn.o_proj", n.config.OutBias}, {&l.gate, "mlp.gate_proj", n.config.MLPBias}, {&l.up, "mlp.up_proj", n.config.MLPBias},
		{&l.down, "mlp.down_proj", n.config.MLPBias},
	} {
		if *m.to, err = n.linear(prefix+m.name, m.bias); err != nil {
			return nil, err
		}
	}
	if l.attention, err = n.vector(prefix + "input_layernorm.weight"); err != nil {
		return nil, err
	}
	l.mlp, err = n.vector(prefix + "post_attention_layernorm.weight")
	return l, err
}

func (n *network) linear(name string, bias bool) (linear, error) {
	w, err := n.weights.Load(name + ".weight")
	if err != nil {
		return linear{}, fmt.Errorf("%s.weight: %w", name, err)
	}
	l := linear{name: name + ".weight", m: tensor.NewMat(w.Rows, w.Cols)}
	w.ReadRows(l.m, 0)
	if bias {
		l.bias, err = n.vector(name + ".bias")
	}
	return l, err
}

func (n *network) vector(name string) ([]float32, error) {
	w, err := n.weights.Load(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m := tensor.NewMat(w.Rows, w.Cols)
	w.ReadRows(m, 0)
	return m.Data, nil
}

// backward takes the states x before the layer and the slope of the loss with regard to those after it, which it overwrites by that with
// regard to x. What lies between is computed again.
func (l *layer) backward(x, slope tensor.Mat, s *sums) {
	normed := rmsNorm(x, l.attention, l.c.NormEps)
	a := l.newAttention(normed)
	middle := forwards(a.out, l.out)
	for r := range middle.Rows {
		kernels.Axpy(middle.Row(r), 1, x.Row(r))
	}
	l.backwardMLP(middle, slope, s)
	s.add(l.out.name, slope, a.out)
	dout := tensor.NewMat(x.Rows, l.out.m.Cols)
	backwards(dout, slope, l.out)
	dq, dk, dv := a.backward(dout)
	dnormed := tensor.NewMat(x.Rows, x.Cols)
	for _, p := range []struct {
		d tensor.Mat
		w linear
	}{{dq, l.q}, {dk, l.k}, {dv, l.v}} {
		s.add(p.w.name, p.d, normed)
		backwards(dnormed, p.d, p.w)
	}
	addNormSlope(slope, dnormed, x, l.attention, l.c.NormEps)
}

// backwardMLP adds to slope, with regard to the layer's output, what it is with regard to the states x before the MLP.
func (l *layer) backwardMLP(x, slope tensor.Mat, s *sums) {
	normed := rmsNorm(x, l.mlp, l.c.NormEps)
	gate, up := forwards(normed, l.gate), forwards(normed, l.up)
	dact := tensor.NewMat(x.Rows, l.down.m.Cols)
	backwards(dact, slope, l.down)
	act := tensor.NewMat(x.Rows, gate.Cols)
	for i, g := range gate.Data { // both become slopes
		u, d := up.Data[i], dact.Data[i]
		sigmoid := 1 / (1 + kernels.Exp(-g))
		silu := g * sigmoid
		act.Data[i] = silu * u
		up.Data[i] = d * silu
		gate.Data[i] = float32(d*u) * float32(sigmoid+float32(silu*(1-sigmoid)))
	}
	s.add(l.down.name, slope, act)
	s.add(l.gate.name, gate, normed)
	s.add(l.up.name, up, normed)
	dnormed := tensor.NewMat(x.Rows, x.Cols)
	backwards(dnormed, gate, l.gate)
	backwards(dnormed, up, l.up)
	addNormSlope(slope, dnormed, x, l.mlp, l.c.NormEps)
}

// rmsNorm returns x/√(mean x² + eps)·w of each row.
func rmsNorm(x tensor.Mat, w []float32, eps float64) tensor.Mat {
	y := tensor.NewMat(x.Rows, x.Cols)
	for r := range x.Rows {
		scale := float32(inverseNorm(x.Row(r), eps))
		for i, v := range x.Row(r) {
			y.Row(r)[i] = v * scale * w[i]
		}
	}
	return y
}

func inverseNorm(x []float32, eps float64) float64 {
	var s float64
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return 1 / math.Sqrt(s/float64(len(x))+eps)
}

// addNormSlope adds to dx the slope with regard to x of y = rmsNorm(x), dy being that with regard to y: with r the inverse norm of a row of n,
// r·(w·dy) − x·r³/n·Σ x·w·dy.
func addNormSlope(dx, dy, x tensor.Mat, w []float32, eps float64) {
	for t := range x.Rows {
		in, slope, to := x.Row(t), dy.Row(t), dx.Row(t)
		r := inverseNorm(in, eps)
		var s float64
		for i, v := range in {
			s += float64(float64(v) * float64(float64(w[i])*float64(slope[i])))
		}
		s *= r * r * r / float64(len(in))
		for i, v := range in {
			to[i] += float32(float64(r*float64(float64(w[i])*float64(slope[i]))) - float64(float64(v)*s))
		}
	}
}
