package plan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"pith/checkpoint"
	"pith/codec"
)

// BudgetOptions ask for the recipe of a size. The zero value of everything but BitsPerWeight is a sensible default.
type BudgetOptions struct {
	BitsPerWeight float64 // of all tensors of the artifact over all weights, at most
	Data          bool    // there will be statistics: error feedback (ldlq); without, rounding to nearest
	Code          string  // trellis code: lut7 … lut16, hash16; "" chooses by the number of weights
}

// recipePrefix begins the names of ready recipes: pith-2.5 is the recipe of 2.5 bits per weight.
const recipePrefix = "pith-"

// ParseBudget returns the bits per weight that a ready recipe's name asks for.
func ParseBudget(name string) (bits float64, ok bool) {
	text, found := strings.CutPrefix(name, recipePrefix)
	bits, err := strconv.ParseFloat(text, 64)
	return bits, found && err == nil
}

// Rates of trellis codes are counted in sixteenths of a bit. Above 7½ bits a search takes hundreds of times as long, for errors that nobody sees.
const (
	sixteenths = 16
	minRate    = 1 * sixteenths
	maxRate    = 7*sixteenths + sixteenths/2
	maxBits    = 8
)

// smallModel is the number of weights up to which the default code is lut16, the best and slowest to encode: some minutes on two cores.
// Above longStatesUpTo bits a weight its search slows down a hundredfold and more, and lut12 is as good.
const (
	smallModel     = 50e6
	longStatesUpTo = 5
)

// Budget returns the recipe whose artifact takes at most o.BitsPerWeight: rotated trellis codes at one rate for every matrix, but for the
// offsets of roles, and what is left given away a sixteenth of a bit at a time.
func Budget(ckpt *checkpoint.Checkpoint, o BudgetOptions) (Recipe, error) {
	if math.IsNaN(o.BitsPerWeight) || o.BitsPerWeight <= 0 || o.BitsPerWeight > maxBits {
		return Recipe{}, fmt.Errorf("%v bits per weight: ask for 1 to 8", o.BitsPerWeight)
	}
	probe, err := FromCodec("f16", "", false)
	if err != nil {
		return Recipe{}, err
	}
	p, err := Resolve(ckpt, probe)
	if err != nil {
		return Recipe{}, err
	}
	if o.Code == "" {
		o.Code = "lut12"
		if p.Totals.Weights <= smallModel && o.BitsPerWeight <= longStatesUpTo {
			o.Code = "lut16"
		}
	}
	b := budget{code: o.Code, weights: p.Totals.Weights, tied: tied(p), bytes: int64(o.BitsPerWeight * float64(p.Totals.Weights) / 8)}
	for _, l := range p.Lines() {
		if l.Keeps() || l.Alias() {
			b.kept += l.Bytes
			continue
		}
		b.lines = append(b.lines, l)
	}
	if err := b.solve(); err != nil {
		return Recipe{}, err
	}
	return b.recipe(fmt.Sprintf("%s%s", recipePrefix, strconv.FormatFloat(o.BitsPerWeight, 'f', -1, 64)), o.Data), nil
}

// tied reports whether no weight of the plan is a head of its own.
func tied(p *Plan) bool {
	return !slices.ContainsFunc(p.Lines(), func(l Line) bool { return l.Role == "head" })
}

// budget distributes bytes over lines.
type budget struct {
	code    string
	tied    bool  // the embedding is also the head
	bytes   int64 // allowed
	kept    int64 // of weights that are stored as they are
	weights int64 // elements, of those too
	lines   []Line
	rates   []int // of each line, in sixteenths
}

func (b *budget) name(rate int) string {
	return fmt.Sprintf("tcq-%s-%s-had", b.code, strconv.FormatFloat(float64(rate)/sixteenths, 'f', -1, 64))
}

// size returns the exact bytes of line i at a rate.
func (b *budget) size(i, rate int) (int64, error) {
	c, err := codec.Parse(b.name(rate))
	if err != nil {
		return 0, err
	}
	return c.Size(b.lines[i].Rows, b.lines[i].Cols), nil
}

// at sets every line's rate from a common one, and returns the bytes of everything.
func (b *budget) at(common int) (int64, error) {
	b.rates = make([]int, len(b.lines))
	total := b.kept
	for i := range b.lines {
		b.rates[i] = min(max(common+b.offset(i), minRate), maxRate)
		n, err := b.size(i, b.rates[i])
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// solve takes the largest common rate that fits, then raises lines one by one, those first in which a bit does most.
func (b *budget) solve() error {
	common := minRate - maxOffset // even the dearest role at one bit
	total, err := b.at(common)
	if err != nil {
		return err
	}
	if total > b.bytes {
		least := math.Ceil(8e3*float64(total)/float64(b.weights)) / 1e3
		return fmt.Errorf("the budget of %d bytes is too small: this model takes at least %d with the smallest trellis code (%d of them for what is kept as it is); raise --bpw to %g",
			b.bytes, total, b.kept, least)
	}
	for common < maxRate {
		n, err := b.at(common + 1)
		if err != nil {
			return err
		}
		if n > b.bytes {
			break
		}
		common++
	}
	if total, err = b.at(common); err != nil {
		return err
	}
	order := make([]int, len(b.lines))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return b.offset(y) - b.offset(x) })
	for _, i := range order {
		if b.rates[i] >= maxRate {
			continue
		}
		now, _ := b.size(i, b.rates[i])
		more, err := b.size(i, b.rates[i]+1)
		if err != nil {
			return err
		}
		if total+more-now <= b.bytes {
			b.rates[i]++
			total += more - now
		}
	}
	return nil
}

// rateOffset is by how many sixteenths of a bit a role's rate differs from the common one. The optimum of Σ a·2^(-2b) under a budget is
// b = ½·log2(a/N) + constant for a tensor of N weights whose relative error costs a. Coefficients a of an 8B model (Q-Palette, arXiv
// 2509.20214, after HIGGS, 2411.17525) put v, k and the output projection 28, 10 and 9 sixteenths above the ffn, and down 1 to 11; on the
// small models that pith is tested with v is 14, k 8, down 9 and the head, which that paper left alone, 20 above (docs/methods/trellis.md).
func rateOffset(role string) int {
	switch role {
	case "head":
		return maxOffset
	case "attn_v":
		return 12
	case "attn_k", "ffn_down":
		return 6
	case "attn_qkv":
		return 4
	case "attn_output":
		return 2
	}
	return 0
}

// maxOffset is the largest of them.
const maxOffset = 16

// offset is rateOffset of a line; an embedding that is also the head is as dear as a head.
func (b *budget) offset(i int) int {
	role := b.lines[i].Role
	if role == "embedding" && b.tied {
		role = "head"
	}
	return rateOffset(role)
}

// recipe puts weights of the same method and codec into one rule.
func (b *budget) recipe(name string, data bool) Recipe {
	r := Recipe{Name: name}
	at := map[string]int{}
	for i, l := range b.lines {
		method := defaultMethod
		lookedUp := l.Role == "embedding" && !b.tied || l.Role == "position" // rows are read, not multiplied: no errors to feed back
		if data && !lookedUp {
			method = "ldlq"
		}
		key := method + " " + b.name(b.rates[i])
		j, ok := at[key]
		if !ok {
			j = len(r.Rules)
			at[key] = j
			r.Rules = append(r.Rules, Rule{Method: method, Codec: b.name(b.rates[i])})
		}
		r.Rules[j].Match = append(r.Rules[j].Match, exactly(l.Weight))
	}
	return r
}

// exactly returns a pattern that matches a weight's name: the name, or, if it could be taken for a role, the name as a glob.
func exactly(weight string) string {
	if strings.ContainsAny(weight, "*?.") {
		return weight
	}
	return weight + "*"
}
