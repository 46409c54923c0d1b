package lowrank

import (
	"math"

	"pith/approx"
	"pith/calib"
)

// Frequency counts the rows of an embedding by how often calibration read them: D = diag(√n), n the counts, so that what is least is the mean squared error
// of the embeddings that a text of the domain reads. A factored embedding, A·B with A (tokens, rank), is ALBERT's (Lan et al. 2019, arXiv 1909.11942, §3.1).
type Frequency struct{}

// Name returns "svd-freq".
func (Frequency) Name() string { return "svd-freq" }

// Needs returns calib.Counts.
func (Frequency) Needs() calib.Need { return calib.Counts }

// unreadRow is how often a row that was never read counts as read.
const unreadRow = 0.1

// Metric returns the diagonal of rows; without counts the metric of elements, with a note.
func (Frequency) Metric(p approx.Problem) (Metric, string, error) {
	if p.Stats == nil || len(p.Stats.Counts) != p.W.Rows {
		return Metric{}, "plain svd: how often each row is read is known of embeddings only, with --text or --stats", nil
	}
	m := Metric{Rows: make([]float64, p.W.Rows)}
	for i, n := range p.Stats.Counts {
		m.Rows[i] = math.Sqrt(max(float64(n), unreadRow))
	}
	return m, "", nil
}
