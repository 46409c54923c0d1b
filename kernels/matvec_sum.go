package kernels

// sumOrder says how the integer products of a format's blocks of 32 columns become the sum of a row. It is the definition, and what
// vector lanes do: each four columns' sum is an exact integer, is converted, and added by a fused multiply-add with the scale.
type sumOrder struct {
	sub    int     // columns that share a scale: 32, or 16
	bias   int32   // codes are stored plus bias, which is taken away in integers
	offset float32 // codes are stored plus offset, of which scale·Σx is taken away apart from the products
	minima bool    // values are scale·code less a minimum
	places places
}

// places is where the sums of a block are added, among four accumulators of 8 lanes. In the end the third is added to the
// first, the fourth to the second, and both together.
type places uint8

const (
	inTurn     places = iota // block b goes to accumulator b%4, its four columns j to lane j
	inStrips                 // the same with the second and the third exchanged
	inQuarters               // four columns j and j+4 of block b go together to lane 4(b%2)+j of accumulator b/2%2
)

// rowSum is one row's sum in the making. Lanes hold float32 values as float64, which is what fused sums are made of. They
// are never -0: products are at least as large as the scales or zero, so nothing underflows.
type rowSum struct {
	lanes [4][8]float64
	apart [8]float64 // of offsets and minima, block b's in lane b%8
}

// block adds block b: its codes, its scales (one, or two of 16 columns), its minima if the format has them. A block whose
// activations have scale 0 adds nothing, whatever the weight's bytes say.
func (s *rowSum) block(o *sumOrder, b int, codes *[Q8Block]uint8, scale, minimum []float32, x *Q8) {
	a := x.Scales[b]
	if a == 0 {
		return
	}
	dot, total := laneSums(codes, (*[Q8Block]int8)(x.Codes[b*Q8Block:]), o.bias)
	first := float32(scale[0] * a)
	at := b % 4
	switch {
	case o.places == inQuarters:
		half := [4]int32{dot[0] + dot[4], dot[1] + dot[5], dot[2] + dot[6], dot[3] + dot[7]}
		fusedScaled(s.lanes[b/2%2][b%2*4:], first, half[:])
		return
	case o.places == inStrips:
		at = at%2*2 + at/2
	}
	lanes := s.lanes[at][:]
	if o.sub == 16 {
		fusedScaled(lanes, first, dot[:4])
		fusedScaled(lanes[4:], float32(scale[1]*a), dot[4:])
		if o.minima {
			fusedScaled(lanes, -float32(minimum[0]*a), total[:4])
			fusedScaled(lanes[4:], -float32(minimum[1]*a), total[4:])
		}
		return
	}
	fusedScaled(lanes, first, dot[:])
	apart := s.apart[b%8:][:1]
	switch {
	case o.minima:
		fusedScaled(apart, -float32(minimum[0]*a), x.Sums[b:b+1])
	case o.offset != 0:
		apart[0] = fusedSum(float64(-o.offset)*float64(float32(first*float32(x.Sums[b]))), apart[0])
	}
}

// sum adds the lanes up.
func (s *rowSum) sum() float32 {
	var t [8]float32
	for l := range t {
		even := float32(s.lanes[0][l]) + float32(s.lanes[2][l])
		odd := float32(s.lanes[1][l]) + float32(s.lanes[3][l])
		t[l] = even + odd + float32(s.apart[l])
	}
	for half := 4; half > 0; half /= 2 {
		for l := range half {
			t[l] += t[l+half]
		}
	}
	return t[0]
}

// laneSums returns Σ (code - bias)·x and Σ x of each four columns.
func laneSums(codes *[Q8Block]uint8, x *[Q8Block]int8, bias int32) (dot, total [8]int32) {
	for l := range dot {
		c, a := codes[4*l:4*l+4], x[4*l:4*l+4]
		t := int32(a[0]) + int32(a[1]) + int32(a[2]) + int32(a[3])
		dot[l] = int32(c[0])*int32(a[0]) + int32(c[1])*int32(a[1]) + int32(c[2])*int32(a[2]) + int32(c[3])*int32(a[3]) - bias*t
		total[l] = t
	}
	return dot, total
}

// fusedScaled adds scale·n[l] to each lanes[l] by a fused multiply-add of float32; |n| is below 2²⁴.
func fusedScaled(lanes []float64, scale float32, n []int32) {
	lanes = lanes[:len(n)]
	for l, v := range n {
		product, c := float64(scale)*float64(v), lanes[l]
		s := product + c
		if twiceRounded(s) {
			s = fusedSumOdd(product, c, s)
		}
		lanes[l] = float64(float32(s))
	}
}
