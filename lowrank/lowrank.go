// Package lowrank is the room for methods that factor and share weights: the SVD family, sign-residual stacks, shared
// dictionaries and layer sharing. Nothing lives here yet; ROADMAP.md says when it moves in.
package lowrank
