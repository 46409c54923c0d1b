package main

import (
	"cmp"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pith/trellis"
)

// short is a training that takes a moment.
func short(t *testing.T, name string, r trellis.Rate, workers int) (trellis.Table, float64) {
	c, err := trellis.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	some := rounds{free: 2, rounded: 1, chunks: 2, fade: 0.5}
	return train(c, r, budget{drawn: 2, climbed: 2, short: rounds{free: 2, chunks: 1, fade: 0.5}, probe: 4, long: some, last: some}, nil, workers)
}

func TestAnyNumberOfWorkersTrainsTheSameTable(t *testing.T) {
	one, a := short(t, "lut9", 36, 1)
	three, b := short(t, "lut9", 36, 3)
	if a != b || !reflect.DeepEqual(one, three) {
		t.Errorf("tables differ: errors %g, %g", a, b)
	}
}

// Tables of 256 entries that kernels look up by half are mirrored, and better than a scalar quantizer, which is 3.4 dB from the bound.
func TestTablesOf256EntriesAreMirrored(t *testing.T) {
	for name, r := range map[string]trellis.Rate{"lut10": 48, "lut9": 72} {
		table, mse := short(t, name, r, 2)
		for i, v := range table.Entries {
			if o := table.Entries[255-i]; v != -o {
				t.Errorf("%s at %s bits: entry %d is %d, entry %d is %d", name, r, i, v, 255-i, o)
				break
			}
		}
		if gap := trellis.Gap(mse, r); gap < 0 || gap > 3 {
			t.Errorf("%s at %s bits: %.2f dB above the bound", name, r, gap)
		}
	}
}

// The nearest centre is the one that a look at all of them finds.
func TestNearestCentre(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	centres := gaussianPairs(rng, 40)
	slices.SortFunc(centres, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
	for _, p := range gaussianPairs(rng, 500) {
		got, far := nearestOf(centres, p)
		for i, c := range centres {
			if d := math.Hypot(p[0]-c[0], p[1]-c[1]); d < far-1e-12 {
				t.Fatalf("%v: centre %d at %g is nearer than %d at %g", p, i, d, got, far)
			}
		}
	}
}
