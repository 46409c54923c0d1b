package linalg

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

func uniform(rows, cols int, seed uint64) Dense {
	rng := rand.New(rand.NewPCG(seed, 13))
	a := NewDense(rows, cols)
	for i := range a.Data {
		a.Data[i] = rng.Float64() - 0.5
	}
	return a
}

// skipUnderLibrary leaves out what holds of this package only.
func skipUnderLibrary(t *testing.T) {
	t.Helper()
	if name, _ := Library(); name != "" {
		t.Skip("decomposed by " + name)
	}
}

func digest(parts ...[]float64) string {
	h := sha256.New()
	for _, p := range parts {
		if err := binary.Write(h, binary.LittleEndian, p); err != nil {
			panic(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// The bytes of results are the same on every machine, at every level (PITH_CPU), for any number of workers: what is written here was found at
// all three levels. Another order of sums changes it, and with it every artifact made by way of these.
func TestResultsAreTheseBytes(t *testing.T) {
	skipUnderLibrary(t)
	for workers := 1; workers <= 3; workers += 2 {
		square := uniform(300, 300, 1)
		values, vectors, err := Eigen(Matrix{300, square.Data}, workers)
		if got, want := digest(values, vectors.Data), "f2fc07f524310d8d"; err != nil || got != want {
			t.Errorf("Eigen: %s, not %s (%v)", got, want, err)
		}
		r, err := SVD(uniform(200, 270, 2), workers)
		if got, want := digest(r.U.Data, r.S, r.V.Data), "dcfaa3bd59d0ec2e"; err != nil || got != want {
			t.Errorf("SVD: %s, not %s (%v)", got, want, err)
		}
		r, _, err = TopSVD(uniform(400, 700, 3), 20, TopOptions{}, workers)
		if got, want := digest(r.U.Data, r.S, r.V.Data), "c906b57a85cb5623"; err != nil || got != want {
			t.Errorf("TopSVD: %s, not %s (%v)", got, want, err)
		}
		gram := square.TimesT(square, workers)
		w, err := Whiten(Matrix{300, gram.Data}, 0, workers)
		if err != nil {
			t.Fatal(err)
		}
		white := w.Apply(uniform(50, 300, 4), workers)
		if got, want := digest(white.Data, w.Undo(white, workers).Data), "40ecd0c9f0d3fa53"; got != want {
			t.Errorf("Whiten: %s, not %s", got, want)
		}
		err = Cholesky(Matrix{300, gram.Data}, workers)
		if got, want := digest(gram.Data), "7d0da93cc66124f5"; err != nil || got != want {
			t.Errorf("Cholesky: %s, not %s (%v)", got, want, err)
		}
	}
}
