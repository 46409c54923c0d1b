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

// setsOf returns the sets of weights that may have something in common, and the ways to store each so, with their sizes.
func (o MenuOptions) setsOf(ckpt *checkpoint.Checkpoint, lines []Line) (sets []*set, together [][]option, err error) {
	config, err := ckpt.Config()
	if err != nil {
		return nil, nil, fmt.Errorf("sets of weights: %w", err)
	}
	probe := *o.Share
	probe.Keep, probe.Rank = 1, 0
	if err := probe.Check(); err != nil {
		return nil, nil, err
	}
	sets = probe.sets(&Plan{Blocks: []Block{{Lines: lines}}}, config)
	var why error
	offered := 0
	for _, t := range sets {
		list, err := o.together(t, &why)
		if err != nil {
			return nil, nil, err
		}
		offered += len(list)
		together = append(together, list)
	}
	if offered == 0 {
		return nil, nil, errors.Join(errors.New("no weights can have anything in common in a codec of the menu"), why)
	}
	return sets, together, nil
}

// options returns the ways to store each set that may have something in common, and each weight that is in none.
func (all *sizedMenus) options() (list [][]option) {
	members := map[string]*set{} // by weight
	for _, t := range all.sets {
		for _, l := range t.members {
			members[l.Weight] = t
		}
	}
	alone := map[*set][][]entry{}
	for i, menu := range all.menus {
		if t := members[all.room.lines[i].Weight]; t != nil {
			alone[t] = append(alone[t], menu)
			continue
		}
		list = append(list, apart([][]entry{menu}))
	}
	for i, t := range all.sets {
		list = append(list, append(apart(alone[t]), all.together[i]...))
	}
	return list
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
func (o MenuOptions) together(t *set, why *error) (list []option, err error) {
	rules, err := o.rules(o.data())
	if err != nil {
		return nil, err
	}
	for _, rule := range rules {
		if rule.Keep {
			continue
		}
		for _, keep := range menuKeeps() {
			option, bad := t.stored(*o.Share, rule, keep)
			if bad != nil {
				*why = bad
				continue
			}
			list = append(list, option)
		}
	}
	return list, nil
}

// priceSets finds what a set's members lose together by each way to store them.
func (o MenuOptions) priceSets(ctx context.Context, ckpt *checkpoint.Checkpoint, t *set, list []option) error {
	if len(list) == 0 {
		return nil
	}
	m, err := o.members(ckpt, t, approx.Members{Workers: o.Workers, Context: ctx})
	if err != nil {
		return err
	}
	for i := range list {
		if err := o.priceSet(ctx, &list[i], m); err != nil {
			return fmt.Errorf("%s, %s: %w", t.short(), list[i].entries[0].rule.Codec, err)
		}
	}
	return nil
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

// stored returns what a set's members and what they have in common are by a rule, with sizes; or why that cannot be.
func (t *set) stored(s Sharing, rule Rule, keep float64) (o option, err error) {
	own := set{name: t.name, block: t.block}
	o.entries = make([]entry, len(t.members))
	for i, l := range t.members {
		e := &o.entries[i]
		e.rule, e.line = rule, *l
		if err := e.line.choose(&rule); err != nil {
			return o, err
		}
		own.members = append(own.members, &e.line)
	}
	s.Keep, s.Rank, o.keep = keep, 0, keep
	if o.common, err = own.resolve(s); err != nil {
		return o, err
	}
	o.Bytes = o.common.Bytes
	for i := range o.entries {
		o.Bytes += o.entries[i].line.Bytes
	}
	return o, nil
}

// priceSet finds it for one way.
func (o MenuOptions) priceSet(ctx context.Context, to *option, m approx.Members) error {
	sharer, err := to.common.NewSharer()
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
