package approx

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// total adds up what is chosen.
func total(menus [][]Choice, chosen []int) (bytes int64, loss float64) {
	for i, k := range chosen {
		bytes += menus[i][k].Bytes
		loss += menus[i][k].Loss
	}
	return bytes, loss
}

// Menus of convex losses in steps of equal bytes are solved exactly: no other choice within the budget loses less.
func TestAllocationOfConvexMenusIsTheBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		menus := make([][]Choice, 3)
		for i := range menus {
			drops := make([]float64, 5)
			for k := range drops {
				drops[k] = rng.ExpFloat64()
			}
			slices.SortFunc(drops, func(a, b float64) int { return int(math.Copysign(1, b-a)) })
			loss := 10.0
			for k, d := range drops {
				loss -= d / 5
				menus[i] = append(menus[i], Choice{Bytes: int64(10 * (k + 1)), Loss: loss})
			}
		}
		for budget := int64(30); budget <= 160; budget += 13 {
			chosen, ok := Allocate(menus, budget)
			if !ok {
				t.Fatalf("nothing within %d bytes", budget)
			}
			bytes, loss := total(menus, chosen)
			if bytes > budget {
				t.Fatalf("%d bytes of %d", bytes, budget)
			}
			for k := range 125 {
				other := []int{k % 5, k / 5 % 5, k / 25}
				if b, l := total(menus, other); b <= budget && l < loss-1e-9 {
					t.Fatalf("budget %d: %v loses %g, %v %g", budget, chosen, loss, other, l)
				}
			}
		}
	}
}

func TestAllocationSkipsWhatIsNotWorthItsBytes(t *testing.T) {
	menu := []Choice{{10, 8}, {20, 7.9}, {30, 1}, {40, 5}, {41, 0}}
	for budget, want := range map[int64]int{10: 0, 25: 0, 30: 2, 40: 2, 41: 4, 100: 4} {
		if chosen, ok := Allocate([][]Choice{menu}, budget); !ok || chosen[0] != want {
			t.Errorf("%d bytes: %v %v, want %d", budget, chosen, ok, want)
		}
	}
	if _, ok := Allocate([][]Choice{menu, menu}, 19); ok {
		t.Error("a budget below the smallest choices is met")
	}
}

// Budgets that the steps taken use up have no better choice at all, whether on hulls or not, convex or not.
func TestAllocationIsTheBestWhereStepsFit(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		menus := make([][]Choice, 3)
		steps := 0
		for i := range menus {
			for range 5 {
				menus[i] = append(menus[i], Choice{Bytes: 1 + rng.Int64N(60), Loss: rng.Float64()})
			}
			steps += len(lowerHull(menus[i])) - 1
		}
		best := func(budget int64) float64 {
			least := math.Inf(1)
			for k := range 125 {
				if b, l := total(menus, []int{k % 5, k / 5 % 5, k / 25}); b <= budget {
					least = min(least, l)
				}
			}
			return least
		}
		exact := map[int64]bool{}
		for budget := int64(0); budget <= 180; budget++ {
			chosen, ok := Allocate(menus, budget)
			if !ok {
				if !math.IsInf(best(budget), 1) {
					t.Fatalf("nothing within %d bytes", budget)
				}
				continue
			}
			bytes, loss := total(menus, chosen)
			if bytes > budget {
				t.Fatalf("%d bytes of %d", bytes, budget)
			}
			if bytes == budget && onFrontier(menus, chosen) {
				exact[budget] = true
				if want := best(budget); loss > want+1e-12 {
					t.Fatalf("budget %d: loses %g, possible %g", budget, loss, want)
				}
			}
		}
		if len(exact) != steps+1 {
			t.Errorf("%d budgets used up, %d steps", len(exact), steps)
		}
	}
}

// onFrontier reports whether no step that was left out gains more for a byte than one that was taken.
func onFrontier(menus [][]Choice, chosen []int) bool {
	taken, left := math.Inf(1), 0.0
	for i, menu := range menus {
		hull := lowerHull(menu)
		at := slices.Index(hull, chosen[i])
		if at > 0 {
			taken = min(taken, -slope(menu, hull[at-1], hull[at]))
		}
		if at+1 < len(hull) {
			left = max(left, -slope(menu, hull[at], hull[at+1]))
		}
	}
	return taken >= left
}

// The hull of the sums of a set's menus is that of all their combinations.
func TestSumsAreTheHullOfAllCombinations(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 40 {
		menus := make([][]Choice, 3)
		for i := range menus {
			for range 4 {
				menus[i] = append(menus[i], Choice{Bytes: 1 + rng.Int64N(60), Loss: rng.Float64()})
			}
		}
		var all []Choice
		for k := range 64 {
			b, l := total(menus, []int{k % 4, k / 4 % 4, k / 16})
			all = append(all, Choice{b, l})
		}
		hull, points := lowerHull(all), Sums(menus)
		if len(hull) != len(points) {
			t.Fatalf("%d points, the hull has %d", len(points), len(hull))
		}
		for i, p := range points {
			if b, l := total(menus, p); b != all[hull[i]].Bytes || math.Abs(l-all[hull[i]].Loss) > 1e-12 {
				t.Errorf("point %d: %d bytes lose %g, of all combinations %+v", i, b, l, all[hull[i]])
			}
		}
	}
}
