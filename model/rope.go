package model

import "math"

// Rope describes rotary position embeddings (Su et al. 2021, arXiv 2104.09864): features i and i + Dim/2 of a head turn by the
// angle position·frequency(i). Type says how the frequencies Theta^(−2i/Dim) are changed for contexts longer than trained on:
//
//	default   as they are
//	linear    divided by Factor
//	dynamic   Theta grows with the sequence once it is longer than MaxPositions ("NTK-aware")
//	llama3    low frequencies divided by Factor, high ones kept, a ramp between (Llama 3, arXiv 2407.21783)
//	yarn      the same with the ramp over the number of rotations, and cos, sin scaled (Peng et al. 2023, arXiv 2309.00071)
//	longrope  divided by a factor each, one set for sequences up to OriginalMax, one for longer (Ding et al. 2024, arXiv 2402.13753)
//
// The formulas follow transformers' modeling_rope_utils, version 5.
type Rope struct {
	Type                    string
	Dim                     int // rotated features of a head; the others pass
	Theta                   float64
	Factor                  float64
	MaxPositions            int     // the config's max_position_embeddings
	OriginalMax             int     // context length before extension
	LowFreq, HighFreq       float64 // llama3
	BetaFast, BetaSlow      float64 // yarn
	MScale, MScaleAllDim    float64 // yarn; 0: not given
	Truncate                bool    // yarn: whole-numbered ends of the ramp
	AttentionFactor         float64 // yarn, longrope: scale of cos and sin; 0: derived
	ShortFactor, LongFactor []float64
}

// rope reads the fields that most families use.
func (c *Config) rope(f fields) { c.ropeNamed(f, "rope_theta", "partial_rotary_factor", 1) }

// ropeNamed reads rope_parameters (transformers 5), or rope_scaling with the base and the rotated fraction in top-level fields.
func (c *Config) ropeNamed(f fields, theta, fraction string, defFraction float64) {
	r, ok := f.object("rope_scaling")
	if !ok || len(r.m) == 0 {
		r, _ = f.object("rope_parameters")
	}
	c.Rope = c.ropeParameters(f, r, f.positive(theta, 10000), f.positive(fraction, defFraction))
}

// ropePerLayerType reads gemma3's spellings: one object per layer type, or rope_scaling for the full layers and two bases.
func (c *Config) ropePerLayerType(f fields, global, local float64) {
	p, _ := f.object("rope_parameters")
	full, _ := p.object("full_attention")
	sliding, _ := p.object("sliding_attention")
	if old, ok := f.object("rope_scaling"); ok {
		full = old
	}
	c.Rope = c.ropeParameters(f, full, f.positive("rope_theta", global), 1)
	c.RopeLocal = c.ropeParameters(f, sliding, f.positive("rope_local_base_freq", local), 1)
}

var ropeFields = map[string]bool{
	"type": true, "rope_type": true, "rope_theta": true, "partial_rotary_factor": true, "factor": true,
	"original_max_position_embeddings": true, "low_freq_factor": true, "high_freq_factor": true, "beta_fast": true, "beta_slow": true,
	"mscale": true, "mscale_all_dim": true, "truncate": true, "attention_factor": true, "short_factor": true, "long_factor": true,
	"finetuned": true, // a remark in early YaRN configs, without effect
}

func (c *Config) ropeParameters(f, r fields, theta, fraction float64) Rope {
	for name := range r.m {
		if !ropeFields[name] && r.has(name) {
			r.fail(name, "is not supported")
		}
	}
	p := Rope{
		Type:  r.string("rope_type", r.string("type", "default")),
		Theta: r.positive("rope_theta", theta),
		Dim:   c.rotated(r, r.positive("partial_rotary_factor", fraction)),

		Factor: 1, MaxPositions: c.MaxPositions, Truncate: r.bool("truncate", true),
		BetaFast: r.positive("beta_fast", 32), BetaSlow: r.positive("beta_slow", 1),
		MScale: r.number("mscale", 0), MScaleAllDim: r.number("mscale_all_dim", 0),
	}
	if r.has("attention_factor") {
		p.AttentionFactor = r.positive("attention_factor", 1)
	}
	if p.MaxPositions < 2 {
		f.fail("max_position_embeddings", "a context of %d tokens is too short", p.MaxPositions)
	}
	p.OriginalMax = r.count("original_max_position_embeddings", c.MaxPositions)
	if f.has("original_max_position_embeddings") {
		p.OriginalMax = f.count("original_max_position_embeddings", c.MaxPositions)
	}
	if p.Type == "su" || p.Type == "yarn" && r.has("long_factor") {
		p.Type = "longrope" // names that earlier phi3 configs use
	}
	p.readType(r)
	return p
}

// rotated returns how many features of a head a fraction of them is.
func (c *Config) rotated(r fields, fraction float64) int {
	if fraction > 1 {
		r.fail("partial_rotary_factor", "%v of %d features per head; at most 1 is possible", fraction, c.HeadDim)
		return 0
	}
	return int(float64(c.HeadDim) * fraction)
}

// readType reads what only some types have, and checks that a type has what it needs.
func (p *Rope) readType(r fields) {
	need := func(name string) float64 {
		if !r.has(name) {
			r.fail(name, "is missing, and rope type %q needs it", p.Type)
		}
		return r.positive(name, 1)
	}
	if p.OriginalMax < 2 {
		r.fail("original_max_position_embeddings", "a context of %d tokens is too short", p.OriginalMax)
	}
	switch p.Type {
	case "default":
	case "linear":
		p.Factor = need("factor")
	case "dynamic":
		p.Factor = need("factor")
		if p.Dim <= 2 {
			r.fail("rope_type", "dynamic needs more than 2 rotated features")
		}
	case "llama3":
		p.Factor, p.LowFreq, p.HighFreq = need("factor"), need("low_freq_factor"), need("high_freq_factor")
		if p.HighFreq <= p.LowFreq {
			r.fail("high_freq_factor", "%g is not above low_freq_factor %g", p.HighFreq, p.LowFreq)
		}
	case "yarn":
		p.Factor = float64(p.MaxPositions) / float64(p.OriginalMax)
		if r.has("factor") {
			p.Factor = need("factor")
		}
		if p.Theta <= 1 {
			r.fail("rope_theta", "yarn needs a base above 1, found %g", p.Theta)
		}
	case "longrope":
		p.Factor = r.positive("factor", float64(p.MaxPositions)/float64(p.OriginalMax))
		p.ShortFactor, p.LongFactor = r.numbers("short_factor"), r.numbers("long_factor")
		for name, v := range map[string][]float64{"short_factor": p.ShortFactor, "long_factor": p.LongFactor} {
			if len(v) != p.Dim/2 {
				r.fail(name, "%d factors; %d rotated features need %d", len(v), p.Dim, p.Dim/2)
			}
			for _, x := range v {
				if !(x > 0) {
					r.fail(name, "factors must be above 0, found %g", x)
				}
			}
		}
	default:
		r.fail("rope_type", "%q is not supported; default, linear, dynamic, llama3, yarn and longrope are", p.Type)
	}
}

// lengthKey maps a sequence length to a representative of all lengths with the same frequencies.
func (p Rope) lengthKey(length int) int {
	switch {
	case p.Type == "dynamic":
		return max(length, p.MaxPositions)
	case p.Type == "longrope" && length > p.OriginalMax:
		return p.OriginalMax + 1
	}
	return 0
}

// Frequencies returns the Dim/2 angles per position, in float32 as transformers keeps them, and the factor on cos and sin, for
// a sequence of the given length in tokens.
func (p Rope) Frequencies(length int) ([]float32, float64) {
	theta := p.Theta
	if d := float64(p.Dim); p.Type == "dynamic" {
		l, m := float64(max(length, p.MaxPositions)), float64(p.MaxPositions)
		theta *= math.Pow(p.Factor*l/m-(p.Factor-1), d/(d-2))
	}
	freq := make([]float32, p.Dim/2)
	for i := range freq {
		freq[i] = float32(1 / math.Pow(theta, float64(2*i)/float64(p.Dim)))
	}
	scale := 1.0
	switch p.Type {
	case "linear":
		for i := range freq {
			freq[i] /= float32(p.Factor)
		}
	case "llama3":
		p.llama3(freq)
	case "yarn":
		scale = p.yarn(freq)
	case "longrope":
		scale = p.longrope(freq, length)
	}
	return freq, scale
}

func (p Rope) llama3(freq []float32) {
	for i, f := range freq {
		turns := float64(p.OriginalMax) * float64(f) / (2 * math.Pi) // over the original context
		keep := (turns - p.LowFreq) / (p.HighFreq - p.LowFreq)
		keep = min(max(keep, 0), 1)
		freq[i] = float32((1-keep)*float64(f)/p.Factor + float64(keep*float64(f)))
	}
}

func (p Rope) yarn(freq []float32) float64 {
	d := float64(p.Dim)
	feature := func(turns float64) float64 { // the feature that turns this often over the original context
		return d * math.Log(float64(p.OriginalMax)/(turns*2*math.Pi)) / (2 * math.Log(p.Theta))
	}
	low, high := feature(p.BetaFast), feature(p.BetaSlow)
	if p.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, d-1)
	if low == high {
		high += 0.001
	}
	for i, f := range freq {
		keep := 1 - min(max((float64(i)-low)/(high-low), 0), 1)
		freq[i] = float32(float64(float64(f)/p.Factor*(1-keep)) + float64(float64(f)*keep))
	}
	if p.AttentionFactor != 0 {
		return p.AttentionFactor
	}
	mscale := func(m float64) float64 {
		if p.Factor <= 1 {
			return 1
		}
		return float64(0.1*m*math.Log(p.Factor)) + 1
	}
	if p.MScale != 0 && p.MScaleAllDim != 0 {
		return mscale(p.MScale) / mscale(p.MScaleAllDim)
	}
	return mscale(1)
}

func (p Rope) longrope(freq []float32, length int) float64 {
	factors := p.ShortFactor
	if length > p.OriginalMax {
		factors = p.LongFactor
	}
	for i := range freq {
		freq[i] = float32(1 / (factors[i] * math.Pow(p.Theta, float64(2*i)/float64(p.Dim))))
	}
	switch {
	case p.AttentionFactor != 0:
		return p.AttentionFactor
	case p.Factor <= 1:
		return 1
	}
	return math.Sqrt(1 + math.Log(p.Factor)/math.Log(float64(p.OriginalMax)))
}
