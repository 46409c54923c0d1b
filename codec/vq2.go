package codec

import (
	"fmt"
	"sync"

	"pith/internal/plane"
)

// vq2Books are the points that k-means gives for the Gaussian in the plane, 2^3 … 2^12 of them: pairs of weights at 1.5 to 6 bits each.
// As VQ in Q-Palette (Lee and Song 2025, arXiv 2509.20214).
var vq2Books = sync.OnceValue(func() (list []*book) {
	at := 0
	for bits := 3; bits <= 12; bits++ {
		n := 1 << bits
		points := tableAt(vq2Table, at, 2*n)
		at += 2 * n
		var top float32
		for _, v := range points {
			top = max(top, v)
		}
		index := sync.OnceValue(func() *plane.Index { return plane.New(points) })
		list = append(list, &book{family: "vq2", rate: fmt.Sprintf("-%g", float64(bits)/2), dim: 2, width: bits, scale: 1, top: top,
			encode: func(x []float32) uint16 { return uint16(index().Nearest(x[0], x[1])) },
			decode: func(dst []float32, codes []uint16, scale float32) {
				for ; len(dst) >= 2; dst, codes = dst[2:], codes[1:] {
					p := points[2*(int(codes[0])&(n-1)):]
					dst[0], dst[1] = scale*p[0], scale*p[1]
				}
				if len(dst) > 0 {
					dst[0] = scale * points[2*(int(codes[0])&(n-1))]
				}
			}})
	}
	return list
})
