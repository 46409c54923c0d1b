package plan

import (
	"context"
	"fmt"
	"math"

	"pith/approx"
	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/lowrank"
	"pith/tensor"
)

// rankSteps is into how many ranks about the possible ones of a matrix are cut; steps are multiples of rankAlign where matrices are large.
const (
	rankSteps = 64
	rankAlign = 8
)

// SpreadRanks returns the recipe r with ranks of its own for each weight that a rule with a low-rank codec decides: such that their relative losses,
// counted by how much the role costs, add up to the least that the same bytes can have (SVD-LLM version 2, arXiv 2503.12340, has unequal
// ratios from theoretical losses too). The losses are the tails of the spectra of the rule's method with these statistics. A weight that would be best
// with factors as large as itself is stored whole by the factors' codec. It reads every such weight.
func SpreadRanks(ctx context.Context, ckpt *checkpoint.Checkpoint, r Recipe, set *calib.Set, workers int) (Recipe, error) {
	p, err := Resolve(ckpt, r)
	if err != nil {
		return Recipe{}, err
	}
	var lines []Line
	var menus [][]lowrank.Choice
	var budget int64
	for _, l := range p.Lines() {
		c, err := codec.Parse(l.Codec)
		product, ok := c.(codec.LowRank)
		if err != nil || !ok || l.Keeps() {
			continue
		}
		menu, err := rankMenu(ctx, ckpt, set, &l, product, workers)
		if err != nil {
			return Recipe{}, err
		}
		lines, menus = append(lines, l), append(menus, menu)
		budget += l.Bytes
	}
	if lines == nil {
		return Recipe{}, fmt.Errorf("%s: no weight has a low-rank codec whose rank could be chosen; name one, as --codec lr0.8-f16", ckpt.Path)
	}
	chosen, ok := lowrank.Allocate(menus, budget)
	if !ok {
		return Recipe{}, fmt.Errorf("%s: ranks of one take more than the %d bytes of the recipe; raise its rank or share", ckpt.Path, budget)
	}
	out := Recipe{Name: r.Name, Seed: r.Seed}
	for i, l := range lines {
		rule := r.Rules[l.Rule-1]
		c, _ := codec.Parse(l.Codec)
		inner := c.(codec.LowRank).Inner()
		rule.Match = Patterns{exactly(l.Weight)}
		if rank := menus[i][chosen[i]].Rank; rank > 0 {
			rule.Codec = codec.LowRankOf(rank, inner).Name()
		} else {
			rule.Codec, rule.Method = inner.Name(), defaultMethod
		}
		out.Rules = append(out.Rules, rule)
	}
	out.Rules = append(out.Rules, r.Rules...)
	return out, nil
}

// rankMenu returns the ranks that a line's weight can have, and the whole matrix.
func rankMenu(ctx context.Context, ckpt *checkpoint.Checkpoint, set *calib.Set, l *Line, c codec.LowRank, workers int) ([]lowrank.Choice, error) {
	w, err := wholeWeight(ckpt, l)
	if err != nil {
		return nil, err
	}
	stats, err := set.For(l.Weight, l.Cols, calib.Gram)
	if err != nil {
		return nil, err
	}
	made, err := l.makeMethod(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Weight, err)
	}
	f, ok := made.(lowrank.Factorizer)
	if !ok {
		return nil, fmt.Errorf("%s: method %s has no spectrum to choose ranks by; use svd-llm", l.Weight, l.Method)
	}
	tails, note, err := f.Spectrum(approx.Problem{Name: l.Weight, W: w, Stats: stats, Workers: workers, Context: ctx})
	if err != nil {
		return nil, err
	}
	if note != "" {
		return nil, fmt.Errorf("%s: ranks cannot be chosen by what %s loses: %s; give statistics of pith calibrate with Gram matrices", l.Weight, l.Method, note)
	}
	scale := l.cost()
	if tails[0] > 0 {
		scale /= tails[0]
	}
	inner := c.Inner()
	menu := []lowrank.Choice{}
	most := l.Rows * l.Cols / (l.Rows + l.Cols)
	step := max(1, most/rankSteps)
	if step >= rankAlign {
		step = (step + rankAlign - 1) / rankAlign * rankAlign
	}
	for rank := step; rank <= most; rank += step {
		by := codec.LowRankOf(rank, inner)
		if by.Check(l.Rows, l.Cols) == nil {
			menu = append(menu, lowrank.Choice{Rank: rank, Bytes: by.Size(l.Rows, l.Cols), Loss: tails[rank] * scale})
		}
	}
	if inner.Check(l.Rows, l.Cols) == nil {
		menu = append(menu, lowrank.Choice{Bytes: inner.Size(l.Rows, l.Cols)})
	}
	if len(menu) == 0 {
		return nil, fmt.Errorf("%s: no rank of %s fits a (%d, %d) matrix; keep this weight with a rule", l.Weight, c.Name(), l.Rows, l.Cols)
	}
	return menu, nil
}

// cost is how much a relative error of the line's weight costs: as many times its elements as rates of trellis codes are raised for its role
// (rateOffset), since the optimum of a Gaussian source has four times the cost for each bit more.
func (l *Line) cost() float64 {
	return float64(l.Elements()) * math.Exp2(2*float64(rateOffset(l.Role))/sixteenths)
}

// wholeWeight reads a line's weight as the matrix that is compressed.
func wholeWeight(ckpt *checkpoint.Checkpoint, l *Line) (tensor.Mat, error) {
	info, err := ckpt.Info(l.Weight)
	if err != nil {
		return tensor.Mat{}, err
	}
	rows, err := ckpt.Rows(l.Weight)
	if err != nil {
		return tensor.Mat{}, err
	}
	if l.Transposed && !info.Transposed {
		rows = rows.Transpose()
	}
	w := tensor.NewMat(l.Rows, l.Cols)
	return w, rows.Read(w, 0)
}
