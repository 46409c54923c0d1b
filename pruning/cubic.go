package pruning

// Cubic is the schedule of sparsity of gradual pruning (Zhu and Gupta 2017, arXiv 1710.01878), as Parameter-efficient Sparse Training uses
// it: s_t = s_f + (s_i - s_f)·(1 - (t - t_i)/(T - t_i - t_f))³.
type Cubic struct {
	Initial, Final float64 // sparsities s_i and s_f
	Steps          int     // T
	Hold, Settle   int     // t_i steps at Initial, t_f steps at Final
}

// At returns the sparsity of step t.
func (c Cubic) At(t int) float64 {
	switch {
	case t >= c.Steps-c.Settle:
		return c.Final
	case t <= c.Hold:
		return c.Initial
	}
	left := 1 - float64(t-c.Hold)/float64(c.Steps-c.Hold-c.Settle)
	return c.Final + float64(float64(c.Initial-c.Final)*float64(left*float64(left*left)))
}
