package vocab

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"pith/tokenizer"
)

// Ranking orders a vocabulary for trimming. Selections are nested: a larger one holds a smaller one, so coverage grows with size.
type Ranking struct {
	t      *tokenizer.Tokenizer
	counts *Counts
	must   int     // tokens that every selection has
	ids    []int32 // in the order in which they are taken
	size   []int   // selections end where a token and all that it needs are in: sizes, rising
	seen   uint64  // tokens counted
}

// Rank orders the first limit ids of t: those that must stay and what they need, then by count, the lower id among equals, each with the tokens that it
// cannot be made without.
func Rank(t *tokenizer.Tokenizer, counts *Counts, must []int32, limit int) (*Ranking, error) {
	c := t.NewClosure()
	return rank(t, counts, append(c.Always(), must...), limit, c.Parts)
}

// RankHead is Rank for a head only: the tokenizer stays whole, so that no token needs another.
func RankHead(t *tokenizer.Tokenizer, counts *Counts, must []int32, limit int) (*Ranking, error) {
	return rank(t, counts, must, limit, func(int32) []int32 { return nil })
}

func rank(t *tokenizer.Tokenizer, counts *Counts, must []int32, limit int, parts func(int32) []int32) (*Ranking, error) {
	if err := counts.Check(t); err != nil {
		return nil, err
	}
	r := &Ranking{t: t, counts: counts, seen: counts.Tokens()}
	limit = min(limit, t.Size())
	in := make([]bool, t.Size())
	take := func(id int32) {
		for _, part := range append(parts(id), id) {
			if !in[part] && int(part) < limit {
				in[part] = true
				r.ids = append(r.ids, part)
			}
		}
	}
	for _, id := range must {
		if id < 0 || int(id) >= t.Size() {
			return nil, fmt.Errorf("token %d of a vocabulary of %d cannot be kept", id, t.Size())
		}
		take(id)
	}
	slices.Sort(r.ids) // parts come in no order
	r.must = len(r.ids)
	r.size = append(r.size, r.must)
	order := make([]int32, limit)
	for id := range order {
		order[id] = int32(id)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		switch na, nb := counts.Of[a], counts.Of[b]; {
		case na > nb:
			return -1
		case na < nb:
			return 1
		}
		return 0
	})
	for _, id := range order {
		if !in[id] {
			from := len(r.ids)
			take(id)
			slices.Sort(r.ids[from:])
			r.size = append(r.size, len(r.ids))
		}
	}
	return r, nil
}

// Selection is a closed set of tokens.
type Selection struct {
	IDs     []int32 // rising
	Covered uint64  // counted tokens that are in it
	Counted uint64
}

// Coverage is the part of the counted tokens that are kept.
func (s Selection) Coverage() float64 {
	if s.Counted == 0 {
		return 1
	}
	return float64(s.Covered) / float64(s.Counted)
}

// Must is the size of the smallest selection.
func (r *Ranking) Must() int { return r.must }

// Size returns the largest selection of at most k tokens.
func (r *Ranking) Size(k int) (Selection, error) {
	i := sort.SearchInts(r.size, k+1) - 1
	if i < 0 {
		return Selection{}, fmt.Errorf("%d tokens: %d must stay (specials, bytes, digits, white space, chat, and what the model needs); take that many, or fewer classes of them", k, r.must)
	}
	return r.first(r.size[i]), nil
}

// Coverage returns the smallest selection that has this part of the counted tokens.
func (r *Ranking) Coverage(part float64) (Selection, error) {
	if !(part > 0 && part <= 1) {
		return Selection{}, fmt.Errorf("coverage %g: give the part of the counted tokens that is kept, above 0, at most 1", part)
	}
	need := uint64(math.Ceil(part * float64(r.seen)))
	covered, from := uint64(0), 0
	for _, size := range r.size {
		for _, id := range r.ids[from:size] {
			covered += r.counts.Of[id]
		}
		from = size
		if covered >= need {
			return r.first(size), nil
		}
	}
	return r.first(len(r.ids)), nil
}

func (r *Ranking) first(n int) Selection {
	s := Selection{IDs: slices.Clone(r.ids[:n]), Counted: r.seen}
	for _, id := range s.IDs {
		s.Covered += r.counts.Of[id]
	}
	slices.Sort(s.IDs)
	return s
}

// Choice is one line of a menu.
type Choice struct {
	Tokens   int     `json:"tokens"`
	Coverage float64 `json:"coverage"`
	Bytes    int64   `json:"bytes"` // of embedding and head
}

// Menu returns selections of different sizes, with the bytes they take at rowBytes for each token: those of some coverages, and the whole.
func (r *Ranking) Menu(rowBytes int64) (menu []Choice) {
	for _, part := range []float64{0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999, 1} {
		s, err := r.Coverage(part)
		if err == nil && (len(menu) == 0 || len(s.IDs) > menu[len(menu)-1].Tokens) {
			menu = append(menu, Choice{len(s.IDs), s.Coverage(), rowBytes * int64(len(s.IDs))})
		}
	}
	if len(r.ids) > menu[len(menu)-1].Tokens {
		menu = append(menu, Choice{len(r.ids), r.first(len(r.ids)).Coverage(), rowBytes * int64(len(r.ids))})
	}
	return menu
}
