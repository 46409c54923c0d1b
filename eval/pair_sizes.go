package eval

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"pith/model"
)

// timed is a pass that is timed again and again.
type timed struct {
	session *model.Session
	tokens  []int32
	fastest time.Duration
	least   time.Duration // of processor time
}

// steps times single passes after a prompt: of the target over one token and over those of a whole draft, and of the draft with its head and with heads
// of fewer rows, which it returns. They take turns, so that what else the machine does hits all alike; the fastest of each counts.
func (m *pairRun) steps(ctx context.Context, r *PairSpeed, rows []int) ([]*timed, error) {
	draft := []int32{0}
	list := []*timed{m.timed(m.Target.Model, m.prompts[0][:1]), m.timed(m.Target.Model, slices.Repeat(m.prompts[0][:1], m.o.Length+1)), m.timed(m.Draft.Model, draft)}
	for _, n := range rows {
		list = append(list, m.timed(m.Draft.Model.FirstRows(n), draft))
	}
	for _, t := range list {
		if _, err := t.session.Feed(make([]int32, m.o.PromptTokens)); err != nil {
			return nil, err
		}
	}
	for n, start := 0, time.Now(); n < 5 || time.Since(start) < time.Duration(m.o.Repeats*len(list))*100*time.Millisecond; n++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, t := range list {
			before, spent := time.Now(), processorTime()
			if _, err := t.session.Verify(t.tokens); err != nil {
				return nil, err
			}
			t.fastest, t.least = min(t.fastest, time.Since(before)), min(t.least, processorTime()-spent)
			t.session.Truncate(m.o.PromptTokens)
		}
	}
	r.StepSeconds, r.VerifySeconds, r.DraftSeconds = list[0].fastest.Seconds(), list[1].fastest.Seconds(), list[2].fastest.Seconds()
	r.DraftProcessor = list[2].least.Seconds()
	return list[3:], nil
}

func (m *pairRun) timed(of *model.Model, tokens []int32) *timed {
	return &timed{of.NewSession(m.o.PromptTokens + len(tokens)), tokens, time.Hour, time.Hour}
}

// sizes fills in what depends on the rows of the draft's head.
func (m *pairRun) sizes(ctx context.Context, r *PairSpeed, counts []uint64) error {
	times, err := m.steps(ctx, r, m.o.Sizes)
	if err != nil {
		return err
	}
	rows := m.ranked(counts)
	tokens := m.tokensOfRows()
	for at, size := range m.o.Sizes {
		kept := slices.Clone(rows[:size])
		slices.Sort(kept)
		h := HeadSize{Rows: size, Coverage: m.coverage(kept, tokens)}
		var total model.Speculation
		for i := range m.prompts {
			ids, s, err := m.speculate(ctx, i, kept, func() bool { return true })
			if err != nil {
				return err
			}
			if m.greedy() && !slices.Equal(ids, m.plain[i]) {
				return fmt.Errorf("after prompt %d the greedy tokens with a head of %d rows are not those without a draft: please report this", i+1, size)
			}
			total.Add(s)
		}
		h.AcceptanceRate, h.BlockEfficiency = total.Acceptance(), total.BlockEfficiency()
		h.DraftSeconds, h.DraftProcessor = times[at].fastest.Seconds(), times[at].least.Seconds()
		head := r.DraftHeadBytes * int64(size) / int64(len(rows))
		h.BytesProcessor = r.DraftProcessor * float64(r.DraftBodyBytes+head) / float64(r.DraftBodyBytes+r.DraftHeadBytes)
		h.MBSU, h.Predicted = r.predict(total, head, h.DraftSeconds)
		r.Sizes = append(r.Sizes, h)
	}
	markBest(r.Sizes)
	return nil
}

// arrangeSizes sorts the sizes to be tried, refuses those that no head can have, and adds the whole head, which may be the best.
func (m *pairRun) arrangeSizes() error {
	if len(m.o.Sizes) == 0 {
		return nil
	}
	rows := m.Draft.Model.Config().HeadRows()
	must, stays := m.mustStay(), 0
	for _, id := range m.tokensOfRows() {
		if must[id] {
			stays++
		}
	}
	least, most := slices.Min(m.o.Sizes), slices.Max(m.o.Sizes)
	switch {
	case least < 1 || most > rows:
		return fmt.Errorf("heads of %d to %d rows: the draft's has %d", least, most, rows)
	case least < stays:
		return fmt.Errorf("a head of %d rows: %d must stay (specials, bytes, digits, white space, chat); try that many at least", least, stays)
	}
	m.o.Sizes = append(slices.Clone(m.o.Sizes), rows)
	slices.Sort(m.o.Sizes)
	m.o.Sizes = slices.Compact(m.o.Sizes)
	return nil
}

// mustStay says of each of the target's tokens whether every head keeps it.
func (m *pairRun) mustStay() []bool {
	must := make([]bool, m.Target.Config.Vocab)
	for _, id := range m.o.Must {
		if id >= 0 && int(id) < len(must) {
			must[id] = true
		}
	}
	return must
}

func markBest(list []HeadSize) {
	if len(list) == 0 {
		return
	}
	var byTime, byBytes int
	for i, h := range list {
		if h.Predicted > list[byTime].Predicted {
			byTime = i
		}
		if h.MBSU > list[byBytes].MBSU {
			byBytes = i
		}
	}
	list[byTime].Best, list[byBytes].BestMBSU = true, true
}

// ranked returns the rows of the draft's head, those to keep first: of tokens that must stay, then by counts, the lower row among equals.
func (m *pairRun) ranked(counts []uint64) []int32 {
	tokens, must := m.tokensOfRows(), m.mustStay()
	rows := make([]int32, len(tokens))
	for i := range rows {
		rows[i] = int32(i)
	}
	count := func(row int32) uint64 {
		switch id := int(tokens[row]); {
		case must[id]:
			return math.MaxUint64
		case id < len(counts):
			return counts[id]
		}
		return 0
	}
	slices.SortStableFunc(rows, func(a, b int32) int { return cmp.Compare(count(b), count(a)) })
	return rows
}

// coverage returns the part of the tokens generated by the target alone that rows of the draft's head stand for.
func (m *pairRun) coverage(rows, tokens []int32) float64 {
	kept := make([]bool, m.Target.Config.Vocab)
	for _, row := range rows {
		kept[tokens[row]] = true
	}
	covered, all := 0, 0
	for _, ids := range m.plain {
		for _, id := range ids {
			if all++; kept[id] {
				covered++
			}
		}
	}
	return float64(covered) / float64(max(1, all))
}
