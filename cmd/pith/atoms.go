package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pith/eval"
	"pith/internal/human"
	"pith/model"
)

// atomsFlag says how weights made of atoms are multiplied.
func atomsFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "atoms", string(model.Direct), "how weights made of atoms are multiplied: direct (by each atom), fold (made once in float32, 4 bytes a weight of memory), materialise (two layers at a time, the next made while one multiplies), "+
		"or auto: direct or fold by the size of the cache, which auto:32MiB gives; last bits of logits differ")
	var names []string
	for _, p := range model.Policies() {
		names = append(names, string(p))
	}
	offer(c, "atoms", names...)
}

// parseAtoms reads what atomsFlag takes.
func parseAtoms(text string) (o eval.AtomsOptions, err error) {
	name, size, given := strings.Cut(text, ":")
	o.Policy = model.Policy(name)
	switch {
	case !slices.Contains(model.Policies(), o.Policy):
		return o, fmt.Errorf("--atoms %s: choose one of %v", text, model.Policies())
	case !given:
		return o, nil
	case o.Policy != model.AutoPolicy:
		return o, fmt.Errorf("--atoms %s: the size of a cache goes with auto", text)
	}
	if o.Cache, err = human.ParseSize(size); err == nil && o.Cache <= 0 {
		err = errors.New("a cache has a size")
	}
	if err != nil {
		return o, fmt.Errorf("--atoms %s: %w", text, err)
	}
	return o, nil
}

// atomsLine says how weights made of atoms are multiplied, and what the choice between direct and fold goes by.
func atomsLine(c *model.Choice) string {
	line := fmt.Sprintf("multiplied by policy %s", c.Policy)
	if c.Made > 0 {
		line += fmt.Sprintf(", %s of memory", human.Size(c.Made))
	}
	cache := c.On.Cache
	if cache == 0 {
		return line + "; the size of the cache is not known"
	}
	reads := func(r model.Reads) string {
		return fmt.Sprintf("reads %s, %s from beyond, cost %s", human.Size(r.Token), human.Size(r.Beyond(cache)), human.Size(r.Cost(cache)))
	}
	line += fmt.Sprintf("; with a cache of %s a token by direct %s; by fold %s", human.Size(cache), reads(c.Direct), reads(c.Fold))
	if c.On.Memory > 0 && c.Fold.Held > c.On.Memory {
		line += fmt.Sprintf(", if there were %s of memory", human.Size(c.Fold.Held))
	}
	return line
}
