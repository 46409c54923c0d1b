package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pith/tensor"
)

// bigram is a model whose logits depend on the current token only: table (vocabulary, vocabulary). Its hidden state is the token id.
type bigram struct {
	table tensor.Mat
	few   bool // saw a product of fewer than minRows rows
}

func (m *bigram) CheckTokens(tokens []int32) error {
	for _, id := range tokens {
		if int(id) >= m.table.Rows {
			return fmt.Errorf("no token id %d here", id)
		}
	}
	return nil
}

func (m *bigram) Forward(batch [][]int32) tensor.Mat {
	var ids []float32
	for _, seq := range batch {
		for _, id := range seq {
			ids = append(ids, float32(id))
		}
	}
	m.few = m.few || len(ids) < minRows
	return tensor.Of(len(ids), 1, ids)
}

func (m *bigram) Logits(hidden tensor.Mat) tensor.Mat {
	m.few = m.few || hidden.Rows < minRows
	y := tensor.NewMat(hidden.Rows, m.table.Cols)
	for r := range hidden.Rows {
		copy(y.Row(r), m.table.Row(int(hidden.Row(r)[0])))
	}
	return y
}

func randomBigram(seed uint64, vocab int, scale float64) *bigram {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &bigram{table: tensor.NewMat(vocab, vocab)}
	for i := range m.table.Data {
		m.table.Data[i] = float32(rng.NormFloat64() * scale)
	}
	return m
}

func randomIDs(seed uint64, n, vocab int) []int32 {
	rng := rand.New(rand.NewPCG(seed, 2))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(vocab))
	}
	return ids
}

// softmax64 is an independent reference in float64.
func softmax64(row []float32) []float64 {
	p := make([]float64, len(row))
	var sum float64
	for i, v := range row {
		p[i] = math.Exp(float64(v))
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func oneByte(int32) int { return 1 }

func TestProtocolsScoreExactlyTheirPositions(t *testing.T) {
	const ctx, bos = 8, 99
	ids := make([]int32, 21)
	for i := range ids {
		ids[i] = int32(i)
	}
	show := func(ws []window) string {
		var b strings.Builder
		for _, w := range ws {
			fmt.Fprint(&b, "[")
			for p := range w.tokens {
				sep := " "
				if p >= w.first {
					sep = fmt.Sprintf(">%d ", w.targets[p])
				}
				fmt.Fprintf(&b, "%d%s", w.tokens[p], sep)
			}
			fmt.Fprint(&b, "]")
		}
		return b.String()
	}
	for _, c := range []struct {
		p      Protocol
		n      int
		v      vocabulary
		chunks int
		want   string
	}{
		{LlamaCpp, 21, vocabulary{bos: bos, hasBOS: true, addBOS: true}, 0, "[99 1 2 3 4>5 5>6 6>7 ][99 9 10 11 12>13 13>14 14>15 ]"},
		{LlamaCpp, 21, vocabulary{bos: bos, hasBOS: true}, 0, "[0 1 2 3 4>5 5>6 6>7 ][8 9 10 11 12>13 13>14 14>15 ]"},
		{LlamaCpp, 16, vocabulary{}, 1, "[0 1 2 3 4>5 5>6 6>7 ]"},
		{GPTQ, 15, vocabulary{bos: bos, hasBOS: true, addBOS: true}, 0, "[0>1 1>2 2>3 3>4 4>5 5>6 6>7 ]"},
		{GPTQ, 16, vocabulary{}, 0, "[0>1 1>2 2>3 3>4 4>5 5>6 6>7 ][8>9 9>10 10>11 11>12 12>13 13>14 14>15 ]"},
		{BitsPerByte, 9, vocabulary{bos: bos, hasBOS: true}, 0, "[99>0 0>1 1>2 2>3 3>4 4>5 5>6 ][99>7 7>8 ]"},
		{BitsPerByte, 9, vocabulary{}, 0, "[0>1 1>2 2>3 3>4 4>5 5>6 6>7 ][7>8 ]"},
		{BitsPerByte, 8, vocabulary{}, 0, "[0>1 1>2 2>3 3>4 4>5 5>6 6>7 ]"},
	} {
		c.v.bytes = oneByte
		ws, err := c.p.windows(ids[:c.n], ctx, c.chunks, c.v)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(ws); got != c.want {
			t.Errorf("%s, %d tokens, %+v:\n got %s\nwant %s", c.p, c.n, c.v.addBOS, got, c.want)
		}
	}
	if ids[0] != 0 || ids[8] != 8 {
		t.Error("overwriting by BOS changed the text's tokens")
	}
}

func TestTooShortTextIsAnErrorThatSaysHowMuchIsNeeded(t *testing.T) {
	v := vocabulary{bytes: oneByte}
	for p, n := range map[Protocol]int{LlamaCpp: 15, GPTQ: 7, BitsPerByte: 1} {
		_, err := p.windows(make([]int32, n), 8, 0, v)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint("has ", n, " tokens")) {
			t.Errorf("%s with %d tokens: %v", p, n, err)
		}
		if _, err := p.windows(make([]int32, n+1), 8, 0, v); err != nil {
			t.Errorf("%s with %d tokens: %v", p, n+1, err)
		}
	}
}

func TestStatisticsEqualTheirDefinitions(t *testing.T) {
	const vocab = 37
	cand, base := randomBigram(1, vocab, 2), randomBigram(2, vocab, 2)
	ids := randomIDs(3, 400, vocab)
	ws, err := GPTQ.windows(ids, 50, 0, vocabulary{bytes: func(id int32) int { return int(id%3) + 1 }})
	if err != nil {
		t.Fatal(err)
	}
	got, err := evaluate(context.Background(), cand, base, ws, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var nll, nllBase, kl, dp, dp2, same, n, bytes float64
	var klMax float64
	for w := 0; w+50 <= len(ids); w += 50 {
		for i := w; i < w+49; i++ {
			p, q := softmax64(cand.table.Row(int(ids[i]))), softmax64(base.table.Row(int(ids[i])))
			target := ids[i+1]
			nll -= math.Log(p[target])
			nllBase -= math.Log(q[target])
			var k float64
			best, bestBase := 0, 0
			for j := range p {
				k += q[j] * math.Log(q[j]/p[j])
				if p[j] > p[best] {
					best = j
				}
				if q[j] > q[bestBase] {
					bestBase = j
				}
			}
			kl += k
			klMax = max(klMax, k)
			dp += p[target] - q[target]
			dp2 += (p[target] - q[target]) * (p[target] - q[target])
			if best == bestBase {
				same++
			}
			n++
			bytes += float64(target%3) + 1
		}
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"tokens", float64(got.Tokens), n}, {"bytes", float64(got.Bytes), bytes},
		{"nll_per_token", got.NLLPerToken, nll / n}, {"perplexity", got.Perplexity, math.Exp(nll / n)},
		{"bits_per_byte", got.BitsPerByte, nll / math.Ln2 / bytes}, {"base_perplexity", got.BasePerplexity, math.Exp(nllBase / n)},
		{"ln_ppl_ratio", got.LogRatio, (nll - nllBase) / n}, {"kl_mean", got.KLMean, kl / n}, {"kl_max", got.KLMax, klMax},
		{"delta_p_mean", got.DeltaPMean, dp / n}, {"delta_p_rms", got.DeltaPRMS, math.Sqrt(dp2 / n)}, {"top1_agreement", got.Agreement, same / n},
		{"top1_agreement_stderr", got.AgreementStderr, math.Sqrt(same / n * (1 - same/n) / (n - 1))},
	} {
		if math.Abs(c.got-c.want) > 1e-9*(1+math.Abs(c.want)) {
			t.Errorf("%s = %.12g, want %.12g", c.name, c.got, c.want)
		}
	}
}

func TestModelAgainstItselfIsExactlyZero(t *testing.T) {
	m := randomBigram(1, 20, 5)
	ws, _ := LlamaCpp.windows(randomIDs(1, 200, 20), 16, 0, vocabulary{bytes: oneByte})
	r, err := evaluate(context.Background(), m, m, ws, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.KLMean != 0 || r.KLMax != 0 || r.DeltaPRMS != 0 || r.LogRatio != 0 || r.Agreement != 1 || r.Perplexity != r.BasePerplexity {
		t.Errorf("a model differs from itself: %+v", r.Comparison)
	}
}

func TestUniformModelHasPerplexityOfItsVocabulary(t *testing.T) {
	m := &bigram{table: tensor.NewMat(16, 16)}
	ws, _ := BitsPerByte.windows(randomIDs(1, 100, 16), 9, 0, vocabulary{hasBOS: true, bytes: oneByte})
	r, err := evaluate(context.Background(), m, nil, ws, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Tokens != 100 || math.Abs(r.Perplexity-16) > 1e-12 || math.Abs(r.BitsPerByte-4) > 1e-12 || r.PerplexityStderr > 1e-6 {
		t.Errorf("uniform over 16: %+v", r)
	}
	if r.Comparison != nil {
		t.Error("statistics against a base without a base")
	}
}

func TestResultsDoNotDependOnWorkers(t *testing.T) {
	cand, base := randomBigram(1, 300, 3), randomBigram(4, 300, 3)
	ws, _ := LlamaCpp.windows(randomIDs(5, 2000, 300), 64, 0, vocabulary{bytes: oneByte})
	var want Result
	for i, workers := range []int{1, 2, 7} {
		r, err := evaluate(context.Background(), cand, base, ws, Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		r.Seconds, r.TokensPerSecond = 0, 0
		if i == 0 {
			want = r
		} else if *r.Comparison != *want.Comparison || r.NLLPerToken != want.NLLPerToken || r.PerplexityClustered != want.PerplexityClustered {
			t.Errorf("workers %d: %+v, 1: %+v", workers, r, want)
		}
	}
}

func TestNonFiniteLogitsAreAnErrorThatNamesThePosition(t *testing.T) {
	good, bad := randomBigram(1, 8, 1), randomBigram(1, 8, 1)
	bad.table.Row(5)[3] = float32(math.NaN())
	ids := []int32{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 4, 4, 4}
	ws, _ := GPTQ.windows(ids, 8, 0, vocabulary{bytes: oneByte})
	_, err := evaluate(context.Background(), bad, nil, ws, Options{})
	if err == nil || !strings.Contains(err.Error(), "window 0, position 5 (token 6 of the text): logit 3 is NaN") {
		t.Errorf("NaN: %v", err)
	}
	bad.table.Row(5)[3] = float32(math.Inf(-1))
	_, err = evaluate(context.Background(), good, bad, ws, Options{})
	if err == nil || !strings.Contains(err.Error(), "base model: logit 3 is -Inf") {
		t.Errorf("infinity in the base: %v", err)
	}
}

func TestTokensOutsideTheVocabularyAreAnError(t *testing.T) {
	ws, _ := GPTQ.windows([]int32{0, 1, 2, 9}, 4, 0, vocabulary{bytes: oneByte})
	if _, err := evaluate(context.Background(), randomBigram(1, 8, 1), nil, ws, Options{}); err == nil || !strings.Contains(err.Error(), "token id 9") {
		t.Errorf("token beyond the vocabulary: %v", err)
	}
	ws, _ = GPTQ.windows([]int32{0, 9, 2, 3}, 4, 0, vocabulary{bytes: oneByte})
	if _, err := evaluate(context.Background(), randomBigram(1, 10, 1), randomBigram(1, 8, 1), ws, Options{}); err == nil || !strings.Contains(err.Error(), "base model: no token id 9") {
		t.Errorf("token beyond the base's vocabulary: %v", err)
	}
	ws, _ = GPTQ.windows([]int32{0, 1, 2, 3}, 4, 0, vocabulary{bytes: oneByte})
	if _, err := evaluate(context.Background(), randomBigram(1, 8, 1), randomBigram(1, 9, 1), ws, Options{}); err == nil || !strings.Contains(err.Error(), "vocabulary") {
		t.Errorf("two vocabularies: %v", err)
	}
}

func TestCancellationStopsWithItsError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ws, _ := GPTQ.windows(randomIDs(1, 9000, 8), 300, 0, vocabulary{bytes: oneByte})
	seen := 0
	_, err := evaluate(ctx, randomBigram(1, 8, 1), nil, ws, Options{Progress: func(p Progress) {
		seen = p.Chunks
		cancel()
	}})
	if !errors.Is(err, context.Canceled) || seen == 0 || seen == len(ws) {
		t.Errorf("after %d of %d windows: %v", seen, len(ws), err)
	}
}

func TestPercentilesInterpolateBetweenNeighbours(t *testing.T) {
	v := []float32{1, 2, 4, 8}
	for q, want := range map[float64]float64{0: 1, .5: 3, 1: 8, 1.0 / 3: 2, .9: 4 + .7*4} {
		if got := percentile(v, q); math.Abs(got-want) > 1e-12 {
			t.Errorf("percentile %v = %v, want %v", q, got, want)
		}
	}
	if got := percentile(nil, .5); got != 0 {
		t.Errorf("percentile of nothing = %v", got)
	}
}

func TestClusteredErrorIsTheErrorOfWindowMeans(t *testing.T) {
	var s series
	means := []float64{1, 3, 8}
	for _, m := range means {
		s.open()
		for _, d := range []float64{-1, 0, 1} {
			s.add(m + d)
		}
	}
	// Equal windows: the standard error of the mean of three window means, with n-1.
	want := math.Sqrt(((1-4.)*(1-4)+(3-4)*(3-4)+(8-4)*(8-4))/2) / math.Sqrt(3)
	if got := s.clustered(); math.Abs(got-want) > 1e-12 {
		t.Errorf("clustered error %v, want %v", got, want)
	}
}

func TestNoProductHasFewRows(t *testing.T) {
	for _, n := range []int{2, 3, 16, 17, 40, 513, 530} {
		for _, ctx := range []int{4, 17, 18, 512} {
			m := randomBigram(1, 8, 1)
			ws, err := BitsPerByte.windows(randomIDs(1, n, 8), ctx, 0, vocabulary{hasBOS: true, bytes: oneByte})
			if err != nil {
				t.Fatal(err)
			}
			r, err := evaluate(context.Background(), m, nil, ws, Options{})
			if err != nil || r.Tokens != n {
				t.Fatalf("%d tokens of %d: %v", r.Tokens, n, err)
			}
			if m.few {
				t.Errorf("%d tokens in windows of %d: a product of fewer than %d rows", n, ctx, minRows)
			}
		}
	}
}

func TestWindowsBeyondLearnedPositionsAreRefused(t *testing.T) {
	for _, c := range []struct {
		limit int
		o     Options
		ok    bool
	}{
		{0, Options{MaxCtx: 100, Ctx: 4096}, true}, {100, Options{MaxCtx: 100, Ctx: 101}, false}, {100, Options{MaxCtx: 100, Ctx: 100}, true},
		{100, Options{MaxCtx: 100}, false}, {100, Options{MaxCtx: 100, Protocol: GPTQ}, true}, {1024, Options{MaxCtx: 1024}, true}, {0, Options{Protocol: "x"}, false},
	} {
		if err := checkPositions(c.limit, c.o); (err == nil) != c.ok {
			t.Errorf("%d positions, %+v: %v", c.limit, c.o, err)
		}
	}
}
