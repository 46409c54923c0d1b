package lowrank

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/tensor"
)

// stackProblem is a matrix with heavy tails and, of correlated inputs of unlike sizes, their Gram matrix.
func stackProblem(seed uint64, rows, cols int) approx.Problem {
	rng := rand.New(rand.NewPCG(seed, 3))
	w := tensor.NewMat(rows, cols)
	for i := range w.Data {
		w.Data[i] = float32(rng.NormFloat64() * math.Exp(0.4*rng.NormFloat64()) / 16)
	}
	stats := calib.NewGram(cols)
	x := tensor.NewMat(4*cols, cols)
	mix := make([]float64, 3*cols)
	for i := range mix {
		mix[i] = rng.NormFloat64()
	}
	for t := range x.Rows {
		var shared [3]float64
		for i := range shared {
			shared[i] = rng.NormFloat64()
		}
		for c := range cols {
			v := rng.NormFloat64()
			for i, s := range shared {
				v += s * mix[i*cols+c]
			}
			x.Row(t)[c] = float32(v * math.Exp2(float64(c%5)-2))
		}
	}
	stats.Observe(x)
	return approx.Problem{Name: "w", W: w, Stats: stats, Workers: 1}
}

// leave solves blocks one after another and returns what is left of W after each.
func leave(t *testing.T, b BitStack, p approx.Problem, blocks int) []tensor.Mat {
	t.Helper()
	p.W = copyOf(p.W)
	list := []tensor.Mat{copyOf(p.W)}
	for range blocks {
		term, _, err := b.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		subtract(p.W, term)
		list = append(list, copyOf(p.W))
	}
	return list
}

func frobenius(m tensor.Mat) (sum float64) {
	for _, v := range m.Data {
		sum += float64(v) * float64(v)
	}
	return sum
}

// outputLoss is tr(E·H·Eᵀ) of the mean Gram matrix.
func outputLoss(t *testing.T, e tensor.Mat, s *calib.Stats) (sum float64) {
	t.Helper()
	h, why := s.MeanGram(e.Cols)
	if why != "" {
		t.Fatal(why)
	}
	for r := range e.Rows {
		row := e.Row(r)
		for i, a := range row {
			for j, b := range row[:i] {
				sum += 2 * float64(a) * h.Row(i)[j] * float64(b)
			}
			sum += float64(a) * h.Row(i)[i] * float64(a)
		}
	}
	return sum
}

func TestEveryBlockLeavesLess(t *testing.T) {
	for _, k := range []int{1, 4} {
		p := stackProblem(1, 48, 100)
		without := p
		without.Stats = nil
		left := leave(t, BitStack{Rank: k}, without, 10)
		for i := range left[1:] {
			if a, b := frobenius(left[i]), frobenius(left[i+1]); !(b < a) {
				t.Errorf("k=%d: block %d leaves %g of %g", k, i, b, a)
			}
		}
		left = leave(t, BitStack{Rank: k}, p, 6)
		for i := range left[1:] {
			if a, b := outputLoss(t, left[i], p.Stats), outputLoss(t, left[i+1], p.Stats); !(b < a) {
				t.Errorf("k=%d: block %d leaves %g of %g at the outputs", k, i, b, a)
			}
		}
	}
}

// A matrix of signs with one scale for each row, the mean of the absolute values (XNOR-Net, Rastegari et al. 2016), is a block of rank 1; the
// best one cannot be worse but by rounding its factors, each by at most 2⁻¹¹.
func TestFirstBlockIsNoWorseThanSignsWithAScalePerRow(t *testing.T) {
	for seed := range uint64(4) {
		p := stackProblem(seed, 40, 72)
		p.Stats = nil
		var scaled float64
		for r := range p.W.Rows {
			var mean float64
			for _, v := range p.W.Row(r) {
				mean += math.Abs(float64(v)) / float64(p.W.Cols)
			}
			for _, v := range p.W.Row(r) {
				d := math.Abs(float64(v)) - mean
				scaled += d * d
			}
		}
		got := frobenius(leave(t, BitStack{Rank: 1}, p, 1)[1])
		if math.Sqrt(got) > math.Sqrt(scaled)+math.Sqrt(frobenius(p.W))*0x1p-10 {
			t.Errorf("seed %d: %g left, a scale per row leaves %g", seed, got, scaled)
		}
	}
}

func TestRefitsLoseLessAtTheOutputsThanThePapersBlock(t *testing.T) {
	for _, k := range []int{1, 3} {
		p := stackProblem(7, 64, 96)
		paper := leave(t, BitStack{Rank: k, Refits: -1}, p, 4)
		one := leave(t, BitStack{Rank: k, Refits: 1}, p, 4)
		ours := leave(t, BitStack{Rank: k}, p, 4)
		for i := 1; i <= 4; i++ {
			a, b, c := outputLoss(t, paper[i], p.Stats), outputLoss(t, one[i], p.Stats), outputLoss(t, ours[i], p.Stats)
			if !(b < a) || !(c < a) || i == 1 && c > b {
				t.Errorf("k=%d, %d blocks lose %g; after 1 refit %g, after 4 %g", k, i, a, b, c)
			}
		}
	}
}

func TestProxyIsWhatTheBlockLosesAtTheOutputs(t *testing.T) {
	p := stackProblem(9, 33, 70)
	term, report, err := BitStack{Rank: 2}.Solve(p)
	if err != nil {
		t.Fatal(err)
	}
	norm := outputLoss(t, p.W, p.Stats)
	rest := copyOf(p.W)
	subtract(rest, term)
	if want := outputLoss(t, rest, p.Stats); math.Abs(report.Proxy-want) > 1e-6*norm || math.Abs(report.ProxyNorm-norm) > 1e-6*norm {
		t.Errorf("reports %g of %g, is %g of %g", report.Proxy, report.ProxyNorm, want, norm)
	}
}

func TestBlocksAreTheSameForAnyWorkers(t *testing.T) {
	p := stackProblem(11, 130, 90)
	want, _, err := BitStack{Rank: 2}.Solve(p)
	if err != nil {
		t.Fatal(err)
	}
	p.Workers = 3
	p.Stats = stackProblem(11, 130, 90).Stats
	got, _, err := BitStack{Rank: 2}.Solve(p)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range got.Parts() {
		if !bytes.Equal(part.Data, want.Parts()[i].Data) {
			t.Errorf("part %q depends on workers", part.Name)
		}
	}
}

func TestBlocksOfOddMatrices(t *testing.T) {
	for _, shape := range [][2]int{{0, 8}, {3, 0}, {1, 1}, {5, 9}} {
		p := stackProblem(2, shape[0], shape[1])
		term, _, err := BitStack{}.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		if rows, cols := term.Dims(); rows != shape[0] || cols != shape[1] || term.Codec() != "sign-k1" {
			t.Errorf("%v: %s (%d, %d)", shape, term.Codec(), rows, cols)
		}
	}
	p := stackProblem(2, 4, 8)
	p.Stats = calib.NewGram(8) // of no tokens
	clear(p.W.Data)
	if term, report, err := (BitStack{}).Solve(p); err != nil || frobenius(decoded(term)) != 0 || report.Fallback == "" {
		t.Errorf("zero matrix without tokens: %v, fallback %q", err, report.Fallback)
	}
	p.W.Data[5] = float32(math.NaN())
	if _, _, err := (BitStack{}).Solve(p); err == nil {
		t.Error("a weight that is no number is accepted")
	}
}

func decoded(term codec.Term) tensor.Mat {
	rows, cols := term.Dims()
	m := tensor.NewMat(rows, cols)
	term.AddTo(m, 0)
	return m
}

func TestSolvingStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := stackProblem(2, 40, 40)
	p.Context = ctx
	if _, _, err := (BitStack{}).Solve(p); err == nil {
		t.Error("solved after the context had ended")
	}
}

func TestRankKeepsFactorsBelowAnEighthOfABit(t *testing.T) {
	for _, c := range []struct{ rows, cols, want int }{{64, 64, 1}, {256, 256, 1}, {256, 768, 1}, {2048, 2048, 8}, {4096, 4096, 16}, {4096, 11008, 16}, {0, 0, 1}} {
		k := BitStackRank(c.rows, c.cols)
		if k != c.want {
			t.Errorf("(%d, %d): %d, want %d", c.rows, c.cols, k, c.want)
		}
		if n := float64(c.rows) * float64(c.cols); k > 1 && 16*float64(k)*float64(c.rows+c.cols)/n > 0.125 {
			t.Errorf("(%d, %d): factors take more than an eighth of a bit", c.rows, c.cols)
		}
	}
}

// The block's loss is that of the plain definition, in float64 and with u by least squares, up to what the order of rounding and, above rank 1, of fitting
// does: over several matrices within a part in a hundred, for one within five.
func TestRefitsLoseWhatThePlainOnesLose(t *testing.T) {
	for _, k := range []int{1, 4} {
		var ours, plain float64
		for seed := range uint64(6) {
			p := stackProblem(40+seed, 70, 130)
			b := BitStack{Rank: k, Refits: 4}
			block, err := b.start(p)
			if err != nil {
				t.Fatal(err)
			}
			_, want := plainRefine(b, p, block)
			_, report, err := b.Solve(p)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("k=%d: %g, plain %g of %g", k, report.Proxy, want, report.ProxyNorm)
			ours, plain = ours+report.Proxy/report.ProxyNorm, plain+want/report.ProxyNorm
			if math.Abs(report.Proxy/want-1) > 0.05 {
				t.Errorf("k=%d, matrix %d loses %g, by the plain definition %g", k, seed, report.Proxy, want)
			}
		}
		if math.Abs(ours/plain-1) > 0.01 {
			t.Errorf("k=%d: matrices lose %g in all, by the plain definition %g", k, ours, plain)
		}
	}
}

// benchProblem is a matrix of normal numbers and a Gram matrix whose diagonal spans three powers of ten, made without a text.
func benchProblem(rows, cols int) approx.Problem {
	rng := rand.New(rand.NewPCG(5, 3))
	w := tensor.NewMat(rows, cols)
	for i := range w.Data {
		w.Data[i] = float32(rng.NormFloat64())
	}
	stats := calib.NewGram(cols)
	x := tensor.NewMat(64, cols)
	for i := range x.Data {
		x.Data[i] = float32(rng.NormFloat64() * math.Pow(10, float64(i%cols%4)/2))
	}
	stats.Observe(x)
	for at, i := 0, 0; i < cols; i++ {
		at += i + 1
		stats.Gram[at-1] += 16 * math.Pow(10, float64(i%4))
	}
	return approx.Problem{Name: "w", W: w, Stats: stats, Workers: 1}
}

// One block, after the first has made the form of the statistics; "plain" is the definition that tests compare with.
// go test -run '^$' -bench BitStack -benchtime 1x ./lowrank
func BenchmarkBitStack(b *testing.B) {
	for _, shape := range [][3]int{{256, 768, 1}, {1024, 1024, 4}, {2048, 2048, 8}, {1024, 11008, 16}} { // k is that of the last as of 4096 rows
		for _, how := range []string{"", "plain"} {
			if how == "plain" && shape[1] > 2048 {
				continue // takes hours
			}
			b.Run(fmt.Sprintf("%dx%d%s", shape[0], shape[1], how), func(b *testing.B) {
				p := benchProblem(shape[0], shape[1])
				method := BitStack{Rank: shape[2], Refits: 4}
				if _, _, err := method.form(p); err != nil {
					b.Fatal(err)
				}
				var loss float64
				for b.Loop() {
					if how == "plain" {
						block, err := method.start(p)
						if err != nil {
							b.Fatal(err)
						}
						_, loss = plainRefine(method, p, block)
						continue
					}
					_, report, err := method.Solve(p)
					if err != nil {
						b.Fatal(err)
					}
					loss = report.Proxy
				}
				b.ReportMetric(loss, "loss")
			})
		}
	}
}
