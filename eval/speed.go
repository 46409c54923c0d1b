package eval

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"pith/checkpoint"
	"pith/codec"
	"pith/internal/par"
	"pith/kernels"
	"pith/model"
	"pith/tensor"
)

// Speed is how fast a model runs here.
type Speed struct {
	Model                 *Subject       `json:"model"`
	Workers               int            `json:"workers"`
	Resident              model.Resident `json:"resident_bytes"`
	Policy                model.Policy   `json:"atoms"`                  // how combinations of atoms are multiplied
	AtomBytes             int64          `json:"atom_bytes,omitempty"`   // that the products of one token read for a layer
	Choice                *model.Choice  `json:"atoms_choice,omitempty"` // of a model with atoms: what the policy was chosen by
	LoadSeconds           float64        `json:"load_seconds"`
	PromptTokens          int            `json:"prompt_tokens"`
	PromptTokensPerSecond float64        `json:"prompt_tokens_per_second"` // one batch of PromptTokens, median of the repeats
	DecodeTokens          int            `json:"decode_tokens"`
	DecodeTokensPerSecond float64        `json:"decode_tokens_per_second"` // one token at a time after one token of prompt
	DecodeGBPerSecond     float64        `json:"decode_gb_per_second"`     // stored bytes of all weights read per second of decoding, in 1e9
	ActivationBytes       int64          `json:"activation_bytes"`         // intermediate results of the prompt (model.Session.ActivationBytes)
	UnfusedBytes          int64          `json:"unfused_activation_bytes"` // what they would take if the prompt went through each layer matrix by matrix
	CacheBytes            int64          `json:"cache_bytes"`              // keys and values of the prompt
	Sizes                 []SizeSpeed    `json:"sizes,omitempty"`          // of a stack: switching between them
}

// SpeedOptions say what to time; zeros stand for 512 prompt tokens, 64 decoded, 3 repeats of which the best counts.
type SpeedOptions struct {
	Prompt, Decode, Repeats, Workers int
	Budget                           Budget   // of a stack
	Sizes                            []Budget // of a stack, to switch between; none: the smallest and Budget

	Atoms AtomsOptions
}

// MeasureSpeed opens the model at path and times it on tokens drawn at random. The best of the repeats counts, since other
// work on the machine only ever makes a run slower.
func MeasureSpeed(ctx context.Context, path string, o SpeedOptions) (Speed, error) {
	start := time.Now()
	m, err := OpenWithin(path, o.Workers, o.Budget)
	if err != nil {
		return Speed{}, err
	}
	choice, err := m.SetAtoms(o.Atoms)
	if err != nil {
		return Speed{}, err
	}
	s := Speed{Model: &m.Subject, Resident: m.Model.Resident(), Policy: m.Model.Policy(), AtomBytes: m.Model.AtomBytes(), Workers: o.Workers, LoadSeconds: time.Since(start).Seconds(), PromptTokens: o.Prompt, DecodeTokens: o.Decode}
	if s.AtomBytes > 0 {
		s.Choice = &choice
	}
	limit := m.Config.MaxPositions
	if s.PromptTokens == 0 {
		s.PromptTokens = min(512, max(1, limit))
	}
	if s.DecodeTokens == 0 {
		s.DecodeTokens = min(64, max(1, limit-1))
	}
	rng := rand.New(rand.NewPCG(1, 1))
	ids := make([]int32, max(s.PromptTokens, s.DecodeTokens+1))
	for i := range ids {
		ids[i] = int32(rng.IntN(m.Config.Vocab))
	}
	for range max(1, o.Repeats) {
		if err := ctx.Err(); err != nil {
			return Speed{}, err
		}
		r, err := m.timeOnce(ids, s.PromptTokens, s.DecodeTokens)
		if err != nil {
			return Speed{}, fmt.Errorf("%s: %w", path, err)
		}
		s.PromptTokensPerSecond = max(s.PromptTokensPerSecond, float64(s.PromptTokens)/r.prompt.Seconds())
		s.DecodeTokensPerSecond = max(s.DecodeTokensPerSecond, float64(s.DecodeTokens)/r.decode.Seconds())
		s.ActivationBytes, s.CacheBytes = r.activations, r.cache
	}
	s.UnfusedBytes = m.Model.UnfusedBytes(s.PromptTokens)
	s.DecodeGBPerSecond = s.DecodeTokensPerSecond * float64(m.Bytes) / 1e9
	if m.stack == nil && len(o.Sizes) > 0 {
		return s, fmt.Errorf("%s: %w", path, checkpoint.ErrNoStack)
	}
	if m.stack != nil {
		if len(o.Sizes) == 0 {
			o.Sizes = []Budget{{Bytes: m.stack.BytesOf(m.stack.Mandatory())}, {Bytes: m.stack.BytesOf(m.stack.InUse())}}
		}
		if s.Sizes, err = m.timeSizes(ctx, o.Sizes, ids, s.DecodeTokens, max(1, o.Repeats)); err != nil {
			return s, err
		}
	}
	return s, m.Identify(ctx)
}

// timing is one repeat.
type timing struct {
	prompt, decode     time.Duration
	activations, cache int64 // bytes that the prompt took
}

// timeOnce feeds ids[:prompt] at once, and then, in a session of its own, ids one by one.
func (o *Opened) timeOnce(ids []int32, prompt, decode int) (r timing, err error) {
	session := o.Model.NewSession(prompt)
	start := time.Now()
	if _, err = session.Feed(ids[:prompt]); err != nil {
		return r, err
	}
	r = timing{prompt: time.Since(start), activations: session.ActivationBytes(), cache: session.CacheBytes()}
	session = o.Model.NewSession(decode + 1)
	if _, err = session.Feed(ids[:1]); err != nil {
		return r, err
	}
	start = time.Now()
	for i := range decode {
		if _, err = session.Feed(ids[i+1 : i+2]); err != nil {
			return r, err
		}
	}
	r.decode = time.Since(start)
	return r, nil
}

// KernelSpeed is how fast one kernel family runs here.
type KernelSpeed struct {
	Kernel   string  `json:"kernel"`
	GFLOPS   float64 `json:"gflops"`   // 2 operations per weight and token
	GBs      float64 `json:"gb_per_s"` // stored bytes read, 1e9 a second
	GWeights float64 `json:"gweights_per_s"`
}

// kernelCodecs are the codecs whose single-token products are timed: one of each kernel family.
var kernelCodecs = [...]string{"f32", "bf16", "f16", "int8-g128", "int4-g128", "int4-g128-asym", "int6-g128", "int5-g128", "int3-g128", "int2-g64", "q8_0", "q6_k", "q5_k", "q4_k", "q5_1", "q5_0", "q4_1", "q4_0", "q3_k", "q2_k", "sign-k1", "4*sign-k1"}

// MeasureKernels times the f32 matrix product and each codec's product with one token, on workers goroutines.
func MeasureKernels(ctx context.Context, workers int) ([]KernelSpeed, error) {
	const rows, cols = 2048, 4096
	rng := rand.New(rand.NewPCG(1, 2))
	w := tensor.NewMat(rows, cols)
	for i := range w.Data {
		w.Data[i] = float32(rng.NormFloat64())
	}
	list := []KernelSpeed{timeGemm(w, workers)}
	x := tensor.Of(1, cols, w.Data[:cols])
	for _, name := range kernelCodecs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, err := codec.Parse(name)
		if err != nil {
			return nil, err
		}
		term, err := pack(c, w, 1)
		if err != nil {
			return nil, fmt.Errorf("bench %s: %w", name, err)
		}
		weight := &codec.Weight{Name: name, Rows: rows, Cols: cols, Terms: []codec.Term{term}}
		y := tensor.NewMat(1, rows)
		seconds := best(func() { codec.MatMul(y, codec.NewInput(x), weight, workers) })
		list = append(list, KernelSpeed{"mat-vec " + name, 2 * rows * cols / seconds / 1e9, float64(term.Bytes()) / seconds / 1e9, rows * cols / seconds / 1e9})
	}
	return list, nil
}

// timeGemm times C += A·Bᵀ with 256 rows of A.
func timeGemm(b tensor.Mat, workers int) KernelSpeed {
	const tokens, grain = 256, 64
	a, c := b.Slice(0, tokens), tensor.NewMat(tokens, b.Rows)
	seconds := best(func() {
		par.Ranges(workers, b.Rows, grain, func(lo, hi int) {
			kernels.GemmNT(c.Data[lo:], c.Stride, a.Data, a.Stride, b.Slice(lo, hi).Data, b.Stride, tokens, hi-lo, b.Cols)
		})
	})
	n := float64(b.Rows) * float64(b.Cols)
	return KernelSpeed{"f32 matrix product, 256 tokens", 2 * tokens * n / seconds / 1e9, 4 * n / seconds / 1e9, n / seconds / 1e9}
}

// pack rounds w to the nearest values of a codec.
func pack(c codec.Codec, w tensor.Mat, workers int) (codec.Term, error) {
	g, err := c.Fit(w, nil, codec.FitOptions{})
	if err != nil {
		return nil, err
	}
	codec.RoundAll(g, w, workers)
	return g.Pack(), nil
}

// best returns the seconds of the fastest of several calls over about a third of a second.
func best(f func()) float64 {
	f() // first touch of memory
	fastest, start := time.Hour, time.Now()
	for n := 0; n < 3 || time.Since(start) < 300*time.Millisecond; n++ {
		t := time.Now()
		f()
		fastest = min(fastest, time.Since(t))
	}
	return fastest.Seconds()
}

// DecodeSpeed returns the tokens per second of decoding n tokens one by one, the best of three runs.
func (o *Opened) DecodeSpeed(ctx context.Context, n int) (float64, error) {
	ids := make([]int32, n+1)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range ids {
		ids[i] = int32(rng.IntN(o.Config.Vocab))
	}
	var fastest float64
	for range 3 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		r, err := o.timeOnce(ids, 1, n)
		if err != nil {
			return 0, err
		}
		fastest = max(fastest, float64(n)/r.decode.Seconds())
	}
	return fastest, nil
}
