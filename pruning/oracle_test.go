package pruning

import "testing"

// What the specification measured on synthetic layers, as orderings of the error of outputs on inputs that were not seen: the more features
// differ in scale, the more Wanda gains on magnitude; updates gain on Wanda's mask, SparseGPT's
// mask on that, a refit on both; patterns cost.
func TestErrorsOfOutputsAreInTheKnownOrder(t *testing.T) {
	const rows, cols = 64, 128
	for seed := range uint64(3) {
		for _, sigma := range []float64{0, 0.5, 1} {
			l := newLayer(100+seed, rows, cols, 16*cols, sigma)
			held := func(scorer Scorer, selector Selector, solver Solver) float64 {
				return relative(l.w, prune(t, l, scorer, selector, solver, 2).Values, l.held)
			}
			inOrder := func(what string, list ...float64) {
				t.Helper()
				for i := 1; i < len(list); i++ {
					if list[i] < list[i-1] {
						t.Errorf("seed %d, σ = %g, %s: errors %.4f are not in order", seed, sigma, what, list)
						return
					}
				}
			}
			wanda, updated := held(Wanda{}, Row{}, Zero{}), held(Wanda{}, Row{}, Sequential{})
			sparse, refitted := held(OBS{}, Block{}, Sequential{}), held(OBS{}, Block{}, Refit{Mask: Sequential{}})
			inOrder("Wanda's mask", held(Wanda{}, Row{}, Refit{Mask: Zero{}}), updated, wanda)
			inOrder("SparseGPT's mask", refitted, sparse)
			if sigma < 1 { // features of very different scales suffer from equally many elements in each 128
				inOrder("masks", sparse, updated)
			}
			if sigma > 0 {
				inOrder("magnitude", wanda, held(Magnitude{}, Row{}, Zero{}))
			}
			for _, m := range []struct {
				scorer Scorer
				any    Selector
				solver Solver
			}{{Magnitude{}, Matrix{}, Zero{}}, {Wanda{}, Matrix{}, Zero{}}, {OBS{}, Block{}, Sequential{}}} {
				inOrder(m.scorer.Name()+", patterns", held(m.scorer, m.any, m.solver), held(m.scorer, Group{4, 8}, m.solver), held(m.scorer, Group{2, 4}, m.solver))
			}
			inOrder("steps", held(OBS{All: true}, Row{}, Gradual{}), held(OBS{All: true}, Row{}, Refit{Mask: Zero{}}))
			inOrder("random", held(Magnitude{}, Row{}, Zero{}), held(Random{}, Row{}, Zero{}))
		}
	}
}

// BenchmarkOutputErrors prints the table of docs/methods/pruning.md: relative errors of a synthetic layer's outputs, on inputs that were not seen.
func BenchmarkOutputErrors(b *testing.B) {
	for _, sigma := range []float64{0, 0.5, 1} {
		l := newLayer(7, 256, 256, 2048, sigma)
		for _, m := range []struct {
			name     string
			scorer   Scorer
			selector Selector
			solver   Solver
		}{
			{"magnitude-row", Magnitude{}, Row{}, Zero{}}, {"magnitude-matrix", Magnitude{}, Matrix{}, Zero{}},
			{"wanda-row", Wanda{}, Row{}, Zero{}}, {"wanda-matrix", Wanda{}, Matrix{}, Zero{}}, {"wanda-cumulative", Wanda{}, Cumulative{}, Zero{}},
			{"wanda-obs", Wanda{}, Row{}, Sequential{}}, {"wanda-refit", Wanda{}, Row{}, Refit{Mask: Zero{}}},
			{"sparsegpt", OBS{}, Block{}, Sequential{}}, {"sparsegpt-refit", OBS{}, Block{}, Refit{Mask: Sequential{}}},
			{"obs-matrix-refit", OBS{}, Matrix{}, Refit{Mask: Zero{}}}, {"obs-all-matrix-refit", OBS{All: true}, Matrix{}, Refit{Mask: Zero{}}},
			{"wanda-gradual", Wanda{}, Row{}, Gradual{}}, {"obs-all-gradual", OBS{All: true}, Row{}, Gradual{}}, {"obs-all-gradual-2:4", OBS{All: true}, Group{2, 4}, Gradual{}},
			{"magnitude-4:8", Magnitude{}, Group{4, 8}, Zero{}}, {"wanda-4:8", Wanda{}, Group{4, 8}, Zero{}},
			{"sparsegpt-4:8", OBS{}, Group{4, 8}, Sequential{}}, {"sparsegpt-refit-4:8", OBS{}, Group{4, 8}, Refit{Mask: Sequential{}}},
			{"magnitude-2:4", Magnitude{}, Group{2, 4}, Zero{}}, {"wanda-2:4", Wanda{}, Group{2, 4}, Zero{}},
			{"sparsegpt-2:4", OBS{}, Group{2, 4}, Sequential{}}, {"sparsegpt-refit-2:4", OBS{}, Group{2, 4}, Refit{Mask: Sequential{}}},
		} {
			b.Run(name(sigma)+"/"+m.name, func(b *testing.B) {
				var task *Task
				for b.Loop() {
					task = prune(b, l, m.scorer, m.selector, m.solver, 1)
				}
				b.ReportMetric(1000*relative(l.w, task.Values, l.held), "‰-held-out")
				b.ReportMetric(1000*relative(l.w, task.Values, l.seen), "‰-seen")
			})
		}
	}
}

func name(sigma float64) string {
	return map[float64]string{0: "even", 0.5: "sigma=0.5", 1: "sigma=1"}[sigma]
}
