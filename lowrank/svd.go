package lowrank

import (
	"pith/approx"
	"pith/calib"
)

// SVD counts all elements alike: the truncated singular value decomposition of the weight itself, which needs no data.
type SVD struct{}

// Name returns "svd".
func (SVD) Name() string { return "svd" }

// Needs returns calib.Nothing.
func (SVD) Needs() calib.Need { return calib.Nothing }

// Metric returns the metric of elements.
func (SVD) Metric(approx.Problem) (Metric, string, error) { return Metric{}, "", nil }
