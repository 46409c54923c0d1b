package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pith/model"
	"pith/tokenizer"
)

// PairOptions say what to measure; zeros stand for 4 prompts of 32 tokens, 64 tokens generated after each, a draft length of 4 and 3 repeats.
type PairOptions struct {
	Text                          []byte // prompts are taken from its second half, tokens counted in the first
	Prompts, PromptTokens, Tokens int
	Length                        int // of drafts
	Adaptive                      bool
	Sampling                      model.Sampling
	Sizes                         []int    // of the draft's head, to be tried beside the whole
	Counts                        []uint64 // of the target's tokens, which heads should keep; nil: those of Text
	Must                          []int32  // tokens that heads keep however rare
	Repeats                       int
}

// PairSpeed is how fast a model is with and without a draft.
type PairSpeed struct {
	Target       *Subject `json:"target"`
	Draft        *Subject `json:"draft"`
	Prompts      int      `json:"prompts"`
	PromptTokens int      `json:"prompt_tokens"`
	DraftLength  int      `json:"draft_length"`
	Adaptive     bool     `json:"adaptive"`
	model.Speculation

	AcceptanceRate  float64 `json:"acceptance"`       // accepted of the proposed tokens
	BlockEfficiency float64 `json:"block_efficiency"` // τ: tokens a pass of the target
	PlainSpeed      float64 `json:"plain_tokens_per_second"`
	Speed           float64 `json:"tokens_per_second"`
	Speedup         float64 `json:"speedup"` // measured
	PlainProcessor  float64 `json:"plain_processor_seconds_per_token"`
	Processor       float64 `json:"processor_seconds_per_token"`
	SameTokens      bool    `json:"same_tokens"`

	TargetBytes    int64   `json:"target_step_bytes"` // read by a step of decoding
	DraftBodyBytes int64   `json:"draft_body_bytes"`
	DraftHeadBytes int64   `json:"draft_head_bytes"`
	MBSU           float64 `json:"memory_bound_speedup"` // τ / (1 + draft passes a pass of the target · draft bytes / target bytes)

	StepSeconds   float64 `json:"target_step_seconds"`   // of one token
	VerifySeconds float64 `json:"target_verify_seconds"` // of a pass that verifies a whole draft
	DraftSeconds  float64 `json:"draft_step_seconds"`
	Predicted     float64 `json:"predicted_speedup"` // by these times

	DraftProcessor float64 `json:"draft_step_processor_seconds"` // the time of processors, which other programs disturb less; 0: unknown

	Sizes []HeadSize `json:"sizes,omitempty"`
}

// HeadSize is what the draft would be with a head of some rows.
type HeadSize struct {
	Rows            int     `json:"rows"`
	Coverage        float64 `json:"coverage"` // of the tokens that the target generates
	AcceptanceRate  float64 `json:"acceptance"`
	BlockEfficiency float64 `json:"block_efficiency"`
	DraftSeconds    float64 `json:"draft_step_seconds"`
	DraftProcessor  float64 `json:"draft_step_processor_seconds"`
	BytesProcessor  float64 `json:"draft_step_processor_seconds_by_bytes"` // the whole draft's in proportion to bytes
	MBSU            float64 `json:"memory_bound_speedup"`
	Predicted       float64 `json:"predicted_speedup"`
	Best            bool    `json:"best"` // of all Predicted
	BestMBSU        bool    `json:"best_memory_bound"`
}

// pairRun is a measurement in progress.
type pairRun struct {
	*Pair
	o       PairOptions
	prompts [][]int32
	plain   [][]int32 // what the target generates alone
	stop    []int32
}

// Measure times generation with and without the draft, in turns; the best of the repeats counts. With Sizes it then finds the block efficiency of
// heads of the tokens with the highest counts, by looking at no other rows of the head there is. Greedy tokens that differ are an error.
func (p *Pair) Measure(ctx context.Context, o PairOptions) (PairSpeed, error) {
	for value, otherwise := range map[*int]int{&o.Prompts: 4, &o.PromptTokens: 32, &o.Tokens: 64, &o.Length: model.DefaultDraft, &o.Repeats: 3} {
		if *value == 0 {
			*value = otherwise
		}
	}
	m := &pairRun{Pair: p, o: o, stop: []int32{}}
	if err := m.arrangeSizes(); err != nil {
		return PairSpeed{}, err
	}
	counted, err := m.takePrompts()
	if err != nil {
		return PairSpeed{}, err
	}
	r := PairSpeed{Target: &p.Target.Subject, Draft: &p.Draft.Subject, Prompts: len(m.prompts), PromptTokens: o.PromptTokens, DraftLength: o.Length, Adaptive: o.Adaptive, SameTokens: true}
	r.TargetBytes = stepBytes(p.Target)
	r.DraftBodyBytes, r.DraftHeadBytes = p.Draft.Model.StepBytes()
	for range o.Repeats {
		if err := m.turn(ctx, &r); err != nil {
			return r, err
		}
	}
	r.Speedup = r.Speed / r.PlainSpeed
	r.AcceptanceRate, r.BlockEfficiency = r.Speculation.Acceptance(), r.Speculation.BlockEfficiency()
	if err := m.sizes(ctx, &r, counted); err != nil {
		return r, err
	}
	r.MBSU, r.Predicted = r.predict(r.Speculation, r.DraftHeadBytes, r.DraftSeconds)
	return r, errors.Join(p.Target.Identify(ctx), p.Draft.Identify(ctx))
}

func stepBytes(o *Opened) int64 {
	body, head := o.Model.StepBytes()
	return body + head
}

// predict returns the speed-up by bytes and by times of a draft whose head takes these bytes and whose step these seconds.
func (r *PairSpeed) predict(s model.Speculation, head int64, step float64) (mbsu, predicted float64) {
	steps := float64(s.Steps) / float64(max(1, s.Passes)) // the draft length but for the ends of texts
	bytes := float64(r.DraftBodyBytes+head) / float64(r.TargetBytes)
	tau := s.BlockEfficiency()
	return tau / (1 + steps*bytes), tau * r.StepSeconds / (r.VerifySeconds + steps*step)
}

// takePrompts cuts prompts from the second half of the text, and returns how often the target's tokens occur in the first.
func (m *pairRun) takePrompts() (counts []uint64, err error) {
	tok, o := m.Target.Tokenizer, m.o
	ids := tok.Encode(string(o.Text), tokenizer.EncodeOptions{})
	half := ids[len(ids)/2:]
	if len(half) < o.PromptTokens*o.Prompts {
		return nil, fmt.Errorf("the text has %d tokens; %d prompts of %d tokens from its second half need %d", len(ids), o.Prompts, o.PromptTokens, 2*o.Prompts*o.PromptTokens)
	}
	if limit := m.Target.Config.MaxPositions; limit > 0 && o.PromptTokens+1+o.Tokens > limit {
		return nil, fmt.Errorf("%d tokens of prompt and %d generated are more than the context of %d", o.PromptTokens, o.Tokens, limit)
	}
	for i := range o.Prompts {
		first := i * (len(half) / o.Prompts)
		prompt := half[first : first+o.PromptTokens]
		if bos, ok := tok.BOS(); ok && tok.AddBOS() {
			prompt = append([]int32{bos}, prompt...)
		}
		m.prompts = append(m.prompts, slices.Clone(prompt))
	}
	if m.o.Counts != nil {
		return m.o.Counts, nil
	}
	counts = make([]uint64, m.Target.Config.Vocab)
	for _, id := range ids[:len(ids)/2] {
		if int(id) < len(counts) {
			counts[id]++
		}
	}
	return counts, nil
}

// turn generates after every prompt without the draft and with it.
func (m *pairRun) turn(ctx context.Context, r *PairSpeed) error {
	var plain, drafted stopwatch
	first := m.plain == nil
	var total model.Speculation
	for i, prompt := range m.prompts {
		o := m.options(i)
		var alone []int32
		clock := plain.begin()
		_, err := model.Generate(ctx, m.Target.Model.NewSession(len(prompt)+m.o.Tokens), prompt, o, func(id int32) bool {
			alone = append(alone, id)
			return clock()
		})
		plain.end()
		if err != nil {
			return err
		}
		if first {
			m.plain = append(m.plain, alone)
		}
		together, s, err := m.speculate(ctx, i, nil, drafted.begin())
		drafted.end()
		if err != nil {
			return err
		}
		total.Add(s)
		same := slices.Equal(alone, together)
		if r.SameTokens = r.SameTokens && same; !same && m.greedy() {
			return fmt.Errorf("after prompt %d the greedy tokens with the draft are not those without: please report this", i+1)
		}
	}
	r.Speculation = total
	r.PlainSpeed, r.Speed = max(r.PlainSpeed, plain.speed()), max(r.Speed, drafted.speed())
	r.PlainProcessor, r.Processor = lower(r.PlainProcessor, plain.cost()), lower(r.Processor, drafted.cost())
	return nil
}

func (m *pairRun) greedy() bool { return m.o.Sampling.Temperature == 0 || m.o.Sampling.TopK == 1 }

// options of what is generated after prompt i: each has draws of its own.
func (m *pairRun) options(i int) model.GenerateOptions {
	sampling := m.o.Sampling
	sampling.Seed += uint64(i)
	return model.GenerateOptions{Sample: sampling, MaxTokens: m.o.Tokens, Stop: m.stop}
}

// speculate generates with the draft after prompt i.
func (m *pairRun) speculate(ctx context.Context, i int, rows []int32, each func() bool) (ids []int32, s model.Speculation, err error) {
	n := len(m.prompts[i]) + m.o.Tokens
	o := model.SpeculateOptions{Length: m.o.Length, Adaptive: m.o.Adaptive, GenerateOptions: m.options(i)}
	s, err = model.Speculate(ctx, m.Target.Model.NewSession(n), m.draft(n, rows), m.prompts[i], o, func(id int32) bool {
		ids = append(ids, id)
		return each()
	})
	return ids, s, err
}

// stopwatch adds up times from the first token to the last.
type stopwatch struct {
	tokens            int
	total, processor  time.Duration
	first, last       time.Time
	firstSpent, spent time.Duration
}

// begin returns what is called at every token.
func (w *stopwatch) begin() func() bool {
	w.first = time.Time{}
	return func() bool {
		w.last, w.spent = time.Now(), processorTime()
		if w.first.IsZero() {
			w.first, w.firstSpent = w.last, w.spent
		} else {
			w.tokens++
		}
		return true
	}
}

func (w *stopwatch) end() {
	w.total += w.last.Sub(w.first)
	w.processor += w.spent - w.firstSpent
}

func (w *stopwatch) speed() float64 { return float64(w.tokens) / max(w.total.Seconds(), 1e-9) }

// cost returns the processor seconds of a token.
func (w *stopwatch) cost() float64 { return w.processor.Seconds() / float64(max(1, w.tokens)) }

// lower returns the lower of two costs, the first of which may not be known yet.
func lower(known, cost float64) float64 {
	if known == 0 {
		return cost
	}
	return min(known, cost)
}
