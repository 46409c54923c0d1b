package plan

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"pith/approx"
	"pith/calib"
)

// TileElements is about how many weights are solved at a time by one worker: 256 KiB of float32, which stay in its cache.
const TileElements = 1 << 16

// TileRows returns how many rows of a weight with this many columns make a tile. It depends on the shape only.
func TileRows(rows, cols int) int {
	if cols == 0 {
		return max(1, rows)
	}
	return min(max(1, rows), max(1, TileElements/cols))
}

// What the estimate counts besides terms; TestEstimateIsAboveWhatIsUsed of package compress compares it with a real run.
const (
	tileBytesPerWeight = 4 + 4 + 2 + 2 // the tile, its source bytes, codes and scratch
	fixedBytes         = 64 << 20      // the program, headers, file buffers
)

// Memory estimates the peak anonymous bytes of compressing with this many workers: the terms of the largest two neighbouring
// blocks (one is written while the next is solved) and a tile for each worker.
func (p *Plan) Memory(workers int) int64 {
	var peak int64
	var before int64
	for _, b := range p.Blocks {
		now, tile, whole := b.held()
		peak = max(peak, before+now+whole+int64(max(1, workers))*tile)
		before = now
	}
	return peak + fixedBytes
}

// MinMemory is Memory without overlap of writing and solving, with one worker: the least that compressing can do with.
func (p *Plan) MinMemory() int64 {
	var peak int64
	for _, b := range p.Blocks {
		now, tile, whole := b.held()
		peak = max(peak, now+whole+tile)
	}
	return peak + fixedBytes
}

// held returns the bytes of a block's terms, of the largest tile, and of the largest weight that has to be whole in float32.
func (b *Block) held() (terms, tile, whole int64) {
	for i := range b.Lines {
		l := &b.Lines[i]
		if l.Keeps() || l.Alias() {
			continue // copied through a small buffer
		}
		terms += l.Bytes
		if l.Common() { // its members in float32 and, two at a time, in float64; Gram matrices, whole and packed
			rows, cols := int64(l.Rows), int64(l.Cols)
			whole = max(whole, (4*int64(len(l.Members))+8*int64(len(l.Members)+2))*rows*max(cols, rows)+16*cols*cols)
			continue
		}
		tile = max(tile, int64(TileRows(l.Rows, l.Cols))*int64(l.Cols)*tileBytesPerWeight)
		if l.Transposed {
			whole = max(whole, 8*l.Elements())
		}
		if m, err := l.NewMethod(); err == nil && m != nil && !m.RowWise() {
			whole = max(whole, wholeBytesPerWeight*l.Elements()+gramBytes(m, l.Cols)+l.factorBytes())
		}
	}
	return terms, tile, whole
}

// wholeBytesPerWeight counts a weight that is solved whole: itself, its targets, their feedback, and codes.
const wholeBytesPerWeight = 4 + 4 + 4 + 4

// gramBytes is what a method holds that uses Gram matrices: the packed matrix, a copy (rotated or permuted), and its factor.
func gramBytes(m approx.Method, cols int) int64 {
	if !m.Needs().Has(calib.Gram) {
		return 0
	}
	return 8 * int64(cols) * int64(cols) * 2
}

// Time estimates how long compressing takes, reading, hashing and writing included, without calibration (CalibrationTime). weightsPerSecond is one worker's; 0 stands for what a
// core of a server of 2023 does with each line's method and codec (AVX-512; measured on the synthetic checkpoints).
func (p *Plan) Time(workers int, weightsPerSecond float64) time.Duration {
	var seconds float64
	for _, b := range p.Blocks {
		for i := range b.Lines {
			rate := weightsPerSecond
			if rate <= 0 {
				rate = b.Lines[i].rate()
				seconds += b.Lines[i].feedbackSeconds(p.Calibration) + b.Lines[i].factorSeconds()
			}
			seconds += float64(b.Lines[i].Elements()) / rate
		}
	}
	return time.Duration(seconds / float64(max(1, workers)) * float64(time.Second))
}

// rate returns the weights a second of one worker.
func (l *Line) rate() float64 {
	kQuants := strings.HasSuffix(l.Codec, "_k")
	search := l.Search || l.feedsBack()
	switch {
	case l.Keeps(), l.Alias():
		return 500e6
	case slices.ContainsFunc(l.methods(), prunes):
		return l.pruneRate()
	case strings.HasPrefix(l.Codec, "tcq-"):
		return trellisRate(l.Codec)
	case strings.HasPrefix(l.Codec, "jlcm"): // k-means over rows, and over the weights of each group
		return 1.5e6
	case kQuants && search:
		return 2e6
	case search, strings.HasPrefix(l.Codec, "sketch"):
		return 4e6
	case l.Codec == "q6_k":
		return 25e6
	case kQuants: // the reference encoder searches by itself
		return 8e6
	}
	return 150e6
}

// feedsBack reports whether the line's method is one of error feedback.
func (l *Line) feedsBack() bool {
	return slices.ContainsFunc(l.methods(), func(name string) bool {
		return name == "ldlq" || name == "gptq" || name == "leanquant" || name == "codebook"
	})
}

// feedbackSeconds is what error feedback adds to rounding on one core: products with rows as long as the input, some passes of them (a refit is 1.3 of
// them, a sweep 1), and for one weight of those that share an input its factor.
func (l *Line) feedbackSeconds(c *Calibration) float64 {
	if !l.feedsBack() || c == nil {
		return 0
	}
	const (
		passRate   = 6.4e6 // weights a second and pass with 2048 columns (docs/methods/ldlq.md)
		factorRate = 5e9   // products a second of a Cholesky factor
		refit      = 1.3
		tables     = 5 // and the sweep after them
		drift      = 3 // what earlier weights' errors are made up for with
	)
	passes := 1.0
	if slices.Contains(l.methods(), "ldlq") {
		passes += refit
		if !strings.HasPrefix(l.Codec, "tcq-") {
			passes += 4 * (1 + refit)
		}
	}
	if slices.Contains(l.methods(), "codebook") {
		passes += tableRounds * tables
	}
	if c.Sequential {
		passes += drift
	}
	cols := float64(l.Cols)
	seconds := passes * float64(l.Elements()) * cols / 2048 / passRate
	switch l.Role {
	case "attn_k", "attn_v", "ffn_gate": // their input is that of attn_q, or ffn_up
		return seconds
	}
	return seconds + cols*cols*cols/3/factorRate
}

// trellisRate returns the weights a second of one worker that searches a trellis: about as many per state and step, and from 4.5 bits on less,
// since costs are wider; with 8 new bits at each step there is no fast search.
func trellisRate(name string) float64 {
	parts := strings.Split(name, "-") // tcq, code, bits
	if bits, err := strconv.ParseFloat(parts[min(2, len(parts)-1)], 64); err == nil && bits > 4.5 {
		switch {
		case bits > 7.5:
			return 2.5e3
		case bits > 7:
			return 0.9e6
		}
		return min(2.8e6, codeRate(name))
	}
	return codeRate(name)
}

// codeRate is trellisRate up to 4.5 bits.
func codeRate(name string) float64 {
	for prefix, rate := range map[string]float64{"tcq-lut7-": 12e6, "tcq-lut8-": 10e6, "tcq-lut9-": 6e6, "tcq-lut10-": 4e6, "tcq-lut11-": 2.5e6, "tcq-lut12-": 1.5e6} {
		if strings.HasPrefix(name, prefix) {
			return rate
		}
	}
	return 120e3
}
