package lowrank

import (
	"math"
	"strconv"
	"strings"

	"pith/approx"
	"pith/calib"
)

// ASVD counts columns by the mean magnitude of their inputs: S = diag(mean |x|^α) + 1e-6 (Yuan et al. 2023, ASVD, arXiv 2312.05821,
// section 3.2; α is a parameter of the method, 0.5 in the code of its authors).
type ASVD struct {
	Alpha float64 // 0 means 0.5
}

const (
	asvdName  = "asvd"
	asvdAlpha = 0.5
	asvdMost  = 4 // of exponents that can be named
	asvdFloor = 1e-6
)

// Name returns "asvd", and the exponent after it if it is not 0.5: "asvd0.25".
func (a ASVD) Name() string {
	if a.Alpha == 0 || a.Alpha == asvdAlpha {
		return asvdName
	}
	return asvdName + strconv.FormatFloat(a.Alpha, 'f', -1, 64)
}

// ParseASVD reads a name that Name gives. Exponents are above 0 and at most 4.
func ParseASVD(name string) (a ASVD, ok bool) {
	digits, ok := strings.CutPrefix(name, asvdName)
	if !ok || digits == "" {
		return a, ok
	}
	alpha, err := strconv.ParseFloat(digits, 64)
	a = ASVD{Alpha: alpha}
	return a, err == nil && alpha > 0 && alpha <= asvdMost && a.Name() == name
}

// Needs returns calib.Moments.
func (ASVD) Needs() calib.Need { return calib.Moments }

// Metric returns the diagonal one. Statistics that have no mean magnitudes, as those of an imatrix, give the roots of the mean squares.
func (a ASVD) Metric(p approx.Problem) (Metric, string, error) {
	alpha := a.Alpha
	if alpha == 0 {
		alpha = asvdAlpha
	}
	st := p.Stats
	if st == nil || st.Tokens == 0 || st.SqSum == nil {
		return Metric{}, "plain svd: no statistics of the input", nil
	}
	note := ""
	cols := make([]float64, p.W.Cols)
	for c := range cols {
		mean := math.Sqrt(st.SqSum[c] / float64(st.Tokens))
		if st.AbsSum != nil {
			mean = st.AbsSum[c] / float64(st.Tokens)
		} else {
			note = "by root mean squares: the statistics have no mean magnitudes"
		}
		cols[c] = math.Pow(mean, alpha) + asvdFloor
		if math.IsInf(cols[c], 0) || math.IsNaN(cols[c]) {
			return Metric{}, "plain svd: the magnitudes of the input are not finite", nil
		}
	}
	return Metric{Cols: cols}, note, nil
}
