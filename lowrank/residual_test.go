package lowrank

import (
	"math"
	"strings"
	"testing"

	"pith/approx"
	"pith/codec"
	"pith/tensor"
)

// measured is a method that reports what the outputs lose.
type measured struct{ rounded }

func (m measured) Solve(p approx.Problem) (codec.Term, approx.Report, error) {
	term, report, err := m.rounded.Solve(p)
	report.Proxy, report.ProxyNorm = approx.OutputLoss(p, term)
	return term, report, err
}

// A correction of what codes lose lowers that, solving the terms again lowers it further or leaves it, and the report is of the sum that is returned.
func TestCorrectionsLowerTheLoss(t *testing.T) {
	p, x := problem(48, 64, 300)
	codes := measured{rounded{mustParse(t, "int2-g32")}}
	product := factorizer(t, SVDLLM{}, "lr6-int8-g32")
	loss := func(m approx.Method) float64 {
		t.Helper()
		before := append([]float32(nil), p.W.Data...)
		term, report, err := m.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range before {
			if p.W.Data[i] != v {
				t.Fatal("the weight was changed")
			}
		}
		got := outputError(p.W, valuesOf(term), x)
		if math.Abs(report.Proxy-got) > 1e-6*got || math.Abs(report.ProxyNorm-outputError(p.W, tensor.NewMat(48, 64), x)) > 1e-6*report.ProxyNorm {
			t.Errorf("%s: reports %g of %g, loses %g", m.Name(), report.Proxy, report.ProxyNorm, got)
		}
		return got
	}
	alone := loss(codes)
	for _, backwards := range []bool{false, true} {
		methods := []approx.Method{codes, product}
		once := loss(Residual{Methods: methods, Backwards: backwards})
		often := loss(Residual{Methods: methods, Backwards: backwards, Rounds: 4})
		if once > 0.9*alone || often > once {
			t.Errorf("backwards %v: codes lose %g, with a correction %g, solved again %g", backwards, alone, once, often)
		}
	}
}

func TestSumsNameTheTermThatFailed(t *testing.T) {
	p, _ := problem(16, 16, 50)
	p.Stats = nil
	m := Residual{Methods: []approx.Method{rounded{mustParse(t, "int2-g32")}, factorizer(t, SVDLLM{}, "lr2-f16")}, Rounds: 3}
	_, report, err := m.Solve(p)
	if err != nil || report.Fallback != "term 1: plain svd: no Gram matrix" {
		t.Errorf("%q, %v", report.Fallback, err)
	}
	p.Fisher = nil
	m.Methods[1] = factorizer(t, FWSVD{}, "lr2-f16")
	if _, _, err := m.Solve(p); err == nil || !strings.Contains(err.Error(), "term 1: w: method fwsvd") {
		t.Error(err)
	}
}
