package structure

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pith/checkpoint"
	"pith/observe"
)

// Protection is how many layers at both ends are never chosen.
type Protection struct{ First, Last int }

// DefaultProtection leaves the first two layers and the last one alone, which matter most in every model that was measured (ShortGPT).
func DefaultProtection() Protection { return Protection{First: 2, Last: 1} }

func (p Protection) droppable(layer, layers int) bool {
	return layer >= p.First && layer < layers-p.Last
}

// Request is what a user asked to leave out: layers by number, or how many.
type Request struct {
	Count  int
	Layers []int // nil: Count layers that a ranker chooses
}

// maxRequest bounds the numbers of a request.
const maxRequest = 4096

// ParseRequest reads "2" (two layers, to be chosen), "3,5", "8-11", "3-3" or "3," (those layers, counted from 0).
func ParseRequest(s string) (Request, error) {
	bad := fmt.Errorf("%q: give a number of layers, as 2, or layers counted from 0, as 3,5 or 8-11 (one layer alone: 3-3)", s)
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > maxRequest {
			return Request{}, bad
		}
		return Request{Count: n}, nil
	}
	var r Request
	for _, part := range strings.Split(strings.TrimSuffix(s, ","), ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		lo, err := strconv.Atoi(from)
		hi := lo
		if isRange && err == nil {
			hi, err = strconv.Atoi(to)
		}
		if err != nil || lo < 0 || hi < lo || hi > maxRequest {
			return Request{}, bad
		}
		for l := lo; l <= hi; l++ {
			r.Layers = append(r.Layers, l)
		}
	}
	slices.Sort(r.Layers)
	r.Layers = slices.Compact(r.Layers)
	return r, nil
}

// Choose returns the n layers that a ranker leaves out, in rising order. It measures no more than the ranker needs.
func Choose(ctx context.Context, ckpt *checkpoint.Checkpoint, texts []observe.Text, n int, by Ranker, p Protection, o Options) ([]int, error) {
	config, err := ckpt.Config()
	if err != nil {
		return nil, err
	}
	free := 0
	for l := range config.Layers {
		if p.droppable(l, config.Layers) {
			free++
		}
	}
	if n > free || n >= config.Layers {
		return nil, fmt.Errorf("%d layers cannot be left out: of %d, the first %d and the last %d are protected, which leaves %d; ask for fewer, lift the protection, or name layers",
			n, config.Layers, p.First, p.Last, free)
	}
	if n == 0 {
		return nil, nil
	}
	r, err := newRunner(ckpt, texts, o)
	if err != nil {
		return nil, err
	}
	rep := r.report(n, p)
	switch by {
	case BlockInfluence, Window:
		err = r.similarity(ctx, rep)
	case LeaveOneOut:
		err = r.leaveOneOut(ctx, rep)
	case Greedy:
		err = r.greedy(ctx, rep, n)
	default:
		return nil, fmt.Errorf("unknown ranker %q: use one of %v", by, Rankers())
	}
	if err != nil {
		return nil, err
	}
	chosen, ok := rep.Choice(by, n)
	if !ok {
		return nil, fmt.Errorf("%s finds no %d layers to leave out", by, n)
	}
	return chosen, nil
}

// Choice returns the n layers that a ranker would leave out, in rising order; false if it does not know as many.
func (rep *Report) Choice(by Ranker, n int) ([]int, bool) {
	var layers []int
	switch by {
	case Window:
		at := rep.bestWindow(n)
		for l := at; at >= 0 && l < at+n; l++ {
			layers = append(layers, l)
		}
	case Greedy:
		for _, r := range rep.Removals {
			layers = append(layers, r.Layer)
		}
	default:
		layers = rep.order(by)
	}
	if len(layers) < n {
		return nil, false
	}
	layers = slices.Clone(layers[:n])
	slices.Sort(layers)
	return layers, true
}

// order returns the droppable layers, the one that costs least first; the lower number among equals.
func (rep *Report) order(by Ranker) []int {
	score := func(s LayerScore) float64 {
		if by == BlockInfluence {
			return s.Influence
		}
		return s.KL
	}
	var layers []int
	for _, s := range rep.Layers {
		if s.Droppable {
			layers = append(layers, s.Layer)
		}
	}
	slices.SortStableFunc(layers, func(a, b int) int { return cmp.Compare(score(rep.Layers[a]), score(rep.Layers[b])) })
	return layers
}

// bestWindow returns where the n droppable neighbours begin whose ends are most alike; −1 if there are none.
func (rep *Report) bestWindow(n int) int {
	best := -1
	for l := range rep.Layers {
		if l+n > len(rep.Layers) || !rep.Layers[l].Droppable || !rep.Layers[l+n-1].Droppable {
			continue
		}
		if best < 0 || rep.Similarity[l][n-1] > rep.Similarity[best][n-1] {
			best = l
		}
	}
	return best
}

// Remaining returns the layers of n that stay when some are left out, or an error about one that does not exist.
func Remaining(n int, dropped []int) ([]int, error) {
	var stay []int
	for l := range n {
		if !slices.Contains(dropped, l) {
			stay = append(stay, l)
		}
	}
	for _, l := range dropped {
		if l < 0 || l >= n {
			return nil, fmt.Errorf("layer %d: the model has %d layers, 0 to %d", l, n, n-1)
		}
	}
	if len(stay) == 0 {
		return nil, fmt.Errorf("no layer of %d is left; leave out fewer", n)
	}
	return stay, nil
}
