package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pith/approx"
	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/tensor"
)

// MenuOptions ask for the recipe of a size in which each weight has the codec of a list that suits it.
type MenuOptions struct {
	BitsPerWeight float64  // of all tensors of the artifact over all weights, at most
	Codecs        []string // what codec.Parse knows, or "keep"
	Method        string   // of terms whose codecs it can solve; the others, and all if it is "", have what suits their codecs
	Search        bool
	// Share says what weights may have in common; how much of them is kept, or that they have nothing in common, is chosen for each set. nil: nothing.
	Share *Sharing

	Data     bool       // there will be statistics: for Check, where Stats are not there yet
	Stats    *calib.Set // nil: data-free
	Prober   Prober     // nil: by theory
	Workers  int
	Progress func(weight string, done, of int) // after each weight; may be nil
}

// entry is one way to store a weight: the rule that says so, without Match, and what it makes of the weight's line.
type entry struct {
	approx.Choice
	rule Rule
	line Line
}

// option is one way to store a weight, or all of a set: an entry for each.
type option struct {
	approx.Choice
	entries []entry
	common  Line    // of a set what its members have in common
	keep    float64 // and what share of bytes it keeps; 0: each is for itself
}

// FromMenu returns the recipe whose artifact takes at most o.BitsPerWeight and in which every weight is stored by one of the codecs of o, such that what
// is lost adds up to the least that steps along the weights' hulls reach (approx.Allocate). What a weight loses by a codec is found by solving it: the
// divergence of the network with that weight alone replaced, with a Prober; without, the relative loss of its outputs (approx.Predict) as often as
// its role counts (Line.cost). Weights whose shapes no codec of the list fits choose among those that stand in for them, with notes. It reads every weight.
// With o.Share, sets of weights may also have something in common, in one of the codecs; then shared says which do, for Share.
func FromMenu(ctx context.Context, ckpt *checkpoint.Checkpoint, o MenuOptions) (r Recipe, shared *Sharing, err error) {
	all, err := o.sized(ckpt)
	if err != nil {
		return r, nil, err
	}
	for i, menu := range all.menus {
		if err := o.price(ctx, ckpt, &all.room.lines[i], menu); err != nil {
			return r, nil, err
		}
		if o.Progress != nil {
			o.Progress(all.room.lines[i].Weight, i+1, len(all.menus))
		}
	}
	for i, t := range all.sets {
		if err := o.priceSets(ctx, ckpt, t, all.together[i]); err != nil {
			return r, nil, err
		}
	}
	chosen, err := all.choose()
	if err != nil {
		return r, nil, err
	}
	r.Name = o.Name()
	keeps := map[string]float64{}
	for _, option := range chosen {
		for _, e := range option.entries {
			r.add(e.rule, e.line.Weight)
			if option.keep > 0 {
				keeps[strings.TrimPrefix(e.line.Set, setPrefix)] = option.keep
			}
		}
	}
	if len(keeps) > 0 {
		s := *o.Share
		s.Keeps, shared = keeps, &s
	}
	return r, shared, nil
}

// Name is the name of the recipes that FromMenu returns.
func (o MenuOptions) Name() string {
	return "menu-" + strconv.FormatFloat(o.BitsPerWeight, 'f', -1, 64)
}

// Check returns the errors of FromMenu that can be known without weights and statistics: of names, of shapes, and of a budget below the least.
func (o MenuOptions) Check(ckpt *checkpoint.Checkpoint) error {
	all, err := o.sized(ckpt)
	if err == nil {
		_, err = all.choose()
	}
	return err
}

// data reports whether there are statistics.
func (o MenuOptions) data() bool { return o.Data || o.Stats != nil }

// sizedMenus are the ways to store each weight, and each set of weights with something in common, of which only the sizes are known until they are priced.
type sizedMenus struct {
	room     room
	menus    [][]entry // of each line of room
	sets     []*set
	together [][]option // of each set
}

func (o MenuOptions) sized(ckpt *checkpoint.Checkpoint) (all sizedMenus, err error) {
	if all.room, err = roomOf(ckpt, o.BitsPerWeight, 32); err != nil {
		return all, err
	}
	if all.menus, err = o.menus(ckpt, all.room.lines); err != nil || o.Share == nil {
		return all, err
	}
	all.sets, all.together, err = o.setsOf(ckpt, all.room.lines)
	return all, err
}

// choose picks the ways to store all weights in the room by what they lose; while nothing is priced, the smallest.
func (all *sizedMenus) choose() ([]option, error) {
	options := all.options()
	chosen, ok := allocate(options, all.room.bytes-all.room.kept)
	if ok {
		return chosen, nil
	}
	least := all.room.kept
	for _, menu := range options {
		least += slices.MinFunc(menu, func(a, b option) int { return cmp.Compare(a.Bytes, b.Bytes) }).Bytes
	}
	return nil, all.room.tooSmall(least, "the smallest codecs of the menu")
}

// choice lets allocate look at what embeds approx.Choice.
func (e entry) choice() approx.Choice  { return e.Choice }
func (o option) choice() approx.Choice { return o.Choice }

// choicesOf returns sizes and losses alone.
func choicesOf[T interface{ choice() approx.Choice }](menus [][]T) [][]approx.Choice {
	choices := make([][]approx.Choice, len(menus))
	for i, menu := range menus {
		for _, e := range menu {
			choices[i] = append(choices[i], e.choice())
		}
	}
	return choices
}

// allocate picks one of each menu; ok is false if the smallest exceed the budget.
func allocate[T interface{ choice() approx.Choice }](menus [][]T, budget int64) (picked []T, ok bool) {
	chosen, ok := approx.Allocate(choicesOf(menus), budget)
	for i, k := range chosen {
		picked = append(picked, menus[i][k])
	}
	return picked, ok
}

// menus returns the ways to store each line's weight, with their sizes.
func (o MenuOptions) menus(ckpt *checkpoint.Checkpoint, lines []Line) ([][]entry, error) {
	multiplied, err := o.rules(o.data())
	if err != nil {
		return nil, err
	}
	for _, name := range (&Line{Method: o.Method}).methods() {
		if name != "" && !slices.ContainsFunc(multiplied, func(r Rule) bool { return slices.Contains((&Line{Method: r.Method}).methods(), name) }) {
			return nil, fmt.Errorf("method %q solves no codec of the menu, or is not known; choose another of %s, or leave it out", name, strings.Join(Methods(), ", "))
		}
	}
	lookedUp, err := o.rules(false)
	if err != nil {
		return nil, err
	}
	asTheyAre, err := Resolve(ckpt, Keep())
	if err != nil {
		return nil, err
	}
	kept := map[string]Line{}
	for _, l := range asTheyAre.Lines() {
		kept[l.Weight] = l
	}
	menus := make([][]entry, len(lines))
	for i, l := range lines {
		rules := multiplied
		if l.lookedUp() {
			rules = lookedUp
		}
		if menus[i], err = menuOf(l, kept[l.Weight], rules); err != nil {
			return nil, err
		}
	}
	return menus, nil
}

// rules returns a rule for each codec of the list; with data their methods may ask for statistics.
func (o MenuOptions) rules(data bool) ([]Rule, error) {
	if len(o.Codecs) == 0 {
		return nil, errors.New("the menu is empty; list codecs, as int2-g64,int3-g64,int4-g64")
	}
	var rules []Rule
	for _, name := range o.Codecs {
		if name == keepMethod {
			rules = append(rules, Rule{Keep: true})
			continue
		}
		c, err := codec.Parse(name)
		if err != nil {
			return nil, err
		}
		if _, shared := c.(codec.Atoms); shared {
			return nil, fmt.Errorf("%s is of what weights have in common, which a weight alone cannot have", name)
		}
		r := Rule{Match: Patterns{"*"}, Method: suiting(c, o.Method, data), Codec: c.Name(), Search: o.Search}
		if _, err := r.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// menuOf returns what the rules make of a line, or of kept, the line of the weight as it is stored: those that fit its shape, else what stands in
// for them. Embedding and head are left whole by what prunes or factors.
func menuOf(l, kept Line, rules []Rule) (fit []entry, err error) {
	var others []entry
	for _, rule := range rules {
		e := entry{rule: rule, line: kept}
		standsIn := false
		if !rule.Keep {
			if ends, ok := wholeEnds(rule); ok && slices.Contains(ends.Match, l.Role) {
				e.rule, standsIn = ends, true
			}
			e.line = l
			if bad := e.line.choose(&e.rule); bad != nil {
				err = errors.Join(err, bad)
				continue
			}
		}
		e.Bytes = e.line.Bytes
		if standsIn || !rule.Keep && e.line.Note != "" {
			others = append(others, e)
		} else {
			fit = append(fit, e)
		}
	}
	if fit == nil {
		fit = others
	}
	if fit == nil {
		return nil, fmt.Errorf("%w; list another codec, or keep", err)
	}
	return fit, nil
}

// price finds what a line's weight loses by each entry.
func (o MenuOptions) price(ctx context.Context, ckpt *checkpoint.Checkpoint, l *Line, menu []entry) error {
	var w tensor.Mat
	for i := range menu {
		e := &menu[i]
		m, err := e.line.NewMethod()
		if err != nil {
			return err
		}
		if m == nil {
			continue // kept: nothing is lost
		}
		if w.Rows == 0 {
			if w, err = wholeWeight(ckpt, l); err != nil {
				return err
			}
		}
		p := approx.Problem{Name: l.Weight, W: w, Workers: o.Workers, Context: ctx}
		if p.Stats, p.Fisher, err = l.known(o.Stats, m); err != nil {
			return err
		}
		if e.Loss, err = o.loss(ctx, m, p, l.cost()); err != nil {
			return fmt.Errorf("%s: %w", e.line.Codec, err)
		}
	}
	return nil
}

// loss returns what p's weight loses by m: what the network does, or what its outputs do times cost.
func (o MenuOptions) loss(ctx context.Context, m approx.Method, p approx.Problem, cost float64) (float64, error) {
	if o.Prober == nil {
		loss, err := approx.Predict(m, p)
		return cost * loss, err
	}
	term, _, err := m.Solve(p)
	if err != nil {
		return 0, err
	}
	return o.Prober.KL(ctx, p.Name, term)
}

// known returns what a set knows of a line's weight: the statistics of its input, of an embedding how often rows are read, as far as the method
// looks at that, and squared gradients.
func (l *Line) known(set *calib.Set, m approx.Method) (*calib.Stats, *calib.Fisher, error) {
	if set == nil {
		return nil, nil, nil
	}
	stats, err := l.StatsIn(set, m, calib.Gram)
	if err != nil {
		return nil, nil, err
	}
	fisher, err := set.FisherOf(l.Weight)
	return stats, fisher, err
}
