package linalg

import (
	"errors"
	"math"
	"testing"
)

func TestWhiteningTurnsTheLossIntoANorm(t *testing.T) {
	const n = 60
	for _, rank := range []int{n, 20} {
		g := symmetric(n, rank, 3)
		if rank == n { // positive definite
			x := Dense{n, n, g.Data}
			g = Matrix{n, x.TimesT(x, 1).Data}
		}
		w, err := Whiten(g, 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		if want := n - rank; w.Floored != want {
			t.Errorf("rank %d: %d eigenvalues raised", rank, w.Floored)
		}
		e := gaussian(7, n, 4)
		es := e.Clone()
		es = w.Apply(es, 2)
		loss := e.Times(Dense{n, n, g.Data}, 1)
		for i := range e.Rows {
			var want, size float64
			for j, v := range e.Row(i) {
				want += v * loss.Row(i)[j]
				size += w.Values[0] * v * v
			}
			// Eigenvalues were raised by 1e-6 of the largest at most.
			if got := (Dense{1, n, es.Row(i)}).energy(); math.Abs(got-want) > 1e-6*size {
				t.Errorf("rank %d: loss %g, norm %g", rank, want, got)
			}
		}
		if d := distance(w.Undo(es, 2), e); d > 1e-11 {
			t.Errorf("rank %d: undone, it differs by %g", rank, d)
		}
	}
	if _, err := Whiten(NewMatrix(4), 0, 1); !errors.Is(err, ErrZero) {
		t.Errorf("zero matrix: %v", err)
	}
}
