package pruning

import (
	"fmt"
	"strconv"
	"strings"
)

// largestGroup is the largest M of N:M.
const largestGroup = 64

// Scorers returns the names that ParseScorer knows; random may be followed by -seed.
func Scorers() []string { return []string{"magnitude", "wanda", "obs", "obs-all", "pst", "random"} }

// ParseScorer returns the scorer called name.
func ParseScorer(name string) (Scorer, error) {
	for _, s := range []Scorer{Magnitude{}, Wanda{}, OBS{}, OBS{All: true}, PST{}, Random{}} {
		if s.Name() == name {
			return s, nil
		}
	}
	if text, ok := strings.CutPrefix(name, "random-"); ok {
		if seed, err := strconv.ParseUint(text, 10, 64); err == nil {
			return Random{Seed: seed}, nil
		}
	}
	return nil, fmt.Errorf("unknown scorer %q; known: %s", name, strings.Join(Scorers(), ", "))
}

// Selectors returns the names that ParseSelector knows besides N:M.
func Selectors() []string { return []string{"matrix", "row", "block", "cumulative"} }

// ParseSelector returns the selector called name.
func ParseSelector(name string) (Selector, error) {
	for _, s := range []Selector{Matrix{}, Row{}, Block{}, Cumulative{}} {
		if s.Name() == name {
			return s, nil
		}
	}
	if n, m, found := strings.Cut(name, ":"); found {
		g := Group{}
		g.N, _ = strconv.Atoi(n)
		g.M, _ = strconv.Atoi(m)
		if g.Name() == name && 0 < g.N && g.N < g.M && g.M <= largestGroup {
			return g, nil
		}
		return nil, fmt.Errorf("selector %q: N:M is for 0 < N < M ≤ %d, like 2:4", name, largestGroup)
	}
	return nil, fmt.Errorf("unknown selector %q; known: %s, N:M like 2:4", name, strings.Join(Selectors(), ", "))
}

// Solvers returns the names that ParseSolver knows.
func Solvers() []string { return []string{"zero", "obs", "refit", "obs-refit", "gradual"} }

// ParseSolver returns the solver called name.
func ParseSolver(name string) (Solver, error) {
	for _, s := range []Solver{Zero{}, Sequential{}, Refit{Mask: Zero{}}, Refit{Mask: Sequential{}}, Gradual{}} {
		if s.Name() == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("unknown solver %q; known: %s", name, strings.Join(Solvers(), ", "))
}
