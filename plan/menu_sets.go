package plan

import (
	"context"
	"errors"
	"fmt"

	"pith/approx"
	"pith/calib"
	"pith/checkpoint"
)

// menuKeeps are the shares that sets of a menu may keep.
func menuKeeps() []float64 { return []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.9} }

// options returns the ways to store each set that may have something in common, and each weight that is in none.
func (o MenuOptions) options(ctx context.Context, ckpt *checkpoint.Checkpoint, lines []Line, menus [][]entry) ([][]option, error) {
	members := map[string]*set{} // by weight
	var sets []*set
	if o.Share != nil {
		config, err := ckpt.Config()
		if err != nil {
			return nil, fmt.Errorf("sets of weights: %w", err)
		}
		probe := *o.Share
		probe.Keep, probe.Rank = 1, 0
		if err := probe.check(); err != nil {
			return nil, err
		}
		sets = probe.sets(&Plan{Blocks: []Block{{Lines: lines}}}, config)
		for _, t := range sets {
			for _, l := range t.members {
				members[l.Weight] = t
			}
		}
	}
	alone := map[*set][][]entry{}
	var all [][]option
	for i, menu := range menus {
		if t := members[lines[i].Weight]; t != nil {
			alone[t] = append(alone[t], menu)
			continue
		}
		all = append(all, apart([][]entry{menu}))
	}
	var why error
	offered := 0
	for _, t := range sets {
		together, err := o.together(ctx, ckpt, t, &why)
		if err != nil {
			return nil, err
		}
		offered += len(together)
		all = append(all, append(apart(alone[t]), together...))
	}
	if o.Share != nil && offered == 0 {
		return nil, errors.Join(errors.New("no weights can have anything in common in a codec of the menu"), why)
	}
	return all, nil
}

// apart returns the ways to store weights each for itself that are worth their bytes.
func apart(menus [][]entry) (list []option) {
	for _, point := range approx.Sums(choicesOf(menus)) {
		var o option
		for i, k := range point {
			e := menus[i][k]
			o.entries = append(o.entries, e)
			o.Bytes += e.Bytes
			o.Loss += e.Loss
		}
		list = append(list, o)
	}
	return list
}

// together returns the ways to store a set's members with something in common: in every codec of the list that can, at every share. The reason why
// the last was none goes to why.
func (o MenuOptions) together(ctx context.Context, ckpt *checkpoint.Checkpoint, t *set, why *error) (list []option, err error) {
	rules, err := o.rules(o.Stats != nil)
	if err != nil {
		return nil, err
	}
	m := approx.Members{Workers: o.Workers, Context: ctx}
	for _, rule := range rules {
		if rule.Keep {
			continue
		}
		for _, keep := range menuKeeps() {
			common, option, bad := t.stored(*o.Share, rule, keep)
			if bad != nil {
				*why = bad
				continue
			}
			if m.W == nil {
				if m, err = o.members(ckpt, t, m); err != nil {
					return nil, err
				}
			}
			if err := o.priceSet(ctx, common, &option, m); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", t.short(), rule.Codec, err)
			}
			list = append(list, option)
		}
	}
	return list, nil
}

// members reads a set's weights and their statistics.
func (o MenuOptions) members(ckpt *checkpoint.Checkpoint, t *set, m approx.Members) (approx.Members, error) {
	for _, l := range t.members {
		w, err := wholeWeight(ckpt, l)
		if err != nil {
			return m, err
		}
		var stats *calib.Stats
		if o.Stats != nil {
			if stats, err = o.Stats.For(l.Weight, l.Cols, calib.Gram); err != nil {
				return m, err
			}
		}
		m.Names, m.W, m.Stats = append(m.Names, l.Weight), append(m.W, w), append(m.Stats, stats)
	}
	return m, nil
}

// stored returns the line of what a set's members have in common by a rule and what each is then, with sizes; or why that cannot be.
func (t *set) stored(s Sharing, rule Rule, keep float64) (common Line, o option, err error) {
	own := set{name: t.name, block: t.block}
	o.entries = make([]entry, len(t.members))
	for i, l := range t.members {
		e := &o.entries[i]
		e.rule, e.line = rule, *l
		if err := e.line.choose(&rule); err != nil {
			return common, o, err
		}
		own.members = append(own.members, &e.line)
	}
	s.Keep, s.Rank, o.keep = keep, 0, keep
	if common, err = own.resolve(s); err != nil {
		return common, o, err
	}
	o.Bytes = common.Bytes
	for i := range o.entries {
		o.Bytes += o.entries[i].line.Bytes
	}
	return common, o, nil
}

// priceSet finds what a set's members lose together.
func (o MenuOptions) priceSet(ctx context.Context, common Line, to *option, m approx.Members) error {
	sharer, err := common.NewSharer()
	if err != nil {
		return err
	}
	terms, _, err := sharer.Share(m)
	if err != nil {
		return err
	}
	for i := range to.entries {
		l := &to.entries[i].line
		method, err := l.NewMethod()
		if err != nil {
			return err
		}
		p := approx.Problem{Name: l.Weight, W: m.W[i], Stats: m.Stats[i], Shared: terms, Workers: o.Workers, Context: ctx}
		loss, err := o.loss(ctx, method, p, l.cost())
		if err != nil {
			return err
		}
		to.Loss += loss
	}
	return nil
}
