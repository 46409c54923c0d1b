package eval

import (
	"math"
	"slices"
)

// series accumulates one quantity over scored tokens, and its sum over each window.
type series struct {
	n          int
	sum, sumSq float64
	windows    []windowSum
}

type windowSum struct {
	n   int
	sum float64
}

func (s *series) open() { s.windows = append(s.windows, windowSum{}) }

func (s *series) add(v float64) {
	s.n++
	s.sum += v
	s.sumSq += v * v
	w := &s.windows[len(s.windows)-1]
	w.n++
	w.sum += v
}

func (s *series) mean() float64 {
	if s.n == 0 {
		return 0
	}
	return s.sum / float64(s.n)
}

// stderr is the standard error of the mean if tokens were independent: sqrt((E[v²]−E[v]²)/(n−1)), llama.cpp's formula.
func (s *series) stderr() float64 {
	if s.n < 2 {
		return 0
	}
	m := s.mean()
	return math.Sqrt(max(0, s.sumSq/float64(s.n)-m*m) / float64(s.n-1))
}

// clustered is the standard error of the mean when only windows are independent: sqrt(C/(C−1)·Σ(Sᵢ−m·nᵢ)²)/n, with Sᵢ the sum over
// the nᵢ tokens of window i, C windows and m the mean.
func (s *series) clustered() float64 {
	c := float64(len(s.windows))
	if c < 2 {
		return 0
	}
	m := s.mean()
	var ss float64
	for _, w := range s.windows {
		d := w.sum - m*float64(w.n)
		ss += d * d
	}
	return math.Sqrt(c/(c-1)*ss) / float64(s.n)
}

// percentile returns the value below which fraction q of sorted lies, interpolating linearly between neighbours as llama.cpp does.
func percentile(sorted []float32, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	f := at - float64(i)
	return (1-f)*float64(sorted[i]) + f*float64(sorted[min(i+1, len(sorted)-1)])
}

// tally accumulates scores in the order of the text, so that sums do not depend on who computed them.
type tally struct {
	bytes                                       int
	nll, nllBase, logRatio, kl, dp, dpSq, agree series
	kls, dps                                    []float32 // for percentiles
	klMax                                       float64
}

func (t *tally) all() []*series {
	return []*series{&t.nll, &t.nllBase, &t.logRatio, &t.kl, &t.dp, &t.dpSq, &t.agree}
}

// open begins a window.
func (t *tally) open() {
	for _, s := range t.all() {
		s.open()
	}
}

func (t *tally) add(s score, bytes int) {
	t.bytes += bytes
	t.nll.add(s.nll)
	t.nllBase.add(s.nllBase)
	t.logRatio.add(s.nll - s.nllBase)
	t.kl.add(s.kl)
	t.dp.add(s.deltaP)
	t.dpSq.add(s.deltaP * s.deltaP)
	var same float64
	if s.agree {
		same = 1
	}
	t.agree.add(same)
	t.kls = append(t.kls, float32(s.kl))
	t.dps = append(t.dps, float32(s.deltaP))
	t.klMax = max(t.klMax, s.kl)
}

func (t *tally) perplexity() float64 { return finiteExp(t.nll.mean()) }

// finiteExp is exp, kept below infinity so that results can be written as JSON.
func finiteExp(x float64) float64 { return min(math.Exp(x), math.MaxFloat64) }

// result returns the statistics so far.
func (t *tally) result(withBase bool) Result {
	ppl := t.perplexity()
	r := Result{
		Tokens:              t.nll.n,
		Bytes:               t.bytes,
		NLLPerToken:         t.nll.mean(),
		NLLStderr:           t.nll.stderr(),
		NLLClustered:        t.nll.clustered(),
		Perplexity:          ppl,
		PerplexityStderr:    ppl * t.nll.stderr(),
		PerplexityClustered: ppl * t.nll.clustered(),
	}
	if t.bytes > 0 {
		r.BitsPerByte = t.nll.sum / math.Ln2 / float64(t.bytes)
	}
	if !withBase {
		return r
	}
	slices.Sort(t.kls)
	slices.Sort(t.dps)
	base, ratio, rms := finiteExp(t.nllBase.mean()), finiteExp(t.logRatio.mean()), math.Sqrt(t.dpSq.mean())
	c := &Comparison{
		BasePerplexity: base, BasePerplexityStderr: base * t.nllBase.stderr(),
		LogRatio: t.logRatio.mean(), LogRatioStderr: t.logRatio.stderr(), LogRatioClustered: t.logRatio.clustered(),
		Ratio: ratio, RatioStderr: ratio * t.logRatio.stderr(),
		KLMean: t.kl.mean(), KLStderr: t.kl.stderr(), KLClustered: t.kl.clustered(),
		KLMedian: percentile(t.kls, .5), KL90: percentile(t.kls, .9), KL95: percentile(t.kls, .95),
		KL99: percentile(t.kls, .99), KL999: percentile(t.kls, .999), KLMax: t.klMax,
		Agreement: t.agree.mean(), AgreementStderr: t.agree.stderr(), AgreementClustered: t.agree.clustered(),
		DeltaPMean: t.dp.mean(), DeltaPStderr: t.dp.stderr(), DeltaPClustered: t.dp.clustered(), DeltaPRMS: rms,
		DeltaPMin: percentile(t.dps, 0), DeltaP1: percentile(t.dps, .01), DeltaP5: percentile(t.dps, .05), DeltaP10: percentile(t.dps, .1),
		DeltaP25: percentile(t.dps, .25), DeltaPMedian: percentile(t.dps, .5), DeltaP75: percentile(t.dps, .75), DeltaP90: percentile(t.dps, .9),
		DeltaP95: percentile(t.dps, .95), DeltaP99: percentile(t.dps, .99), DeltaPMax: percentile(t.dps, 1),
	}
	if rms > 0 {
		c.DeltaPRMSStderr = t.dpSq.stderr() / (2 * rms)
	}
	r.Comparison = c
	return r
}
