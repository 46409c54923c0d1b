package linalg

import (
	"fmt"
	"testing"
)

func BenchmarkDecompositions(b *testing.B) {
	for _, n := range []int{256, 1024} {
		a := uniform(n, n, 1)
		gram := Matrix{n, a.TimesT(a, 2).Data}
		for i := range n {
			gram.Row(i)[i]++
		}
		for _, d := range []struct {
			name string
			run  func() error
		}{
			{"Cholesky", func() error { return Cholesky(gram.Clone(), 1) }},
			{"Eigen", func() error { _, _, err := Eigen(gram, 1); return err }},
			{"SVD", func() error { _, err := SVD(a, 1); return err }},
			{"TopSVD", func() error { _, _, err := TopSVD(a, n/16, TopOptions{}, 1); return err }},
		} {
			b.Run(fmt.Sprintf("%s/%d", d.name, n), func(b *testing.B) {
				for b.Loop() {
					if err := d.run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
