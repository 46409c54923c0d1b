package quantizers

import (
	"math"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/tensor"
)

// feedbackMethods are methods with error feedback as recipes make them, for codecs of every kind.
func feedbackMethods(t *testing.T) map[string]approx.Method {
	methods := map[string]approx.Method{}
	for _, name := range []string{"int3-g64", "q4_k", "int2-g32-had", "tcq-lut7-2.5", "tcq-lut7-2-had"} {
		methods[name+" ldlq"] = ForCodec(parse(t, name), func(c codec.Codec) approx.Method {
			return LDLQ{Codec: c, Search: true, Ordered: true, Damping: 0.1, Refit: true, Gains: []float32{1, 1.2}}
		})
	}
	methods["int4-g32 gptq"] = GPTQ{Codec: parse(t, "int4-g32")}
	return methods
}

// quieter multiplies feature d by factor in statistics.
func quieter(s *calib.Stats, d int, factor float64) {
	for i := range s.SqSum {
		s.GramRow(max(i, d))[min(i, d)] *= factor
	}
	s.GramRow(d)[d] *= factor
	s.SqSum[d] = s.GramRow(d)[d]
}

// What calibration proves dead is free, so outliers there change nothing: the term is that of zeros there, and the report says so.
func TestOutliersInDeadColumnsChangeNothing(t *testing.T) {
	const rows, cols = 70, 256
	clean, hostile := gaussian(21, rows, cols), gaussian(21, rows, cols)
	stats := correlated(22, cols, deadTokens)
	for i, d := range []int{0, 17, 18, 255} {
		quieter(stats, d, 0)
		for r := range rows {
			clean.Row(r)[d] = 0
			hostile.Row(r)[d] = []float32{1e4, -3e7, 1e-3, 5}[i]
		}
	}
	for name, m := range feedbackMethods(t) {
		want, report := solveWith(t, m, approx.Problem{Name: "w", W: clean, Stats: stats, Workers: 2})
		if report.Fallback != "" {
			t.Errorf("%s: nothing had to be done and the report says %q", name, report.Fallback)
		}
		got, hostileReport := solveWith(t, m, approx.Problem{Name: "w", W: hostile, Stats: stats, Workers: 2})
		sameBytes(t, name, got, want)
		if hostileReport.Fallback != deadZeroed || hostileReport.Proxy != report.Proxy {
			t.Errorf("%s: report %+v, without outliers %+v", name, hostileReport, report)
		}
	}
}

// Too few tokens, or tokens left out, prove nothing: what was zero keeps its weights within the range of others.
func TestOutliersOfInputsNotProvenDeadAreLimited(t *testing.T) {
	const rows, cols = 20, 256
	for _, doubt := range []func(s *calib.Stats){func(s *calib.Stats) { s.Tokens-- }, func(s *calib.Stats) { s.NonFinite = 1 }} {
		stats := correlated(23, cols, deadTokens)
		doubt(stats)
		limited, hostile := gaussian(24, rows, cols), gaussian(24, rows, cols)
		for _, d := range []int{3, 90} {
			quieter(stats, d, 0)
		}
		for r := range rows {
			var limit float32
			for c, v := range limited.Row(r) {
				if c != 3 && c != 90 {
					limit = max(limit, v, -v)
				}
			}
			limited.Row(r)[3], hostile.Row(r)[3] = -limit, -1e4
			limited.Row(r)[90], hostile.Row(r)[90] = limit/2, limit/2
		}
		for name, m := range feedbackMethods(t) {
			want, _ := solveWith(t, m, approx.Problem{Name: "w", W: limited, Stats: stats})
			got, report := solveWith(t, m, approx.Problem{Name: "w", W: hostile, Stats: stats})
			sameBytes(t, name, got, want)
			if report.Fallback != deadLimited {
				t.Errorf("%s: fallback %q", name, report.Fallback)
			}
		}
	}
}

// hostileProblems are problems at which a single scale per row, or group, fails.
func hostileProblems() map[string]approx.Problem {
	const rows, cols = 48, 256
	make := func(change func(w tensor.Mat, s *calib.Stats)) approx.Problem {
		p := approx.Problem{Name: "w", W: gaussian(25, rows, cols), Stats: correlated(26, cols, 300), Workers: 2}
		change(p.W, p.Stats)
		return p
	}
	column := func(w tensor.Mat, c int, v float32) {
		for r := range w.Rows {
			w.Row(r)[c] = v
		}
	}
	return map[string]approx.Problem{
		"outlier, live":        make(func(w tensor.Mat, s *calib.Stats) { column(w, 17, 1e4) }),
		"outlier, hardly live": make(func(w tensor.Mat, s *calib.Stats) { column(w, 17, 1e4); quieter(s, 17, 1e-5) }),
		"outlier of one row":   make(func(w tensor.Mat, s *calib.Stats) { w.Row(5)[17] = 3e4; quieter(s, 17, 1e-6) }),
		"few inputs matter": make(func(w tensor.Mat, s *calib.Stats) {
			for c := range cols {
				if c%32 != 0 {
					column(w, c, 1000)
					quieter(s, c, 1e-8)
				}
			}
		}),
		"zeros and an outlier": make(func(w tensor.Mat, s *calib.Stats) {
			clear(w.Data)
			w.Row(3)[3], w.Row(4)[9] = 3e4, 1e-3
			quieter(s, 3, 1e-9)
		}),
	}
}

// Whatever the weight, what is reported is true and no worse than either rounding to nearest, zeros, or what the codec's bits promise.
func TestNothingLosesMoreThanNearestOrZeros(t *testing.T) {
	for what, p := range hostileProblems() {
		norm := gramLoss(p.W, tensor.NewMat(p.W.Rows, p.W.Cols), p.Stats, none)
		for name, m := range feedbackMethods(t) {
			var near approx.Method
			if inner, ok := m.(Incoherent); ok {
				near = Incoherent{inner.Method.(netted).nearest()}
			} else {
				near = m.(netted).nearest()
			}
			nearest, _ := solveWith(t, near, p)
			got, report := solveWith(t, m, p)
			loss := gramLoss(p.W, decoded(got), p.Stats, none)
			if doubtful(p, got, approx.Report{Proxy: loss, ProxyNorm: norm}) && loss > 1.001*min(norm, gramLoss(p.W, decoded(nearest), p.Stats, none)) {
				t.Errorf("%s, %s: loss %g of %g, nearest %g (%s)", what, name, loss, norm, gramLoss(p.W, decoded(nearest), p.Stats, none), report.Fallback)
			}
			const rounding = 0.02 // the damping of an outlier is large and is subtracted again; rotations spread its rounding errors too
			if _, turned := m.(Incoherent); turned {
				continue
			}
			if math.Abs(report.Proxy-loss) > rounding*loss || math.Abs(report.ProxyNorm-norm) > rounding*norm {
				t.Errorf("%s, %s: reported loss %g of %g, is %g of %g (%s)", what, name, report.Proxy, report.ProxyNorm, loss, norm, report.Fallback)
			}
		}
	}
}

func TestWhatTheSafetyNetDidIsNamed(t *testing.T) {
	problems := hostileProblems()
	solver := feedbackMethods(t)["tcq-lut7-2-had ldlq"]
	for what, want := range map[string]string{"outlier, live": "", "outlier, hardly live": netLimited, "outlier of one row": netLimited, "few inputs matter": netZeros} {
		if _, report := solveWith(t, solver, problems[what]); report.Fallback != want {
			t.Errorf("%s: fallback %q, want %q", what, report.Fallback, want)
		}
	}
	one := feedbackMethods(t)["tcq-lut7-2.5 ldlq"]
	p := problems["outlier, live"]
	p.Stats = calib.NewGram(p.W.Cols)
	p.Stats.Observe(gaussian(1, 1, p.W.Cols))
	if _, report := solveWith(t, one, p); !strings.Contains(report.Fallback, "1 tokens") {
		t.Errorf("one token: fallback %q", report.Fallback)
	}
}

func TestOutputLossIsTheTrace(t *testing.T) {
	p := approx.Problem{Name: "w", W: gaussian(27, 150, 200), Stats: correlated(28, 200, 70), Workers: 2}
	term, _ := solveWith(t, Nearest{Codec: parse(t, "int3-g64")}, p)
	for _, c := range []struct{ got, want float64 }{
		{outputLoss(p, term), gramLoss(p.W, decoded(term), p.Stats, none)},
		{outputLoss(p, nil), gramLoss(p.W, tensor.NewMat(150, 200), p.Stats, none)},
	} {
		if math.Abs(c.got-c.want) > 1e-9*c.want {
			t.Errorf("loss %g, is %g", c.got, c.want)
		}
	}
	whole := outputLoss(p, term)
	p.Workers = 1
	if outputLoss(p, term) != whole {
		t.Error("the loss depends on workers")
	}
}

// Rows of every length, one row, few rows: a result that is finite and loses less than zeros do.
func TestOddShapesGiveAResult(t *testing.T) {
	for _, cols := range []int{1, 2, 3, 31, 96, 172, 896} {
		stats := correlated(uint64(cols), cols, 2*cols+5)
		for _, rows := range []int{1, 2, 17, 65} {
			if rows*cols > 40000 {
				continue
			}
			p := approx.Problem{Name: "w", W: gaussian(33, rows, cols), Stats: stats, Workers: 2}
			for _, name := range []string{"int3-g64", "int4-g128-had", "tcq-lut7-3", "tcq-lut8-2.5-had"} {
				m := ForCodec(parse(t, name), func(c codec.Codec) approx.Method { return LDLQ{Codec: c, Search: true, Ordered: true, Refit: true} })
				term, report := solveWith(t, m, p)
				if err := codec.CheckFinite(decoded(term)); err != nil {
					t.Errorf("%s, %d×%d: %v", name, rows, cols, err)
				}
				if !(report.Proxy <= report.ProxyNorm) {
					t.Errorf("%s, %d×%d: loss %g of %g", name, rows, cols, report.Proxy, report.ProxyNorm)
				}
			}
		}
	}
}
