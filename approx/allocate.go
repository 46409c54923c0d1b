package approx

import (
	"cmp"
	"slices"
)

// Choice is one way to store a weight, or several that have something in common: its exact size and what is lost by it, in a unit that all menus of
// an allocation have.
type Choice struct {
	Bytes int64
	Loss  float64
}

// Allocate picks one choice of each menu such that the bytes add up to at most budget, and the losses to as little as steps along the menus' lower
// convex hulls reach: those that gain most for a byte first, while they fit. ok is false if the
// smallest choices together exceed the budget.
func Allocate(menus [][]Choice, budget int64) (chosen []int, ok bool) {
	chosen, steps := walk(menus)
	for i, k := range chosen {
		budget -= menus[i][k].Bytes
	}
	if budget < 0 {
		return nil, false
	}
	full := make([]bool, len(menus))
	for _, s := range steps {
		if full[s.menu] || s.bytes > budget {
			full[s.menu] = true // a later step of this menu starts where this one ends
			continue
		}
		chosen[s.menu] = s.to
		budget -= s.bytes
	}
	return chosen, true
}

// Sums returns the lower convex hull of all sums of one choice from each menu, from the smallest to the one with the least loss: which choices
// each point is of. It is the menus' own hulls, their steps merged.
func Sums(menus [][]Choice) (points [][]int) {
	at, steps := walk(menus)
	points = append(points, slices.Clone(at))
	for _, s := range steps {
		at[s.menu] = s.to
		points = append(points, slices.Clone(at))
	}
	return points
}

// step is one along a menu's hull.
type step struct {
	menu, to int
	bytes    int64
	gain     float64 // loss saved for a byte
}

// walk returns where every menu's hull begins, and the steps along all of them, those that gain most for a byte first.
func walk(menus [][]Choice) (start []int, steps []step) {
	for i, menu := range menus {
		hull := lowerHull(menu)
		start = append(start, hull[0])
		for k := 1; k < len(hull); k++ {
			a, b := menu[hull[k-1]], menu[hull[k]]
			steps = append(steps, step{i, hull[k], b.Bytes - a.Bytes, (a.Loss - b.Loss) / float64(b.Bytes-a.Bytes)})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(b.gain, a.gain) }) // of one menu they fall, so its steps stay in order
	return start, steps
}

// lowerHull returns the indices of a menu's lower convex hull in the order of bytes, from the smallest to the one with the least loss. Of
// choices of equal bytes it has the one that loses least.
func lowerHull(menu []Choice) []int {
	order := make([]int, len(menu))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(menu[a].Bytes, menu[b].Bytes), cmp.Compare(menu[a].Loss, menu[b].Loss))
	})
	var hull []int
	for _, i := range order {
		if n := len(hull); n > 0 && (menu[i].Loss >= menu[hull[n-1]].Loss || menu[i].Bytes == menu[hull[n-1]].Bytes) {
			continue
		}
		for len(hull) >= 2 && slope(menu, hull[len(hull)-2], i) <= slope(menu, hull[len(hull)-2], hull[len(hull)-1]) {
			hull = hull[:len(hull)-1]
		}
		hull = append(hull, i)
	}
	return hull
}

// slope is how much loss changes for a byte from choice a to b.
func slope(menu []Choice, a, b int) float64 {
	return (menu[b].Loss - menu[a].Loss) / float64(menu[b].Bytes-menu[a].Bytes)
}
