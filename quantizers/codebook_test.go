package quantizers

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pith/approx"
	"pith/codec"
	"pith/tensor"
)

var _ approx.Method = Codebook{}

// Every step of the alternation, tables or codes, leaves a loss that is no larger, and it ends below what error feedback alone reaches.
func TestAlternationNeverRaisesTheLoss(t *testing.T) {
	p := approx.Problem{Name: "w", W: gaussian(1, 70, 200), Stats: correlated(2, 200, 3000)}
	for _, name := range []string{"sketch2-p1", "sketch3-p2", "sketch4-p1", "jlcm2-k4", "jlcm3-k1-s", "jlcm4-k70"} {
		q := Codebook{Codec: parse(t, name), Rounds: 4}
		f, why, err := newFeedback(p, q.Damping, true)
		if err != nil || why != "" {
			t.Fatal(why, err)
		}
		a, err := q.start(p, f)
		if err != nil {
			t.Fatal(err)
		}
		a.proxy()
		for range 4 {
			a.solveTables()
			a.proxy()
			a.sweep()
			a.proxy()
		}
		const noise = 1e-5 // of sums in float32
		for i := 1; i < len(a.losses); i++ {
			if a.losses[i] > a.losses[i-1]*(1+noise) {
				t.Errorf("%s: step %d raises the loss from %g to %g", name, i, a.losses[i-1], a.losses[i])
			}
		}
		if first, last := a.losses[0], a.losses[len(a.losses)-1]; last > 0.97*first {
			t.Errorf("%s: from %g to %g only", name, first, last)
		}
		decoded := decoded(a.grid.Pack())
		if !slices.Equal(decoded.Data, a.q.Data) {
			t.Errorf("%s: the term is not what was solved for", name)
		}
	}
}

// The gradient of the loss by the numbers of a table, once solved and before rounding, is zero: checked against H itself.
func TestTablesAreLeastSquares(t *testing.T) {
	const rows, cols = 9, 300
	p := approx.Problem{Name: "w", W: gaussian(3, rows, cols), Stats: correlated(4, cols, 3000)}
	for _, name := range []string{"sketch3-p2", "jlcm3-k2", "jlcm2-k2-s"} {
		q := Codebook{Codec: parse(t, name)}
		f, _, err := newFeedback(p, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		a, err := q.start(p, f)
		if err != nil {
			t.Fatal(err)
		}
		_, entries := a.tables.Tables()
		each := a.tables.RangeCols()
		for _, s := range a.joined(a.normal(0, rows, gradients(a))) {
			delta, ok := s.least()
			if !ok {
				t.Fatalf("%s: no solution", name)
			}
			slope, size := make([]float64, s.n), make([]float64, s.n)
			for r := range rows {
				if a.tables.TableOf(r, 0) != a.tables.TableOf(s.row, 0) {
					continue
				}
				e, member := make([]float64, cols), make([]int, cols)
				for c, code := range a.tables.Codes(r) {
					member[c] = c/each*entries + int(code)
					e[c] = float64(p.W.Row(r)[c]) - float64(a.q.Row(r)[c]) - float64(a.tables.RowScale(r))*delta[member[c]]
				}
				for i := range cols {
					var sum, abs float64
					for j := range cols {
						h := p.Stats.GramRow(max(i, j))[min(i, j)] / float64(p.Stats.Tokens)
						if i == j {
							h += f.added[slices.Index(f.order, i)]
						}
						sum += h * e[j]
						abs += math.Abs(h * float64(p.W.Row(r)[j]))
					}
					slope[member[i]] += float64(a.tables.RowScale(r)) * sum
					size[member[i]] += float64(a.tables.RowScale(r)) * abs
				}
			}
			for k, v := range slope {
				if math.Abs(v) > 1e-5*size[k] {
					t.Errorf("%s: gradient %g of number %d, terms of size %g", name, v, k, size[k])
				}
			}
		}
	}
}

// gradients returns (w - ŵ)·H by position, in float64 but for the end.
func gradients(a *alternation) []float32 {
	n := a.f.n
	out := make([]float32, a.p.W.Rows*n)
	h := a.f.damped()
	for r := range a.p.W.Rows {
		for j := range n {
			var sum float64
			for i := range n {
				c := a.f.column(i)
				sum += float64(h[i*n+j]) * float64(a.p.W.Row(r)[c]-a.q.Row(r)[c])
			}
			out[r*n+j] = float32(sum)
		}
	}
	return out
}

func TestCodebookIsTheSameForAnyNumberOfWorkersAndTiles(t *testing.T) {
	p := approx.Problem{Name: "w", W: gaussian(5, 150, 96), Stats: correlated(6, 96, 2000)}
	for _, name := range []string{"sketch3-p1", "jlcm3-k5", "jlcm2-k3-s"} {
		q := Codebook{Codec: parse(t, name), Rounds: 2}
		want, report := solveWith(t, q, p)
		if report.Fallback != "" || report.Proxy <= 0 {
			t.Errorf("%s: %+v", name, report)
		}
		many := p
		many.Workers = 5
		got, _ := solveWith(t, q, many)
		sameBytes(t, name, got, want)
		if !q.RowWise() {
			continue
		}
		var tiles []codec.Term
		for r0 := 0; r0 < p.W.Rows; r0 += 64 {
			tile := p
			tile.W = p.W.Slice(r0, min(p.W.Rows, r0+64))
			term, _ := solveWith(t, q, tile)
			tiles = append(tiles, term)
		}
		joined, err := codec.Concat(tiles)
		if err != nil {
			t.Fatal(err)
		}
		sameBytes(t, name+" by tiles", joined, want)
	}
}

// On weights with outliers in few columns, whose inputs are small, the weights of columns keep tables where the loss is.
func TestCodebookLosesLessThanItsStartsAndOthers(t *testing.T) {
	w := gaussian(7, 64, 256)
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range w.Data {
		w.Data[i] *= float32(math.Exp(rng.NormFloat64() / 2))
	}
	p := approx.Problem{Name: "w", W: w, Stats: correlated(8, 256, 3000)}
	lost := func(m approx.Method) float64 {
		_, report := solveWith(t, m, p)
		return report.Proxy
	}
	sketch := parse(t, "sketch3-p1")
	nearest := gramLoss(w, decodedBy(t, Nearest{Codec: sketch}, p), p.Stats, none)
	start := lost(Codebook{Codec: sketch})
	done := lost(Codebook{Codec: sketch, Rounds: 4})
	grid := lost(LDLQ{Codec: parse(t, "int3-grow"), Search: true, Ordered: true, Refit: true, Sweeps: 4})
	if !(done < start && start < nearest && done < grid) {
		t.Errorf("nearest %g, start %g, alternation %g; integers %g", nearest, start, done, grid)
	}
}

func decodedBy(t *testing.T, m approx.Method, p approx.Problem) tensor.Mat {
	t.Helper()
	term, _ := solveWith(t, m, p)
	return decoded(term)
}

func TestCodebookWithoutStatisticsSaysSo(t *testing.T) {
	p := approx.Problem{Name: "w", W: gaussian(9, 8, 64)}
	q := Codebook{Codec: parse(t, "sketch3-p1"), Rounds: 2}
	got, report := solveWith(t, q, p)
	want, _ := solve(t, Nearest{Codec: q.Codec}, p)
	sameBytes(t, "data-free", got, want)
	if report.Fallback == "" {
		t.Error("no fallback reported")
	}
	if err := (Codebook{Codec: parse(t, "int4-g32")}).Check(); err == nil {
		t.Error("integers have no tables, and Check says nothing")
	}
}

// A context that ends at any moment ends the solution with its error, and the statistics are as good as new.
func TestCodebookStopsWithItsContext(t *testing.T) {
	w := gaussian(10, 40, 96)
	fresh := approx.Problem{Name: "w", W: w, Stats: correlated(11, 96, 300)}
	p := approx.Problem{Name: "w", W: w, Stats: correlated(11, 96, 300), Workers: 2}
	for _, name := range []string{"sketch2-p1", "jlcm3-k3-s"} {
		q := Codebook{Codec: parse(t, name), Rounds: 2}
		want, _ := solveWith(t, q, fresh)
		for asked := 0; ; asked += 1 + asked/4 {
			p.Context = newFuse(asked)
			got, _, err := q.Solve(p)
			if err == nil {
				sameBytes(t, name, got, want)
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}
