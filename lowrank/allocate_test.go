package lowrank

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
				menus[i] = append(menus[i], Choice{Rank: k + 1, Bytes: int64(10 * (k + 1)), Loss: loss})
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
	menu := []Choice{{1, 10, 8}, {2, 20, 7.9}, {3, 30, 1}, {4, 40, 5}, {0, 41, 0}}
	for budget, want := range map[int64]int{10: 0, 25: 0, 30: 2, 40: 2, 41: 4, 100: 4} {
		if chosen, ok := Allocate([][]Choice{menu}, budget); !ok || chosen[0] != want {
			t.Errorf("%d bytes: %v %v, want %d", budget, chosen, ok, want)
		}
	}
	if _, ok := Allocate([][]Choice{menu, menu}, 19); ok {
		t.Error("a budget below the smallest choices is met")
	}
}
