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

// Prober measures what the network loses with a term in place of a weight, in nats a token.
type Prober interface {
	KL(ctx context.Context, weight string, term codec.Term) (float64, error)
}

// RankOptions say by what ranks are chosen.
type RankOptions struct {
	Stats    *calib.Set
	Prober   Prober // nil: by the tails of the spectra
	Workers  int
	Progress func(weight string, done, of int) // after each weight; may be nil
}

// SpreadRanks returns the recipe r with ranks of its own for each weight that a rule with a low-rank codec decides, such that what the weights lose
// adds up to the least that the same bytes can have. With a Prober that is what the network loses when only that weight is replaced, at some ranks
// (ASVD's search, arXiv 2312.05821, by KL divergence, and by gain for a byte instead of thresholds), and of asvd's exponents the one that loses least at the
// rank of the recipe; without, the relative error of the outputs, by theory, counted by how
// much the role costs (as SVD-LLM version 2 has unequal ratios, arXiv 2503.12340). A weight that would be best with factors as large as itself is
// stored whole by the factors' codec. It reads every such weight.
func SpreadRanks(ctx context.Context, ckpt *checkpoint.Checkpoint, r Recipe, o RankOptions) (Recipe, error) {
	p, err := Resolve(ckpt, r)
	if err != nil {
		return Recipe{}, err
	}
	var lines []Line
	var products []codec.LowRank
	var budget int64
	for _, l := range p.Lines() {
		c, err := codec.Parse(l.Codec)
		if product, ok := c.(codec.LowRank); err == nil && ok && !l.Keeps() {
			lines, products = append(lines, l), append(products, product)
			budget += l.Bytes
		}
	}
	if lines == nil {
		return Recipe{}, fmt.Errorf("%s: no weight has a low-rank codec whose rank could be chosen; name one, as --codec lr0.8-f16", ckpt.Path)
	}
	menus := make([][]entry, len(lines))
	for i := range lines {
		if menus[i], err = rankMenu(ctx, ckpt, &lines[i], products[i], o); err != nil {
			return Recipe{}, err
		}
		if o.Progress != nil {
			o.Progress(lines[i].Weight, i+1, len(lines))
		}
	}
	chosen, ok := allocate(menus, budget)
	if !ok {
		return Recipe{}, fmt.Errorf("%s: the smallest ranks take more than the %d bytes of the recipe; raise its rank or share", ckpt.Path, budget)
	}
	out := Recipe{Name: r.Name, Seed: r.Seed}
	for i, l := range lines {
		rule := r.Rules[l.Rule-1]
		rule.Match, rule.Method, rule.Codec = Patterns{exactly(l.Weight)}, chosen[i].rule.Method, chosen[i].rule.Codec
		out.Rules = append(out.Rules, rule)
	}
	out.Rules = append(out.Rules, r.Rules...)
	return out, nil
}

// rankMenu returns the ranks that a line's weight can have with what they lose, and the whole matrix; with a Prober, it sets the line's method to the one
// of its kind that loses least.
func rankMenu(ctx context.Context, ckpt *checkpoint.Checkpoint, l *Line, c codec.LowRank, o RankOptions) ([]entry, error) {
	s, err := bestSpectrum(ctx, ckpt, l, c, o)
	if err != nil {
		return nil, err
	}
	most := l.Rows * l.Cols / (l.Rows + l.Cols)
	loss := func(rank int) float64 { return l.cost() * s.Tails[rank] / max(s.Tails[0], math.SmallestNonzeroFloat64) }
	least := 1
	if o.Prober != nil {
		if loss, least, err = probed(ctx, l, s, most, o); err != nil {
			return nil, err
		}
	}
	step := max(1, most/rankSteps)
	if step >= rankAlign {
		step = (step + rankAlign - 1) / rankAlign * rankAlign
	}
	var menu []entry
	for rank := step; rank <= most; rank += step {
		by := codec.LowRankOf(rank, c.Inner())
		if rank >= least && by.Check(l.Rows, l.Cols) == nil {
			menu = append(menu, entry{Choice: approx.Choice{Bytes: by.Size(l.Rows, l.Cols), Loss: loss(rank)}, rule: Rule{Method: l.Method, Codec: by.Name()}})
		}
	}
	if c.Inner().Check(l.Rows, l.Cols) == nil {
		menu = append(menu, entry{Choice: approx.Choice{Bytes: c.Inner().Size(l.Rows, l.Cols)}, rule: Rule{Codec: c.Inner().Name(), Method: defaultMethod}})
	}
	if len(menu) == 0 {
		return nil, fmt.Errorf("%s: no rank of %s fits a (%d, %d) matrix; keep this weight with a rule", l.Weight, c.Name(), l.Rows, l.Cols)
	}
	return menu, nil
}

// bestSpectrum returns the spectrum of a line's weight; of the exponents that asvd can have, that by which the network loses least at the line's rank.
// It leaves the method in the line.
func bestSpectrum(ctx context.Context, ckpt *checkpoint.Checkpoint, l *Line, c codec.LowRank, o RankOptions) (best *lowrank.Spectrum, err error) {
	if o.Prober == nil || l.Method != "asvd" {
		return spectrumOf(ctx, ckpt, l, c, o)
	}
	var method string
	least := math.Inf(1)
	for _, l.Method = range asvdExponents() {
		s, err := spectrumOf(ctx, ckpt, l, c, o)
		if err != nil {
			return nil, err
		}
		kl, err := probe(ctx, l, s, c.Rank(l.Rows, l.Cols), o)
		if err != nil {
			return nil, err
		}
		if best == nil || kl < least {
			best, method, least = s, l.Method, kl
		}
	}
	l.Method = method
	return best, nil
}

// spectrumOf decomposes a line's weight as its method counts.
func spectrumOf(ctx context.Context, ckpt *checkpoint.Checkpoint, l *Line, c codec.LowRank, o RankOptions) (*lowrank.Spectrum, error) {
	w, err := wholeWeight(ckpt, l)
	if err != nil {
		return nil, err
	}
	var stats *calib.Stats
	var fisher *calib.Fisher
	if o.Stats != nil {
		if stats, err = o.Stats.For(l.Weight, l.Cols, calib.Gram); err != nil {
			return nil, err
		}
		if fisher, err = o.Stats.FisherOf(l.Weight); err != nil {
			return nil, err
		}
	}
	made, err := l.makeMethod(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Weight, err)
	}
	f, ok := made.(lowrank.Factorizer)
	if !ok {
		return nil, fmt.Errorf("%s: method %s has no spectrum to choose ranks by; use svd-llm", l.Weight, l.Method)
	}
	s, err := f.Spectrum(approx.Problem{Name: l.Weight, W: w, Stats: stats, Fisher: fisher, Workers: o.Workers, Context: ctx})
	if err == nil && s.Note != "" {
		err = fmt.Errorf("%s: ranks cannot be chosen by what %s loses: %s; give statistics of pith calibrate with Gram matrices", l.Weight, l.Method, s.Note)
	}
	return s, err
}

// probed returns what ranks lose in the network: measured at seven of them, and on straight lines between. Ranks below least were not measured.
func probed(ctx context.Context, l *Line, s *lowrank.Spectrum, most int, o RankOptions) (loss func(rank int) float64, least int, err error) {
	var at []int
	var kl []float64
	for share := 3; share <= 9; share++ {
		rank := max(1, most*share/10)
		if len(at) > 0 && at[len(at)-1] == rank {
			continue
		}
		v, err := probe(ctx, l, s, rank, o)
		if err != nil {
			return nil, 0, err
		}
		at, kl = append(at, rank), append(kl, v)
	}
	at, kl = append(at, most), append(kl, 0) // where factors are as large as the matrix, that is stored
	return func(rank int) float64 {
		for i := 1; i < len(at); i++ {
			if rank <= at[i] {
				part := float64(rank-at[i-1]) / float64(max(1, at[i]-at[i-1]))
				return kl[i-1] + float64(part*(kl[i]-kl[i-1]))
			}
		}
		return 0
	}, at[0], nil
}

// probe returns what the network loses with the product of a rank in place of the line's weight.
func probe(ctx context.Context, l *Line, s *lowrank.Spectrum, rank int, o RankOptions) (float64, error) {
	term, err := codec.Dense(l.Weight, tensor.F32, l.Rows, l.Cols, floatBytes(s.Product(rank, o.Workers)))
	if err != nil {
		return 0, err
	}
	return o.Prober.KL(ctx, l.Weight, term)
}

// floatBytes returns w as a file stores it in F32.
func floatBytes(w tensor.Mat) []byte {
	data := make([]byte, 4*len(w.Data))
	tensor.Encode(data, tensor.F32, w.Data)
	return data
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
