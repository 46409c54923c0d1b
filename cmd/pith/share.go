package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/observe"
	"pith/plan"
	"pith/structure"
)

// sharingFlags say what weights have in common.
type sharingFlags struct {
	method string
	groups string
	match  []string
	atoms  string
	rank   int
	keep   float64

	changed func(flag string) bool
}

func (f *sharingFlags) add(c *cobra.Command) {
	p := c.Flags()
	f.changed = p.Changed
	p.StringVar(&f.method, "share", "", "what weights have in common: "+strings.Join(plan.SharingMethods(), ", ")+" (joint: q, k and v, gate and up, within each layer unless groups are given)")
	p.StringVar(&f.groups, "share-groups", "all", "with --share: the layers that share, all, groups of so many neighbours, as 4, groups, as 0-3|4-7, or so many groups, cut where predictions on --text drift most, as kl:2")
	p.StringSliceVar(&f.match, "share-roles", []string{"attention"}, "with --share: which weights, by roles or globs, as in recipes")
	p.StringVar(&f.atoms, "share-atoms", "", "with --share matrix-pca: atoms of a group, as 2, or for each of its layers, as 0.5")
	p.IntVar(&f.rank, "share-rank", 0, "with --share: rank of the common factor; with matrix-pca of each weight's own term")
	p.Float64Var(&f.keep, "share-keep", 0, "with --share: of these weights' bytes in their codec, the share that is kept, as 0.8: the largest rank that fits (with --menu it is chosen for each set)")
	offer(c, "share", plan.SharingMethods()...)
}

// asked returns what the flags say of sharing but for the layers that share, nil if nothing is to be shared. menu says whether how much is kept of each
// set will be chosen.
func (f *sharingFlags) asked(menu bool) (*plan.Sharing, error) {
	if f.method == "" {
		for _, flag := range []string{"share", "share-groups", "share-roles", "share-atoms", "share-rank", "share-keep"} {
			if f.changed(flag) {
				return nil, fmt.Errorf("--%s: say with --share METHOD what weights have in common: %s", flag, strings.Join(plan.SharingMethods(), ", "))
			}
		}
		return nil, nil
	}
	s := &plan.Sharing{Method: f.method, Match: f.match, Rank: f.rank, Keep: f.keep}
	if menu && (f.keep != 0 || f.rank != 0) {
		return nil, errors.New("--share-keep and --share-rank are what --menu chooses; leave them out")
	}
	if f.atoms != "" {
		if f.method != plan.MatrixPCA {
			return nil, errors.New("--share-atoms goes with --share matrix-pca")
		}
		var err error
		if strings.Contains(f.atoms, ".") {
			s.AtomShare, err = strconv.ParseFloat(f.atoms, 64)
		} else {
			s.Atoms, err = strconv.Atoi(f.atoms)
		}
		if err != nil || s.Atoms < 0 || s.AtomShare < 0 || s.AtomShare > 1 || s.Atoms == 0 && s.AtomShare == 0 {
			return nil, fmt.Errorf("--share-atoms %q: give how many atoms, as 2, or a share of the layers, as 0.5", f.atoms)
		}
	}
	checked := *s
	if menu {
		checked.Keep = 1
	}
	if err := checked.Check(); err != nil {
		return nil, fmt.Errorf("--share %s: %w", f.method, err)
	}
	return s, nil
}

// record returns what a plan says of sharing, nil if nothing is to be shared.
func (f *sharingFlags) record(ctx context.Context, c *checkpoint.Checkpoint, texts *calibrationFlags, menu bool, workers int, progress io.Writer) (*plan.Sharing, error) {
	s, err := f.asked(menu)
	if s == nil || err != nil {
		return nil, err
	}
	if f.method == plan.Joint && !f.changed("share-groups") {
		return s, nil // within each layer
	}
	asked, err := structure.ParseGroups(f.groups)
	if err != nil {
		return nil, fmt.Errorf("--share-groups %w", err)
	}
	if asked.Count > 1 && texts.stats != "" {
		return nil, fmt.Errorf("--share-groups %s reads --text, and --stats are given: pith plan with --text shows the groups, which can be named here", f.groups)
	}
	if asked.Count <= 1 {
		s.Groups, err = structure.GroupLayers(ctx, c, nil, asked, structure.Options{})
	} else {
		s.Chosen = f.groups
		work := surgery{ckpt: c, texts: texts, workers: workers, progress: progress, record: &plan.Structure{}}
		err = work.measured(rankWindows, func(texts []observe.Text, o structure.Options) (err error) {
			s.Groups, err = structure.GroupLayers(ctx, c, texts, asked, o)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("--share-groups %s: %w", f.groups, err)
	}
	return s, nil
}

// sharingLine says what weights of a plan have in common.
func sharingLine(p *plan.Plan) string {
	s := p.Sharing
	var own, common int64
	sets, members := 0, 0
	for _, l := range p.Lines() {
		switch {
		case l.Common():
			sets, common = sets+1, common+l.Bytes
		case l.Set != "":
			members, own = members+1, own+l.Bytes
		}
	}
	groups := ""
	if len(s.Groups) > 0 {
		var all []string
		for _, g := range s.Groups {
			all = append(all, numbers(g))
		}
		groups = ", layers " + strings.Join(all, " | ")
	}
	return fmt.Sprintf("shared      %d weights in %d sets by %s%s: %d bytes in common, %d their own", members, sets, s.Method, groups, common, own)
}
