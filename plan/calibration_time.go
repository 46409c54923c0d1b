package plan

import "time"

// Reading is what a run that gathers its own statistics reads.
type Reading struct {
	Tokens  int64
	Context int // tokens of a window
	Heads   int // of attention in a layer
}

// What one core of a server of 2023 does (AVX-512; fitted to runs over three small models, docs/methods/calibration.md).
const (
	passSeconds   = 25e-12 // a token through a weight
	sumSeconds    = 25e-12 // a token and element of a Gram matrix, or of a drift
	scoreSeconds  = 1.6e-9 // a token, head and position of the window that attention looks at
	scoreFeature  = 30e-12 // and for each feature of a head
	columnSeconds = 3e-9   // a token and input of a linear layer, for norms, activations, copies and transposes
)

// CalibrationTime estimates how long gathering statistics takes. Each layer is run once; where both the original and the compressed network run
// (Calibration.Sequential), attention once for each, and what comes behind it again for each site.
func (p *Plan) CalibrationTime(workers int, r Reading) time.Duration {
	if p.Calibration == nil || p.Calibration.Texts == 0 {
		return 0
	}
	var perToken float64
	for _, b := range p.Blocks {
		for i := range b.Lines {
			perToken += b.Lines[i].readingSeconds(p.Calibration.Sequential, r)
		}
	}
	return time.Duration(perToken * float64(r.Tokens) / float64(max(1, workers)) * float64(time.Second))
}

// readingSeconds is what a token takes at one weight: its products, and, for the first of the weights that share an input, what is summed of that.
func (l *Line) readingSeconds(sequential bool, r Reading) float64 {
	if l.Alias() || l.Common() || len(l.Shape) < 2 {
		return 0
	}
	rows, cols := float64(l.Rows), float64(l.Cols)
	passes, first, added := 1.0, true, false
	var attention float64
	switch l.Role {
	case "embedding", "position":
		return 0
	case "head":
		passes = 0
	case "attn_q", "attn_qkv":
		passes = 2
	case "attn_k", "attn_v":
		passes, first = 2, false
	case "attn_output":
		passes, added = 6, true
		attention = float64(r.Context) * (scoreSeconds*float64(r.Heads) + scoreFeature*cols)
	case "ffn_up", "ffn_gate_up":
		passes = 4
	case "ffn_gate":
		passes, first = 4, false
	case "ffn_down":
		passes, added = 2, true
	}
	networks := 2.0
	if !sequential {
		passes, networks, added = min(passes, 1), 1, false
	}
	seconds := passes*rows*cols*passSeconds + networks*attention
	if !first {
		return seconds
	}
	sums := cols * cols * networks // the Gram matrix, and the drift of the input
	if added {
		sums += rows * cols
	}
	return seconds + sums*sumSeconds + passes*cols*columnSeconds
}
