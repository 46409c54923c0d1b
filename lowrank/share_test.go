package lowrank

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/linalg"
	"pith/tensor"
)

// nearest stores a weight by its codec's own rounding.
type nearest struct{ c codec.Codec }

func (nearest) Name() string      { return "nearest" }
func (nearest) Needs() calib.Need { return calib.Nothing }
func (nearest) RowWise() bool     { return true }

func (m nearest) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	g, err := m.c.Fit(p.W, nil, codec.FitOptions{})
	if err != nil {
		return nil, approx.Report{}, err
	}
	codec.RoundAll(g, p.W, 1)
	t := g.Pack()
	return t, approx.Measure(p, t), nil
}

func parsed(t testing.TB, name string) codec.Codec {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// related returns weights that have much in common, and statistics of unevenly correlated inputs: one for all members if common, else each its own.
func related(seed uint64, members, rows, cols int, common bool) approx.Members {
	rng := rand.New(rand.NewPCG(seed, 5))
	gaussian := func(rows, cols int, spread float64) tensor.Mat {
		w := tensor.NewMat(rows, cols)
		for i := range w.Data {
			w.Data[i] = float32(rng.NormFloat64() * spread)
		}
		return w
	}
	base := gaussian(rows, cols, 1)
	m := approx.Members{Workers: 1}
	var stats *calib.Stats
	for l := range members {
		w := gaussian(rows, cols, 0.4)
		for i, v := range base.Data {
			w.Data[i] += v * float32(1+0.1*float64(l))
		}
		if stats == nil || !common {
			x := gaussian(4*cols, cols, 1)
			for r := range x.Rows {
				for c := range x.Row(r) {
					x.Row(r)[c] = (x.Row(r)[c] + x.Row(r)[0]) * float32(math.Exp2(-float64(c%5)))
				}
			}
			stats = calib.NewGram(cols)
			stats.Observe(x)
		}
		m.Names, m.W, m.Stats = append(m.Names, "w"+string(rune('0'+l))), append(m.W, w), append(m.Stats, stats)
	}
	return m
}

func without(m approx.Members) approx.Members {
	m.Stats = make([]*calib.Stats, len(m.W))
	return m
}

func tail(values []float64, from int) (sum float64) {
	for _, v := range values[from:] {
		sum += v
	}
	return sum
}

// loss is tr(E·H·Eᵀ), ‖E‖² without statistics, summed over the members of a set that is solved, and what it is of no approximation.
func loss(t *testing.T, m approx.Members, shared []codec.Term, method approx.Method) (sum, norm float64) {
	t.Helper()
	for l, w := range m.W {
		_, r, err := method.Solve(approx.Problem{Name: m.Names[l], W: w, Stats: m.Stats[l], Shared: shared, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if m.Stats[l] == nil {
			r.Proxy, r.ProxyNorm = r.SquaredError, r.SquaredNorm
		}
		sum, norm = sum+r.Proxy, norm+r.ProxyNorm
	}
	return sum, norm
}

// The loss of S atoms is the sum of the eigenvalues after the S largest; with as many atoms as weights there is none (H8 of the specification).
func TestAtomsLeaveTheTailOfTheSpectrum(t *testing.T) {
	for name, m := range map[string]approx.Members{"weights": without(related(1, 5, 24, 40, true)), "outputs": related(2, 5, 24, 40, true)} {
		for s := 1; s <= 5; s++ {
			p := MatrixPCA{Atoms: s, Store: nearest{parsed(t, "f32")}}
			_, values, note, err := p.components(m)
			if err != nil || (note == "") != (name == "outputs") {
				t.Fatal(note, err)
			}
			shared, _, err := p.Share(m)
			if err != nil {
				t.Fatal(err)
			}
			got, norm := loss(t, m, shared, FromAtoms{codec.AtomsOf(s, parsed(t, "f32"))})
			want := tail(values, s)
			if math.Abs(got-want) > 1e-6*norm {
				t.Errorf("%s: %d atoms lose %g of %g, the eigenvalues say %g", name, s, got, norm, want)
			}
			if s == 5 && got > 1e-10*norm { // 1e-5 of each element
				t.Errorf("%s: as many atoms as weights lose %g of %g", name, got, norm)
			}
		}
	}
}

// With a common factor of rank r the loss is the sum of the eigenvalues after the r largest, as if the stacked weights were truncated.
func TestBasesLeaveTheTailOfTheSpectrum(t *testing.T) {
	const rows, cols = 24, 40
	for _, left := range []bool{false, true} {
		for name, m := range map[string]approx.Members{"weights": without(related(3, 3, rows, cols, true)), "outputs": related(4, 3, rows, cols, true)} {
			for _, rank := range []int{1, 7, 20} {
				b := Basis{Rank: rank, Left: left, Store: nearest{parsed(t, "f32")}}
				_, values, _, err := b.factor(m)
				if err != nil {
					t.Fatal(err)
				}
				shared, _, err := b.Share(m)
				if err != nil {
					t.Fatal(err)
				}
				got, norm := loss(t, m, shared, FromBasis{Codec: codec.LowRankOf(rank, parsed(t, "f32")), Left: left, Store: nearest{parsed(t, "f32")}})
				want := tail(values, rank)
				if math.Abs(got-want) > 1e-6*norm {
					t.Errorf("%s, left %v, rank %d: loss %g of %g, the eigenvalues say %g", name, left, rank, got, norm, want)
				}
			}
		}
	}
}

// Coefficients are those of least loss for the atoms as they are stored, in the weight's own metric: no other combination is better.
func TestCoefficientsAreTheBestForStoredAtoms(t *testing.T) {
	m := related(5, 4, 16, 64, false)
	shared, _, err := MatrixPCA{Atoms: 2, Store: nearest{parsed(t, "int3-g32")}}.Share(m)
	if err != nil {
		t.Fatal(err)
	}
	method := FromAtoms{codec.AtomsOf(2, parsed(t, "int3-g32"))}
	p := approx.Problem{Name: "w", W: m.W[1], Stats: m.Stats[1], Shared: shared, Workers: 1}
	term, best, err := method.Solve(p)
	if err != nil {
		t.Fatal(err)
	}
	c := []float32{coefficient(term, 0), coefficient(term, 1)}
	for _, d := range [][2]float32{{0.01, 0}, {-0.01, 0}, {0, 0.01}, {0, -0.01}, {0.01, 0.01}} {
		loss, _ := approx.OutputLoss(p, method.Codec.Combine([]float32{c[0] + d[0], c[1] + d[1]}, shared))
		if loss <= best.Proxy {
			t.Errorf("coefficients %v lose %g, those chosen (%v) %g", d, loss, c, best.Proxy)
		}
	}
}

func coefficient(t codec.Term, s int) float32 {
	values := make([]float32, s+1)
	tensor.Decode(values, tensor.F32, t.Parts()[0].Data, 0)
	return values[s]
}

func TestSetsAreTheSameForAnyNumberOfWorkers(t *testing.T) {
	m := related(6, 3, 70, 96, false)
	for name, s := range map[string]approx.Sharer{
		"atoms": MatrixPCA{Atoms: 2, Store: nearest{parsed(t, "int4-g32")}},
		"v":     Basis{Rank: 9, Store: nearest{parsed(t, "f16")}},
		"u":     Basis{Rank: 9, Left: true, Store: nearest{parsed(t, "f16")}},
	} {
		var bytes [][]byte
		for _, workers := range []int{1, 3} {
			m.Workers = workers
			terms, _, err := s.Share(m)
			if err != nil {
				t.Fatal(err)
			}
			bytes = append(bytes, terms[len(terms)-1].Parts()[0].Data)
		}
		if !slices.Equal(bytes[0], bytes[1]) {
			t.Errorf("%s: bytes depend on workers", name)
		}
	}
}

func TestSetsThatCannotBeAreErrors(t *testing.T) {
	m := related(7, 3, 8, 32, true)
	other := m
	other.W = slices.Clone(m.W)
	other.W[1] = tensor.NewMat(9, 31)
	store := nearest{parsed(t, "f32")}
	for name, c := range map[string]struct {
		s    approx.Sharer
		m    approx.Members
		want string
	}{
		"too many atoms": {MatrixPCA{Atoms: 4, Store: store}, m, "use 1 to 3"},
		"shapes":         {MatrixPCA{Atoms: 1, Store: store}, without(other), "weights of one shape"},
		"inputs":         {Basis{Rank: 2, Store: store}, without(other), "as many inputs"},
		"outputs":        {Basis{Rank: 2, Left: true, Store: store}, without(other), "as many outputs"},
		"rank":           {Basis{Rank: 33, Store: store}, m, "use 1 to 32"},
	} {
		if _, _, err := c.s.Share(c.m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.Context = ctx
	if _, _, err := (MatrixPCA{Atoms: 1, Store: store}).Share(m); err == nil {
		t.Error("an ended context does not end the work")
	}
	if _, _, err := (FromAtoms{codec.AtomsOf(2, parsed(t, "f32"))}).Solve(approx.Problem{Name: "w", W: m.W[0]}); err == nil || !strings.Contains(err.Error(), "w: ") {
		t.Errorf("a weight of no set: %v", err)
	}
}

// A set of zeros has atoms and coefficients of zeros, not of numbers that are none.
func TestZerosHaveZerosInCommon(t *testing.T) {
	m := approx.Members{Names: []string{"a", "b"}, W: []tensor.Mat{tensor.NewMat(8, 8), tensor.NewMat(8, 8)}, Stats: make([]*calib.Stats, 2)}
	store := nearest{parsed(t, "f32")}
	atoms, _, err := MatrixPCA{Atoms: 2, Store: store}.Share(m)
	if err != nil {
		t.Fatal(err)
	}
	term, _, err := FromAtoms{codec.AtomsOf(2, parsed(t, "f32"))}.Solve(approx.Problem{Name: "a", W: m.W[0], Shared: atoms})
	if err != nil || inner(decodeTerm(term), decodeTerm(term)) != 0 || coefficient(term, 1) != 0 {
		t.Error(err)
	}
	basis, _, err := Basis{Rank: 2, Store: store}.Share(m)
	if err != nil {
		t.Fatal(err)
	}
	if term, _, err = (FromBasis{Codec: codec.LowRankOf(2, parsed(t, "f32")), Store: store}).Solve(approx.Problem{Name: "a", W: m.W[0], Shared: basis}); err != nil || inner(decodeTerm(term), decodeTerm(term)) != 0 {
		t.Error(err)
	}
	if x, err := leastSquares(linalg.NewMatrix(2), []float64{1, 1}); err != nil || x[0] != 0 {
		t.Errorf("%v %v", x, err)
	}
}

// With losses that are relative, how large a member's weights or inputs are does not decide how much of it is kept.
func TestRelativeLossesDoNotDependOnScales(t *testing.T) {
	for name, c := range map[string]struct {
		sharer approx.Sharer
		member approx.Method
	}{
		"atoms": {MatrixPCA{Atoms: 2, Relative: true, Store: nearest{parsed(t, "f32")}}, FromAtoms{codec.AtomsOf(2, parsed(t, "f32"))}},
		"v":     {Basis{Rank: 8, Relative: true, Store: nearest{parsed(t, "f32")}}, FromBasis{Codec: codec.LowRankOf(8, parsed(t, "f32")), Store: nearest{parsed(t, "f32")}}},
		"u":     {Basis{Rank: 8, Left: true, Relative: true, Store: nearest{parsed(t, "f32")}}, FromBasis{Codec: codec.LowRankOf(8, parsed(t, "f32")), Left: true, Store: nearest{parsed(t, "f32")}}},
	} {
		m := related(8, 3, 24, 40, false)
		relative := func() (list []float64) {
			shared, _, err := c.sharer.Share(m)
			if err != nil {
				t.Fatal(err)
			}
			for l, w := range m.W {
				_, r, err := c.member.Solve(approx.Problem{Name: m.Names[l], W: w, Stats: m.Stats[l], Shared: shared, Workers: 1})
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, r.Proxy/r.ProxyNorm)
			}
			return list
		}
		before := relative()
		for i := range m.W[1].Data {
			m.W[1].Data[i] *= 64
		}
		scaled := calib.NewGram(40)
		scaled.Tokens = m.Stats[2].Tokens
		for i, v := range m.Stats[2].Gram {
			scaled.Gram[i] = v / 4096
		}
		for i, v := range m.Stats[2].SqSum {
			scaled.SqSum[i] = v / 4096
		}
		m.Stats[2] = scaled
		for l, v := range relative() {
			if math.Abs(v-before[l]) > 1e-4*before[l] {
				t.Errorf("%s: member %d loses %g of itself, %g before others were scaled", name, l, v, before[l])
			}
		}
	}
}
