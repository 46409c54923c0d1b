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
	room, err := roomOf(ckpt, o.BitsPerWeight, maxBits)
	if err != nil {
		return Recipe{}, err
	}
	if o.Code == "" {
		o.Code = "lut12"
		if room.weights <= smallModel && o.BitsPerWeight <= longStatesUpTo {
			o.Code = "lut16"
		}
	}
	b := budget{room: room, code: o.Code}
	if err := b.solve(); err != nil {
		return Recipe{}, err
	}
	return b.recipe(fmt.Sprintf("%s%s", recipePrefix, strconv.FormatFloat(o.BitsPerWeight, 'f', -1, 64)), o.Data), nil
}

// room is what a budget has for the weights that are compressed.
type room struct {
	bytes   int64  // allowed for everything
	kept    int64  // of weights that are stored as they are
	weights int64  // elements, of those too
	lines   []Line // of the others. An embedding that is also the head is as dear as a head, and its role here is that
}

// roomOf returns the room of so many bits for each weight, at most most.
func roomOf(ckpt *checkpoint.Checkpoint, bitsPerWeight, most float64) (room, error) {
	if math.IsNaN(bitsPerWeight) || bitsPerWeight <= 0 || bitsPerWeight > most {
		return room{}, fmt.Errorf("%v bits per weight: ask for 1 to %g", bitsPerWeight, most)
	}
	anything, err := FromCodec("f16", "", false)
	if err != nil {
		return room{}, err
	}
	p, err := Resolve(ckpt, anything)
	if err != nil {
		return room{}, err
	}
	r := room{weights: p.Totals.Weights, bytes: int64(bitsPerWeight * float64(p.Totals.Weights) / 8)}
	tied := !slices.ContainsFunc(p.Lines(), func(l Line) bool { return l.Role == "head" })
	for _, l := range p.Lines() {
		if l.Keeps() || l.Alias() {
			r.kept += l.Bytes
			continue
		}
		if l.Role == "embedding" && tied {
			l.Role = "head"
		}
		r.lines = append(r.lines, l)
	}
	return r, nil
}

// tooSmall is the error of a budget below the least that is possible with what it names.
func (r *room) tooSmall(least int64, with string) error {
	bits := math.Ceil(8e3*float64(least)/float64(r.weights)) / 1e3
	return fmt.Errorf("the budget of %d bytes is too small: this model takes at least %d with %s (%d of them for what is kept as it is); raise --bpw to %g",
		r.bytes, least, with, r.kept, bits)
}

// lookedUp reports whether a weight's rows are read, not multiplied by: there are no errors to feed back.
func (l *Line) lookedUp() bool { return l.Role == "embedding" || l.Role == "position" }

// budget distributes bytes over lines.
type budget struct {
	room
	code  string
	rates []int // of each line, in sixteenths
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
		b.rates[i] = min(max(common+rateOffset(b.lines[i].Role), minRate), maxRate)
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
		return b.tooSmall(total, "the smallest trellis code")
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
	slices.SortStableFunc(order, func(x, y int) int { return rateOffset(b.lines[y].Role) - rateOffset(b.lines[x].Role) })
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

// recipe names a method and a codec for each weight.
func (b *budget) recipe(name string, data bool) Recipe {
	r := Recipe{Name: name}
	for i, l := range b.lines {
		method := defaultMethod
		if data && !l.lookedUp() {
			method = "ldlq"
		}
		r.add(Rule{Method: method, Codec: b.name(b.rates[i])}, l.Weight)
	}
	return r
}

// add gives a weight to the rule that says the same as rule, which is appended if there is none.
func (r *Recipe) add(rule Rule, weight string) {
	at := slices.IndexFunc(r.Rules, func(have Rule) bool {
		return have.Codec == rule.Codec && have.Method == rule.Method && have.Search == rule.Search && have.Keep == rule.Keep
	})
	if at < 0 {
		rule.Match = nil
		r.Rules = append(r.Rules, rule)
		at = len(r.Rules) - 1
	}
	r.Rules[at].Match = append(r.Rules[at].Match, exactly(weight))
}

// exactly returns a pattern that matches a weight's name: the name, or, if it could be taken for a role, the name as a glob.
func exactly(weight string) string {
	if strings.ContainsAny(weight, "*?.") {
		return weight
	}
	return weight + "*"
}
