package compress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"pith/approx"
	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/internal/par"
	"pith/plan"
	"pith/tensor"
)

// solved is one weight of a block, ready to be written.
type solved struct {
	line   *plan.Line
	parts  []codec.Part // short names; Data is nil if raw
	specs  []checkpoint.TermSpec
	raw    bool         // kept as it lies in the source: copied when written
	dtype  tensor.DType // of raw
	source string       // sha256 of the weight's bytes in the source
	sums   []string     // sha256 of each part
	report approx.Report

	rows    *checkpoint.Rows
	method  approx.Method
	sharer  approx.Sharer   // of a set's line
	terms   []codec.Term    // of a set's member
	reports []approx.Report // of each tile
	mu      sync.Mutex
}

// job is a piece of work on one weight: the solution of a tile, or the digest of the source.
type job struct {
	s      *solved
	r0, r1 int // a tile, if r1 > r0
}

// solve reads and solves every weight of a block: tiles of rows in parallel, then weights that are solved whole one after another,
// each with all workers. Where statistics depend on how other weights of the block are solved, stage follows stage.
func (r *run) solve(ctx context.Context, b *plan.Block) ([]*solved, error) {
	if err := r.observe(ctx, b); err != nil {
		return nil, err
	}
	var all []*solved
	byName := map[string]*solved{}
	for i := range b.Lines {
		s := &solved{line: &b.Lines[i]}
		if err := r.prepare(s); err != nil {
			return nil, err
		}
		all = append(all, s)
		byName[s.line.Weight] = s
	}
	stages, ok := r.o.Statistics.(staged)
	if !ok || stages.Stages(b) == nil {
		if err := r.solveStage(ctx, all); err != nil {
			return nil, err
		}
		return all, r.digestParts(all)
	}
	finished := map[string]*solved{}
	for _, names := range stages.Stages(b) {
		if err := stages.Stage(ctx, b, names, r.loader(finished)); err != nil {
			return nil, err
		}
		var stage []*solved
		for _, name := range names {
			stage = append(stage, byName[name])
		}
		if err := r.solveStage(ctx, stage); err != nil {
			return nil, err
		}
		for _, s := range stage {
			finished[s.line.Weight] = s
		}
	}
	return all, r.digestParts(all)
}

// solveStage solves weights whose statistics are there.
func (r *run) solveStage(ctx context.Context, stage []*solved) error {
	var jobs, whole []job
	for _, s := range stage {
		list := s.jobs()
		if s.sharer != nil || s.method != nil && !s.method.RowWise() {
			whole = append(whole, list[1:]...)
			list = list[:1]
		}
		jobs = append(jobs, list...)
	}
	if err := r.doAll(ctx, jobs); err != nil {
		return err
	}
	for _, j := range whole {
		if err := errors.Join(ctx.Err(), r.do(ctx, j)); err != nil {
			return err
		}
	}
	return nil
}

// observe readies the statistics of a block's weights.
func (r *run) observe(ctx context.Context, b *plan.Block) error {
	if r.o.Statistics == nil {
		return nil
	}
	return r.o.Statistics.Block(ctx, b)
}

// doAll does jobs in parallel.
func (r *run) doAll(ctx context.Context, jobs []job) error {
	errs := make([]error, len(jobs))
	var failed atomic.Bool
	par.For(r.o.Workers, len(jobs), func(i int) {
		if failed.Load() || ctx.Err() != nil {
			return
		}
		if errs[i] = r.do(ctx, jobs[i]); errs[i] != nil {
			failed.Store(true)
		}
	})
	return errors.Join(ctx.Err(), first(errs))
}

// first returns the first error in the order of the jobs; jobs are handed out in order, so it is the same for any number of workers.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// prepare opens a weight for reading and checks that it is still what the plan was made for.
func (r *run) prepare(s *solved) error {
	l := s.line
	if l.Common() {
		var err error
		s.sharer, err = l.NewSharer()
		return err
	}
	info, err := r.ckpt.Info(l.Weight)
	if err != nil {
		return fmt.Errorf("%w; the plan was made for another checkpoint", err)
	}
	rows, cols := info.Rows, info.Cols
	if l.Transposed && !info.Transposed && !l.Keeps() {
		rows, cols = cols, rows
	}
	if rows != l.Rows || cols != l.Cols {
		return blockError(l, fmt.Errorf("shape (%d, %d), the plan says (%d, %d); make the plan again", rows, cols, l.Rows, l.Cols))
	}
	if s.method, err = l.NewMethod(); err != nil {
		return err
	}
	switch {
	case l.Alias():
		return r.alias(s)
	case s.method == nil:
		return r.keep(s, info)
	}
	if s.rows, err = r.ckpt.Rows(l.Weight); err != nil {
		return err
	}
	if l.Transposed && !info.Transposed {
		s.rows = s.rows.Transpose()
	}
	return nil
}

// keep prepares a weight that is stored as the source stores it: plain tensors are copied when written, terms are loaded.
func (r *run) keep(s *solved, info checkpoint.Info) error {
	l := s.line
	if r.ckpt.Plain(l.Weight) {
		r.rawOwner[l.Weight] = r.hasAlias[l.Weight]
		s.raw, s.dtype = true, info.DType
		s.parts = []codec.Part{{DType: info.DType, Shape: info.Shape}}
		return nil
	}
	w, err := r.ckpt.Load(l.Weight)
	if err != nil {
		return err
	}
	for _, t := range w.Terms {
		s.addTerm(t.Codec(), t.Parts(), len(w.Terms) == 1)
	}
	return nil
}

// valuesPart is the only part of a dense term: a weight of that one term is stored as a plain tensor, under its own name.
const valuesPart = "values"

// addTerm appends the parts of a whole term and their description.
func (s *solved) addTerm(codecName string, parts []codec.Part, only bool) {
	l := s.line
	if only && len(parts) == 1 && parts[0].Name == valuesPart && codecName == strings.ToLower(parts[0].DType.String()) && !l.Transposed {
		s.parts = []codec.Part{{DType: parts[0].DType, Shape: l.Shape, Data: parts[0].Data}}
		return
	}
	spec := checkpoint.TermSpec{Codec: codecName, Rows: l.Rows, Cols: l.Cols}
	if len(s.specs) == 0 && (len(l.Shape) != 2 || l.Transposed) {
		spec.Shape, spec.Transposed = l.Shape, l.Transposed
	}
	for _, p := range parts {
		spec.Parts = append(spec.Parts, p.Name)
		s.parts = append(s.parts, p)
	}
	s.specs = append(s.specs, spec)
}

// weight returns the weight as it was solved.
func (s *solved) weight() (*codec.Weight, error) {
	l := s.line
	w := &codec.Weight{Name: l.Weight, Rows: l.Rows, Cols: l.Cols, Shape: l.Shape, Transposed: l.Transposed}
	if len(s.specs) == 0 {
		p := s.parts[0]
		t, err := codec.Dense(l.Weight, p.DType, l.Rows, l.Cols, p.Data)
		w.Terms = []codec.Term{t}
		return w, err
	}
	if s.terms != nil {
		w.Terms = s.terms
		return w, nil
	}
	parts := s.parts
	for _, spec := range s.specs {
		t, err := checkpoint.OpenTerm(spec, parts[:len(spec.Parts)])
		if err != nil {
			return nil, blockError(l, err)
		}
		w.Terms, parts = append(w.Terms, t), parts[len(spec.Parts):]
	}
	return w, nil
}

// jobs cuts the work on a weight; the cut depends on its shape only.
func (s *solved) jobs() []job {
	list := []job{{s: s}}
	if s.sharer != nil {
		return append(list, job{s, 0, max(1, s.line.Rows)})
	}
	if s.method == nil {
		return list
	}
	tile := s.line.Rows
	if s.method.RowWise() {
		tile = plan.TileRows(s.line.Rows, s.line.Cols)
	}
	for r0 := 0; r0 < s.line.Rows; r0 += tile {
		list = append(list, job{s, r0, min(s.line.Rows, r0+tile)})
	}
	s.reports = make([]approx.Report, len(list)-1)
	return list
}

func (r *run) do(ctx context.Context, j job) error {
	if j.r1 == j.r0 {
		return r.digestSource(ctx, j.s)
	}
	if j.s.sharer != nil {
		return r.solveSet(ctx, j.s)
	}
	return r.solveTile(ctx, j)
}

// solveTile solves rows r0 … r1 of a weight and puts the term's parts into their places.
func (r *run) solveTile(ctx context.Context, j job) error {
	s, l := j.s, j.s.line
	n := j.r1 - j.r0
	buf := r.tiles.get(n * l.Cols)
	defer r.tiles.put(buf)
	w := tensor.Of(n, l.Cols, buf)
	if err := s.rows.Read(w, j.r0); err != nil {
		return err
	}
	problem := approx.Problem{Name: l.Weight, W: w, Row0: j.r0, Workers: 1, Context: ctx}
	if !s.method.RowWise() {
		problem.Workers = r.o.Workers
	}
	if r.o.Statistics != nil {
		problem.Stats = r.o.Statistics.Of(l.Weight)
	}
	var err error
	if g, ok := r.o.Statistics.(gradients); ok && !s.method.RowWise() {
		if problem.Fisher, err = g.FisherOf(l.Weight); err != nil {
			return err
		}
	}
	if problem.Shared, err = r.sharedTerms(l.Set); err != nil {
		return blockError(l, err)
	}
	term, report, err := s.method.Solve(problem)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		if bad := notFinite(w, j.r0); bad != nil {
			err = blockError(l, bad)
		} else if j.r0 > 0 {
			err = fmt.Errorf("%w (rows counted from row %d)", err, j.r0)
		}
		return r.sourceError(l, err) // which a method has already given the weight's name
	}
	if err := s.place(term, j.r0, n); err != nil {
		return blockError(l, err)
	}
	tile := l.Rows
	if s.method.RowWise() {
		tile = plan.TileRows(l.Rows, l.Cols)
	}
	if st := problem.Stats; st != nil && st.NonFinite > 0 {
		report.Fallback = strings.TrimPrefix(report.Fallback+"; "+leftOut(st), "; ")
	}
	s.reports[j.r0/tile] = report
	r.report.add(int64(n) * int64(l.Cols))
	return nil
}

// leftOut says how much of calibration the statistics are not of.
func leftOut(s *calib.Stats) string {
	return fmt.Sprintf("%d of %d tokens of calibration are left out: their activations are not finite", s.NonFinite, s.NonFinite+s.Tokens)
}

// place copies the parts of a tile's term to rows r0 … r0+n of the whole term's. Every layout stores rows one after another; sums of terms are
// solved whole.
func (s *solved) place(t codec.Term, r0, n int) error {
	if s.line.Set != "" {
		return s.placeMember(t)
	}
	parts, rows := t.Parts(), s.line.Rows
	if terms := codec.Terms(t); len(terms) > 1 && n == rows {
		for _, term := range terms {
			s.addTerm(term.Codec(), term.Parts(), false)
		}
		return nil
	}
	s.mu.Lock()
	if s.parts == nil {
		whole := make([]codec.Part, len(parts))
		for i, p := range parts {
			whole[i] = codec.Part{Name: p.Name, DType: p.DType, Shape: p.Shape, Data: p.Data}
			if n < rows {
				if len(p.Shape) == 0 || p.Shape[0] != n || len(p.Data)%n != 0 {
					s.mu.Unlock()
					return fmt.Errorf("part %s of %s is not stored row by row, so it cannot be solved in tiles", p.Name, t.Codec())
				}
				whole[i].Shape = append([]int{rows}, p.Shape[1:]...)
				whole[i].Data = make([]byte, len(p.Data)/n*rows)
			}
		}
		s.addTerm(t.Codec(), whole, true)
	}
	s.mu.Unlock()
	if n == rows {
		return nil
	}
	for i, p := range parts {
		copy(s.parts[i].Data[len(p.Data)/n*r0:], p.Data)
	}
	return nil
}

// notFinite returns an error naming the first weight of w that is not a finite number; row 0 of w is row r0 of the weight.
func notFinite(w tensor.Mat, r0 int) error {
	for r := range w.Rows {
		for c, v := range w.Row(r) {
			if v-v != 0 {
				return fmt.Errorf("weight at row %d, column %d is %v; repair the checkpoint, or keep this weight with a rule", r0+r, c, v)
			}
		}
	}
	return nil
}

// digestParts hashes the parts of solved weights, and adds up the tiles' errors in their order.
func (r *run) digestParts(all []*solved) error {
	type piece struct {
		s *solved
		i int
	}
	var pieces []piece
	for _, s := range all {
		for _, t := range s.reports {
			s.report = s.report.Add(t)
		}
		s.sums = make([]string, len(s.parts))
		for i := range s.parts {
			if s.raw {
				s.sums[i] = s.source
				continue
			}
			pieces = append(pieces, piece{s, i})
		}
	}
	par.For(r.o.Workers, len(pieces), func(i int) {
		sum := sha256.Sum256(pieces[i].s.parts[pieces[i].i].Data)
		pieces[i].s.sums[pieces[i].i] = hex.EncodeToString(sum[:])
	})
	return nil
}
