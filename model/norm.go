package model

import "math"

// norm normalises rows. RMSNorm1's weight has the 1 added already.
type norm struct {
	kind         NormKind
	weight, bias []float32
	eps          float64
}

// apply writes the norm of x to dst; they may be the same slice. Sums run in float64. Conversions keep products and sums from being
// fused (squares of float32 are exact).
func (n *norm) apply(dst, x []float32) {
	if n.kind == LayerNorm {
		n.layerNorm(dst, x)
		return
	}
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		a, b, c, d := float64(x[i]), float64(x[i+1]), float64(x[i+2]), float64(x[i+3])
		s0 += a * a
		s1 += b * b
		s2 += c * c
		s3 += d * d
	}
	for ; i < len(x); i++ {
		s0 += float64(x[i]) * float64(x[i])
	}
	scale := float32(1 / math.Sqrt((s0+s1+s2+s3)/float64(len(x))+n.eps))
	w := n.weight[:len(x)]
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] = v * scale * w[i]
	}
}

func (n *norm) layerNorm(dst, x []float32) {
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
	}
	mean := sum / float64(len(x))
	for _, v := range x {
		d := float64(v) - mean
		squares += float64(d * d)
	}
	scale := 1 / math.Sqrt(squares/float64(len(x))+n.eps)
	for i, v := range x {
		dst[i] = float32(float32((float64(v)-mean)*scale)*n.weight[i]) + n.bias[i]
	}
}
