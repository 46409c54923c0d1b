package gradient

import (
	"math"

	"pith/kernels"
	"pith/tensor"
)

// attention is what one window's attention has computed: queries and keys rotated, the probabilities of each query head, and the outputs of all
// heads side by side.
type attention struct {
	l       *layer
	q, k, v tensor.Mat
	p       []tensor.Mat // (tokens, tokens) of each query head, zero where a query does not see
	out     tensor.Mat
	cos     tensor.Mat // (tokens, Dim/2)
	sin     tensor.Mat
}

func (l *layer) newAttention(x tensor.Mat) *attention {
	a := &attention{l: l, q: forwards(x, l.q), k: forwards(x, l.k), v: forwards(x, l.v)}
	n := x.Rows
	freq, scale := l.rope.Frequencies(n)
	a.cos, a.sin = tensor.NewMat(n, len(freq)), tensor.NewMat(n, len(freq))
	for t := range n {
		for i, f := range freq {
			sin, cos := math.Sincos(float64(float32(t) * f))
			a.cos.Row(t)[i], a.sin.Row(t)[i] = float32(cos*scale), float32(sin*scale)
		}
	}
	a.rotate(a.q, 1)
	a.rotate(a.k, 1)
	a.out = tensor.NewMat(n, l.c.Heads*l.c.HeadDim)
	for h := range l.c.Heads {
		q, k, v := a.head(a.q, h), a.head(a.k, a.group(h)), a.head(a.v, a.group(h))
		p := tensor.NewMat(n, n)
		kernels.GemmNT(p.Data, p.Stride, q.Data, q.Stride, k.Data, k.Stride, n, n, l.c.HeadDim)
		for t := range n {
			row := p.Row(t)
			from := 0
			if l.window > 0 {
				from = max(0, t+1-l.window)
			}
			clear(row[:from])
			clear(row[t+1:])
			softmax(row[from:t+1], float32(l.c.QueryScale))
		}
		o := a.head(a.out, h)
		kernels.GemmNN(o.Data, o.Stride, p.Data, p.Stride, v.Data, v.Stride, n, l.c.HeadDim, n)
		a.p = append(a.p, p)
	}
	return a
}

// softmax overwrites x with the softmax of x·scale.
func softmax(x []float32, scale float32) {
	for i := range x {
		x[i] *= scale
	}
	sum := kernels.ExpSum(x, kernels.Max(x))
	for i := range x {
		x[i] /= sum
	}
}

// group is the key and value head of a query head.
func (a *attention) group(h int) int { return h * a.l.c.KVHeads / a.l.c.Heads }

// head returns one head's columns.
func (a *attention) head(m tensor.Mat, h int) tensor.Mat {
	d := a.l.c.HeadDim
	return tensor.Mat{Rows: m.Rows, Cols: d, Stride: m.Stride, Data: m.Data[h*d:]}
}

// rotate turns all heads of each token by its position's angles, or back (direction −1): the transposed rotation.
func (a *attention) rotate(m tensor.Mat, direction float32) {
	d, half := a.l.c.HeadDim, a.cos.Cols
	for t := range m.Rows {
		cos, sin := a.cos.Row(t), a.sin.Row(t)
		for at := 0; at < m.Cols; at += d {
			x, y := m.Row(t)[at:at+half], m.Row(t)[at+half:at+2*half]
			for i, c := range cos {
				s := direction * sin[i]
				u, v := x[i], y[i]
				x[i] = float32(u*c) - float32(v*s)
				y[i] = float32(v*c) + float32(u*s)
			}
		}
	}
}

// backward returns the slopes with regard to queries, keys and values before rotation, from that with regard to the outputs.
func (a *attention) backward(dout tensor.Mat) (dq, dk, dv tensor.Mat) {
	c, n := a.l.c, dout.Rows
	dq, dk, dv = tensor.NewMat(n, a.q.Cols), tensor.NewMat(n, a.k.Cols), tensor.NewMat(n, a.v.Cols)
	ds := tensor.NewMat(n, n)
	for h := range c.Heads {
		g, p, do := a.group(h), a.p[h], a.head(dout, h)
		q, k, v := a.head(a.q, h), a.head(a.k, g), a.head(a.v, g)
		clear(ds.Data)
		kernels.GemmNT(ds.Data, ds.Stride, do.Data, do.Stride, v.Data, v.Stride, n, n, c.HeadDim)
		for t := range n {
			probabilities, slopes := p.Row(t), ds.Row(t)
			mean := kernels.Dot(probabilities, slopes)
			for i, w := range probabilities {
				slopes[i] = w * (slopes[i] - mean) * float32(c.QueryScale)
			}
		}
		hq, hk, hv := a.head(dq, h), a.head(dk, g), a.head(dv, g)
		kernels.GemmNN(hq.Data, hq.Stride, ds.Data, ds.Stride, k.Data, k.Stride, n, c.HeadDim, n)
		dst, pt := transposed(ds), transposed(p)
		kernels.GemmNN(hk.Data, hk.Stride, dst.Data, dst.Stride, q.Data, q.Stride, n, c.HeadDim, n)
		kernels.GemmNN(hv.Data, hv.Stride, pt.Data, pt.Stride, do.Data, do.Stride, n, c.HeadDim, n)
	}
	a.rotate(dq, -1)
	a.rotate(dk, -1)
	return dq, dk, dv
}
