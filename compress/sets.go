package compress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/plan"
	"pith/tensor"
)

// solveSet finds what the members of a set have in common. They are all in memory meanwhile.
func (r *run) solveSet(ctx context.Context, s *solved) error {
	l := s.line
	m := approx.Members{Names: l.Members, Workers: r.o.Workers, Context: ctx}
	for _, name := range l.Members {
		w, err := r.readMember(name)
		if err != nil {
			return blockError(l, err)
		}
		m.W = append(m.W, w)
		stats, err := r.statsOf(name, w.Cols)
		if err != nil {
			return err
		}
		m.Stats = append(m.Stats, stats)
	}
	terms, note, err := s.sharer.Share(m)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		for i, w := range m.W {
			if bad := notFinite(w, 0); bad != nil {
				return fmt.Errorf("%s: %w", m.Names[i], bad)
			}
		}
		return blockError(l, err)
	}
	for _, t := range terms {
		s.addTerm(t.Codec(), t.Parts(), false)
	}
	if _, all := r.o.Statistics.(everywhere); note != "" && r.o.Statistics != nil && !all {
		note += "; statistics of several layers at once are those of a file: pith calibrate, then --stats"
	}
	r.sets[l.Weight] = terms
	s.reports = []approx.Report{{Fallback: note}}
	return nil
}

// readMember reads a weight of the plan whole, as it is compressed.
func (r *run) readMember(name string) (tensor.Mat, error) {
	l := r.lineOf(name)
	if l == nil {
		return tensor.Mat{}, fmt.Errorf("%s has no line in the plan; make the plan again", name)
	}
	info, err := r.ckpt.Info(name)
	if err != nil {
		return tensor.Mat{}, err
	}
	rows, err := r.ckpt.Rows(name)
	if err != nil {
		return tensor.Mat{}, err
	}
	if l.Transposed && !info.Transposed {
		rows = rows.Transpose()
	}
	w := tensor.NewMat(l.Rows, l.Cols)
	return w, rows.Read(w, 0)
}

// lineOf returns a weight's line, nil if it has none.
func (r *run) lineOf(weight string) *plan.Line {
	for b := range r.plan.Blocks {
		for i := range r.plan.Blocks[b].Lines {
			if l := &r.plan.Blocks[b].Lines[i]; l.Weight == weight {
				return l
			}
		}
	}
	return nil
}

// everywhere is Statistics that know those of all weights, whatever block is under way.
type everywhere interface {
	Anywhere(weight string, features int) (*calib.Stats, error)
}

// statsOf returns the statistics of a weight's input, which may be of another block; nil if there are none.
func (r *run) statsOf(weight string, features int) (*calib.Stats, error) {
	if r.o.Statistics == nil {
		return nil, nil
	}
	if s := r.o.Statistics.Of(weight); s != nil {
		return s, nil
	}
	if all, ok := r.o.Statistics.(everywhere); ok {
		return all.Anywhere(weight, features)
	}
	return nil, nil
}

// sharedTerms returns the common terms of a set, from its shard if an earlier run solved it.
func (r *run) sharedTerms(set string) ([]codec.Term, error) {
	if set == "" {
		return nil, nil
	}
	if terms := r.sets[set]; terms != nil {
		return terms, nil
	}
	w, err := r.loadFinished(set)
	if err != nil {
		return nil, err
	}
	r.sets[set] = w.Terms
	return w.Terms, nil
}

// placeMember notes the terms of a set's member: of the first, what it has in common is referred to.
func (s *solved) placeMember(t codec.Term) error {
	s.terms = codec.Terms(t)
	for i, term := range s.terms {
		if i > 0 {
			s.addTerm(term.Codec(), term.Parts(), false)
			continue
		}
		from := map[string]string{}
		var own, all []codec.Part
		for _, p := range term.Parts() {
			all = append(all, p)
			if at, name, ok := s.line.SharedPart(p.Name); ok {
				from[p.Name] = checkpoint.PartName(s.line.Set, at, name)
			} else {
				own = append(own, p)
			}
		}
		if len(from) == 0 {
			return errors.New("has nothing in common with its set: please report this")
		}
		s.addTerm(term.Codec(), all, false)
		s.parts = own
		s.specs[0].From = from
	}
	return nil
}

// hashLine returns the sha256 of what a line's weight is in the source; of a set, of its members' digests.
func (r *run) hashLine(ctx context.Context, l *plan.Line, check bool) (sum string, norm float64, err error) {
	if !l.Common() {
		return r.hashWeight(ctx, l.Weight, check)
	}
	h := sha256.New()
	for _, name := range l.Members {
		sum, _, err := r.hashWeight(ctx, name, false)
		if err != nil {
			return "", 0, err
		}
		fmt.Fprintln(h, sum)
	}
	return hex.EncodeToString(h.Sum(nil)), 0, nil
}
