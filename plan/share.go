package plan

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pith/approx"
	"pith/codec"
	"pith/lowrank"
	"pith/model"
)

// Ways for weights to have something in common that is stored once.
const (
	// MatrixPCA: weights of a group's layers are combinations of atoms, and each may have a low-rank term of its own on top.
	MatrixPCA = "matrix-pca"
	// BasisV and BasisU: weights of a group's layers are products with one right or left factor in common.
	BasisV = "basis-v"
	BasisU = "basis-u"
	// Joint is BasisV among weights that read the same input, queries, keys and values, or gate and up: those of one layer, or, with groups, of
	// all layers of a group.
	Joint = "joint"
)

// SharingMethods lists them.
func SharingMethods() []string { return []string{MatrixPCA, BasisV, BasisU, Joint} }

// Sharing says which weights have something in common, and how much of them is kept.
type Sharing struct {
	Method    string   `json:"method"`
	Match     Patterns `json:"match"`                // roles or globs: which weights
	Groups    [][]int  `json:"groups,omitempty"`     // layers that share with one another; none: each layer for itself (Joint)
	Atoms     int      `json:"atoms,omitempty"`      // of a group (MatrixPCA); 0: by AtomShare
	AtomShare float64  `json:"atom_share,omitempty"` // atoms for each layer of a group
	Rank      int      `json:"rank,omitempty"`       // of a weight's own term, or of the common factor; 0: by Keep
	Keep      float64  `json:"keep,omitempty"`       // of the bytes that the weights of a set would take alone, what the set takes at most
	Chosen    string   `json:"chosen,omitempty"`     // how the groups were found; "": by the user

	// Keeps is Keep of each set by its name; sets that it does not name have nothing in common. nil: Keep is that of all.
	Keeps map[string]float64 `json:"keeps,omitempty"`
}

// setPrefix begins the names under which a set's tensors are stored; no weight has such a name.
const setPrefix = "pith.shared."

// sharedBlock is the block of what weights of several layers have in common, the first of a plan.
const sharedBlock = "shared"

// Share changes a plan such that weights have in common what s says, each in the codec that it would have alone.
func Share(p *Plan, cfg model.Config, s Sharing) error {
	if err := s.Check(); err != nil {
		return err
	}
	sets := s.sets(p, cfg)
	if len(sets) == 0 {
		return fmt.Errorf("no two weights that match %s have anything in common; check --share-roles and --share-groups", strings.Join(s.Match, ", "))
	}
	common := Block{Name: sharedBlock}
	for _, set := range sets {
		own := s
		if s.Keeps != nil {
			own.Keep = s.Keeps[set.short()]
		}
		line, err := set.resolve(own)
		if err != nil {
			return fmt.Errorf("%s: %w", set.short(), err)
		}
		common.Lines = append(common.Lines, line)
	}
	if !s.within() {
		p.Blocks = slices.Insert(p.Blocks, 0, common)
	} else {
		for i, set := range sets {
			b := &p.Blocks[set.block]
			at := slices.IndexFunc(b.Lines, func(l Line) bool { return l.Set == set.name })
			b.Lines = slices.Insert(b.Lines, at, common.Lines[i])
		}
	}
	p.Sharing = &s
	p.followOwners()
	p.Totals.Bytes = 0
	for _, l := range p.Lines() {
		p.Totals.Bytes += l.Bytes
	}
	p.Totals.BitsPerWeight = 8 * float64(p.Totals.Bytes) / float64(max(1, p.Totals.Weights))
	return nil
}

// followOwners says of aliases how the weights are stored now that they are aliases of.
func (p *Plan) followOwners() {
	codecs := map[string]string{}
	for b := range p.Blocks {
		for i := range p.Blocks[b].Lines {
			l := &p.Blocks[b].Lines[i]
			if c, known := codecs[l.Of]; known {
				l.Codec = c
			}
			codecs[l.Weight] = l.Codec
		}
	}
}

// Check says what is impossible whatever the model.
func (s *Sharing) Check() error {
	switch {
	case !slices.Contains(SharingMethods(), s.Method):
		return fmt.Errorf("unknown way to share %q: choose one of %s", s.Method, strings.Join(SharingMethods(), ", "))
	case !(s.Keep >= 0 && s.Keep <= 1) || s.Rank < 0 || s.Atoms < 0 || !(s.AtomShare >= 0 && s.AtomShare <= 1):
		return errors.New("shares are from 0 to 1, ranks and atoms whole numbers")
	case s.Method == MatrixPCA && s.Atoms == 0 && s.AtomShare == 0:
		return errors.New("how many atoms? give a number, or a share of the layers with a point, as 0.5")
	case s.Method != MatrixPCA && s.Rank == 0 && s.Keep == 0 && s.Keeps == nil:
		return errors.New("of which rank? give it, or a share to keep, as 0.8")
	}
	for name, keep := range s.Keeps {
		if !(keep > 0 && keep <= 1) {
			return fmt.Errorf("set %s: shares to keep are above 0 and up to 1", name)
		}
	}
	for _, m := range s.Match {
		if err := checkPattern(m); err != nil {
			return err
		}
	}
	return nil
}

// set is weights that will have something in common.
type set struct {
	name    string
	block   int // of the plan, of its first member
	members []*Line
}

// sets finds the sets of two members or more, in the order of their first members.
func (s *Sharing) sets(p *Plan, cfg model.Config) []*set {
	byName := map[string]*set{}
	var order []*set
	for b := range p.Blocks {
		for i := range p.Blocks[b].Lines {
			l := &p.Blocks[b].Lines[i]
			name := s.setOf(l, model.LayerOf(cfg, l.Weight))
			if name == "" {
				continue
			}
			if byName[name] == nil {
				byName[name] = &set{name: setPrefix + name, block: b}
				order = append(order, byName[name])
			}
			byName[name].members = append(byName[name].members, l)
		}
	}
	return slices.DeleteFunc(order, func(t *set) bool {
		_, named := s.Keeps[t.short()]
		return len(t.members) < 2 || s.Keeps != nil && !named
	})
}

// short is the set's name as people see it.
func (t *set) short() string { return strings.TrimPrefix(t.name, setPrefix) }

// setOf names the set of a line, "" if it is in none.
func (s *Sharing) setOf(l *Line, layer int) string {
	if layer < 0 || l.Alias() || len(l.Shape) < 2 || !slices.ContainsFunc(s.Match, func(p string) bool { return matches(p, l.Weight, l.Role) }) {
		return ""
	}
	name := l.Role
	if s.Method == Joint {
		switch l.Role {
		case "attn_q", "attn_k", "attn_v":
			name = "attn_qkv"
		case "ffn_gate", "ffn_up":
			name = "ffn_gate_up"
		}
		if s.within() {
			return fmt.Sprintf("%d.%s", layer, name)
		}
	}
	for _, g := range s.Groups {
		if slices.Contains(g, layer) {
			return groupName(g) + "." + name
		}
	}
	return ""
}

// within reports whether layers have nothing in common with one another.
func (s *Sharing) within() bool { return s.Method == Joint && len(s.Groups) == 0 }

// groupName writes 0-3 for neighbours, 0_2_5 for others.
func groupName(g []int) string {
	if last := len(g) - 1; g[last]-g[0] == last {
		return fmt.Sprintf("%d-%d", g[0], g[last])
	}
	var parts []string
	for _, l := range g {
		parts = append(parts, strconv.Itoa(l))
	}
	return strings.Join(parts, "_")
}

// resolve decides codecs and bytes of the set's members, and returns the line of what they have in common.
func (t *set) resolve(s Sharing) (Line, error) {
	first := t.members[0]
	inner, err := codec.Parse(first.Codec)
	if err != nil {
		return Line{}, err
	}
	if _, sum := inner.(codec.Sum); sum {
		return Line{}, fmt.Errorf("%s is stored as the sum %s, and what weights have in common is one term; choose one codec", first.Weight, first.Codec)
	}
	store, search := first.Method, first.Search
	if first.Keeps() {
		store = defaultMethod
	}
	if strings.Contains(store, methodSeparator) || prunes(store) {
		return Line{}, fmt.Errorf("method %s cannot store what weights have in common; choose nearest or ldlq", store)
	}
	line := Line{Weight: t.name, Role: sharedBlock, Rows: first.Rows, Cols: first.Cols, Method: s.Method, Store: store, Search: search, Rule: first.Rule}
	for _, l := range t.members {
		if l.Codec != first.Codec || l.Set != "" {
			return Line{}, fmt.Errorf("%s is stored as %s and %s as %s; weights of a set have one codec: choose --codec, or a recipe that gives all of them the same, as --bpw does not", first.Weight, first.Codec, l.Weight, l.Codec)
		}
		line.Members = append(line.Members, l.Weight)
	}
	if s.Method == MatrixPCA {
		err = t.atoms(&line, s, inner)
	} else {
		err = t.basis(&line, s, inner)
	}
	line.Shape = []int{line.Rows, line.Cols}
	return line, err
}

// alone returns the bytes that the members would take each for itself.
func (t *set) alone(inner codec.Codec) (n int64) {
	for _, l := range t.members {
		n += inner.Size(l.Rows, l.Cols)
	}
	return n
}

// atoms makes the members combinations of atoms, with a low-rank term of their own if that is asked for or fits.
func (t *set) atoms(line *Line, s Sharing, inner codec.Codec) error {
	count := s.Atoms
	if count == 0 {
		count = max(1, int(s.AtomShare*float64(len(t.members))+0.5))
	}
	if count > len(t.members) || count > codec.MaxTerms {
		return fmt.Errorf("%d atoms for %d weights; ask for at most %d", count, len(t.members), min(len(t.members), codec.MaxTerms))
	}
	name := fmt.Sprintf("atoms%d-%s", count, inner.Name())
	if _, err := codec.Parse(name); err != nil {
		return err
	}
	for _, l := range t.members {
		if l.Rows != line.Rows || l.Cols != line.Cols {
			return fmt.Errorf("%s is (%d, %d) and %s (%d, %d); atoms are of one shape", t.members[0].Weight, line.Rows, line.Cols, l.Weight, l.Rows, l.Cols)
		}
	}
	common := int64(count) * inner.Size(line.Rows, line.Cols)
	line.Codec, line.Bytes = codec.SumName(slices.Repeat([]string{inner.Name()}, count)), common
	rank, own := s.Rank, func(rank int) int64 { return int64(len(t.members)) * ownTerm(inner, rank, line.Rows, line.Cols) }
	if most := int64(s.Keep*float64(t.alone(inner))) - common - int64(4*count*len(t.members)); rank == 0 && s.Keep > 0 {
		if most < 0 {
			return fmt.Errorf("%d atoms take %d bytes, more than %g of the %d that the weights take alone; ask for fewer atoms, or keep more", count, common, s.Keep, t.alone(inner))
		}
		rank = largest(min(line.Rows, line.Cols), func(r int) bool { return own(r) <= most && lowRankFits(inner, r, line.Rows, line.Cols) })
	}
	if rank > 0 {
		refine := fmt.Sprintf("lr%d-%s", rank, inner.Name())
		c, err := codec.Parse(refine)
		if err == nil {
			err = c.Check(line.Rows, line.Cols)
		}
		if err != nil {
			return err
		}
		name += "+" + refine
	}
	for _, l := range t.members {
		l.Set, l.Method, l.Store, l.Codec = t.name, MatrixPCA, line.Store, name
		l.Bytes = int64(4*count) + ownTerm(inner, rank, l.Rows, l.Cols)
	}
	return nil
}

// ownTerm returns the bytes of a low-rank term.
func ownTerm(inner codec.Codec, rank, rows, cols int) int64 {
	if rank == 0 {
		return 0
	}
	return inner.Size(rows, rank) + inner.Size(rank, cols)
}

func lowRankFits(inner codec.Codec, rank, rows, cols int) bool {
	return codec.LowRankOf(rank, inner).Check(rows, cols) == nil
}

// largest returns the largest n up to limit with ok(n), where ok holds up to some number; 0 if it does not hold for 1.
func largest(limit int, ok func(n int) bool) int {
	lo, hi := 0, limit
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if ok(mid) {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return lo
}

// basis makes the members products with a common factor.
func (t *set) basis(line *Line, s Sharing, inner codec.Codec) error {
	if _, err := codec.Parse("lr1-" + inner.Name()); err != nil {
		return err
	}
	left := s.Method == BasisU
	limit := line.Cols // what is in common has no higher rank; a member of fewer rows may have less than it could use
	if left {
		limit = line.Rows
	}
	for _, l := range t.members {
		if left && l.Rows != line.Rows || !left && l.Cols != line.Cols {
			return fmt.Errorf("%s is (%d, %d) and %s (%d, %d); they have no factor in common", t.members[0].Weight, line.Rows, line.Cols, l.Weight, l.Rows, l.Cols)
		}
	}
	bytes := func(rank int) (common int64, own []int64) {
		common = inner.Size(rank, line.Cols)
		if left {
			common = inner.Size(line.Rows, rank)
		}
		for _, l := range t.members {
			if left {
				own = append(own, inner.Size(rank, l.Cols))
			} else {
				own = append(own, inner.Size(l.Rows, rank))
			}
		}
		return common, own
	}
	rank := s.Rank
	if rank == 0 {
		most := int64(s.Keep * float64(t.alone(inner)))
		rank = largest(limit, func(r int) bool {
			common, own := bytes(r)
			for _, n := range own {
				common += n
			}
			return common <= most && inner.Check(r, line.Cols) == nil
		})
	}
	if rank < 1 || rank > limit {
		return fmt.Errorf("a common factor of rank %d, and no more than %d is possible; ask for 1 to %d, or keep another share", rank, limit, limit)
	}
	common, own := bytes(rank)
	line.Codec, line.Bytes = inner.Name(), common
	if left {
		line.Cols = rank
	} else {
		line.Rows = rank
	}
	for i, l := range t.members {
		l.Set, l.Method, l.Store, l.Codec, l.Bytes = t.name, s.Method, line.Store, fmt.Sprintf("lr%d-%s", rank, inner.Name()), own[i]
		if s.Method == Joint {
			l.Method = BasisV
		}
	}
	if s.Method == Joint { // queries, keys and values differ in size more than layers do
		line.Method, line.Relative = BasisV, true
	}
	return nil
}

// NewSharer returns what finds the terms of a set's line, nil for other lines.
func (l *Line) NewSharer() (approx.Sharer, error) {
	if len(l.Members) == 0 {
		return nil, nil
	}
	store, codecs, err := l.storing()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Weight, err)
	}
	switch l.Method {
	case MatrixPCA:
		return lowrank.MatrixPCA{Atoms: len(codecs), Store: store}, nil
	case BasisV:
		return lowrank.Basis{Rank: l.Rows, Store: store, Relative: l.Relative}, nil
	case BasisU:
		return lowrank.Basis{Rank: l.Cols, Left: true, Store: store}, nil
	}
	return nil, fmt.Errorf("%s: unknown way to share %q; make the plan again", l.Weight, l.Method)
}
