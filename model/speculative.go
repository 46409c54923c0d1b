package model

import (
	"context"
	"fmt"
	"slices"
)

// MaxDraft is how many tokens a draft may propose at a time: with the token before them they are verified in one pass.
const MaxDraft = MaxVerify - 1

// Draft proposes tokens for a target. Its ids are those of the target but for what the fields say.
type Draft struct {
	Session *Session

	// IDs are the target's ids of the head's rows; nil: those of DraftIDs, or all tokens in order.
	IDs []int32
	// Read returns the draft's ids that stand for a token of the target: the token's pieces where the draft's vocabulary lacks it. nil: the token itself.
	Read func(token int32) []int32
	// Rows, if not nil, are the only rows of the head that are looked at, rising: the draft proposes what it would with a head of these rows alone.
	Rows []int32
}

// SpeculateOptions say how a continuation is made.
type SpeculateOptions struct {
	GenerateOptions
	Length   int  // tokens that the draft proposes at a time, at most MaxDraft; 0: 4
	Adaptive bool // fewer after a rejection, more after none; Length at most
}

// DefaultDraft is the number of tokens proposed at a time unless something else is said.
const DefaultDraft = 4

// Speculation says how it went.
type Speculation struct {
	Tokens   int   `json:"tokens"`        // generated
	Passes   int   `json:"target_passes"` // of the target after the prompt
	Steps    int   `json:"draft_passes"`  // of the draft after the prompt
	Drafted  int   `json:"drafted"`       // tokens proposed
	Accepted int   `json:"accepted"`      // of them
	Offered  []int `json:"offered_at"`    // how often there was a first, second, … token of a proposal that was looked at,
	Taken    []int `json:"accepted_at"`   // and how often it was accepted
}

// Acceptance is the part of the proposed tokens that were accepted.
func (s Speculation) Acceptance() float64 { return float64(s.Accepted) / float64(max(1, s.Drafted)) }

// BlockEfficiency is τ: tokens for each pass of the target, of which each gives one of its own and those accepted.
func (s Speculation) BlockEfficiency() float64 {
	return 1 + float64(s.Accepted)/float64(max(1, s.Passes))
}

// Add adds another continuation's counts.
func (s *Speculation) Add(o Speculation) {
	s.Tokens += o.Tokens
	s.Passes += o.Passes
	s.Steps += o.Steps
	s.Drafted += o.Drafted
	s.Accepted += o.Accepted
	for len(s.Offered) < len(o.Offered) {
		s.Offered, s.Taken = append(s.Offered, 0), append(s.Taken, 0)
	}
	for i := range o.Offered {
		s.Offered[i] += o.Offered[i]
		s.Taken[i] += o.Taken[i]
	}
}

// Speculate is Generate with a draft that proposes tokens, which the target verifies several at a time. Greedy tokens are those that Generate
// gives, all of them; drawn ones have the same distribution, and depend on nothing but the seed and the two models. Options of sampling apply to
// draft and target alike. Where the draft's session is full, the target goes on alone. Both sessions must be empty; afterwards the target's is as
// Generate leaves it, and the draft's of no use.
func Speculate(ctx context.Context, target *Session, draft Draft, prompt []int32, o SpeculateOptions, each func(token int32) bool) (Speculation, error) {
	s, err := newSpeculator(target, draft, o)
	if err != nil {
		return Speculation{}, err
	}
	logits, err := target.Feed(prompt)
	if err != nil {
		return s.Speculation, err
	}
	s.history = append(s.history, prompt...)
	if err := s.draft.prime(prompt); err != nil {
		return s.Speculation, fmt.Errorf("draft: %w", err)
	}
	s.base = target.Len()
	s.p = s.sampler.distribution(s.p[:0], logits, nil)
	next := s.rule.draw(s.p)
	for {
		if err := ctx.Err(); err != nil {
			return s.Speculation, err
		}
		if !s.emit(next, each) {
			return s.Speculation, nil
		}
		var ended bool
		if next, ended, err = s.round(each); err != nil || ended {
			return s.Speculation, err
		}
	}
}

// speculator is the state of one continuation. Before a round, the target has read all of history but its last token.
type speculator struct {
	Speculation
	o       SpeculateOptions
	target  *Session
	draft   *drafter
	sampler *Sampler
	rule    *acceptance
	p       []choice
	base    int // tokens of the target's session that are not generated
	length  int // tokens to propose next
	history []int32
}

func newSpeculator(target *Session, draft Draft, o SpeculateOptions) (*speculator, error) {
	if err := o.Sample.Check(); err != nil {
		return nil, err
	}
	if o.Length == 0 {
		o.Length = DefaultDraft
	}
	switch {
	case o.MaxTokens < 0:
		return nil, fmt.Errorf("max tokens %d: expected 0 (as many as fit) or more", o.MaxTokens)
	case o.Length < 0 || o.Length > MaxDraft:
		return nil, fmt.Errorf("draft length %d: 1 to %d are possible, since a pass verifies %d tokens", o.Length, MaxDraft, MaxVerify)
	case target.m.draftIDs != nil:
		return nil, fmt.Errorf("the target is a draft model: its head knows %d of %d tokens", target.m.head.rows, target.m.config.Vocab)
	case target.Len() > 0 || draft.Session.Len() > 0:
		return nil, fmt.Errorf("speculative decoding begins with empty sessions; reset them")
	}
	if o.Stop == nil {
		o.Stop = target.m.config.EOS
	}
	s := &speculator{o: o, target: target, sampler: NewSampler(o.Sample), length: o.Length, rule: newAcceptance(o.Sample.Seed, target.m.config.Vocab)}
	s.Offered, s.Taken = make([]int, o.Length), make([]int, o.Length)
	var err error
	s.draft, err = newDrafter(draft, target.m.config.Vocab, s.sampler, s.rule)
	return s, err
}

// emit passes a token on and reports whether to go on. After the last one the target's session is as Generate leaves it.
func (s *speculator) emit(token int32, each func(int32) bool) bool {
	if slices.Contains(s.o.Stop, token) {
		s.target.Truncate(min(s.target.Len(), s.base+s.Tokens))
		return false
	}
	s.Tokens++
	s.history = append(s.history, token)
	if !each(token) || s.Tokens == s.o.MaxTokens || s.base+s.Tokens-1 == s.target.Max() {
		s.target.Truncate(min(s.target.Len(), s.base+s.Tokens-1))
		return false
	}
	return true
}

// round lets the draft propose what follows history, and the target verify it: accepted tokens are emitted, and the token after them returned.
func (s *speculator) round(each func(int32) bool) (next int32, ended bool, err error) {
	n := min(s.length, s.target.spare())
	if s.o.MaxTokens > 0 {
		n = min(n, s.o.MaxTokens-s.Tokens-1)
	}
	steps := s.draft.steps
	proposed, err := s.draft.propose(s.history, n)
	if err != nil {
		return 0, false, fmt.Errorf("draft: %w", err)
	}
	s.Steps += s.draft.steps - steps
	seen := s.target.Len()
	logits, err := s.target.Verify(append([]int32{s.history[len(s.history)-1]}, proposed...))
	if err != nil {
		return 0, false, err
	}
	s.Passes++
	s.Drafted += len(proposed)
	known := len(s.history)
	for i, token := range proposed {
		s.Offered[i]++
		s.p = s.sampler.distribution(s.p[:0], logits.Row(i), nil)
		chosen, accepted := s.rule.decide(s.p, s.draft.distributions[i], token)
		if !accepted {
			s.target.Truncate(seen + 1 + i)
			s.draft.forget(known + i)
			s.adapt(i, len(proposed))
			return chosen, false, nil
		}
		s.Accepted++
		s.Taken[i]++
		if !s.emit(token, each) {
			return 0, true, nil
		}
	}
	s.adapt(len(proposed), len(proposed))
	s.p = s.sampler.distribution(s.p[:0], logits.Row(len(proposed)), nil)
	return s.rule.draw(s.p), false, nil
}

// adapt chooses how many tokens to propose next: two more after a proposal that was taken as a whole, one less after another.
func (s *speculator) adapt(accepted, proposed int) {
	switch {
	case !s.o.Adaptive:
	case accepted == proposed:
		s.length = min(s.o.Length, s.length+2)
	default:
		s.length = max(1, s.length-1)
	}
}
