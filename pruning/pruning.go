// Package pruning is the room for methods that remove weights: scorers, mask selectors and solvers (magnitude, Wanda,
// SparseGPT, N:M), depth and width pruning. Nothing lives here yet; ROADMAP.md says when it moves in.
package pruning
