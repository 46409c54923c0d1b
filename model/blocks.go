package model

import (
	"fmt"
	"slices"
	"strings"
)

// Block is a group of checkpoint tensors that are compressed, written and dropped together.
type Block struct {
	Name    string   // "embedding", "layers.0", …, "head"; the tensor's own name for what no table knows
	Weights []string // checkpoint names, sorted within the block
}

// Blocks groups all names in the order in which the forward pass meets them: embeddings, layers, final norm and head. Names
// the architecture does not know follow, one block each; for an unknown architecture (a zero Config) that is all of them.
func Blocks(c Config, names []string) []Block {
	rest := slices.Clone(names)
	slices.Sort(rest)
	if c.arch == nil {
		return singles(rest)
	}
	embedding, head := Block{Name: "embedding"}, Block{Name: "head"}
	layers := make([]Block, c.Layers)
	var others []string
	for _, name := range rest {
		layer, tail, ok := c.place(name)
		switch {
		case layer >= 0:
			layers[layer].Weights = append(layers[layer].Weights, name)
		case ok && strings.HasPrefix(tail, c.arch.finalNorm+"."), !ok && slices.Contains([]string{"head", "bias"}, Role(c, name)):
			head.Weights = append(head.Weights, name)
		case ok:
			embedding.Weights = append(embedding.Weights, name)
		default:
			others = append(others, name)
		}
	}
	var blocks []Block
	add := func(b Block) {
		if len(b.Weights) > 0 {
			blocks = append(blocks, b)
		}
	}
	add(embedding)
	for i, b := range layers {
		b.Name = fmt.Sprintf("layers.%d", i)
		add(b)
	}
	add(head)
	return append(blocks, singles(others)...)
}

func singles(names []string) []Block {
	blocks := make([]Block, len(names))
	for i, name := range names {
		blocks[i] = Block{name, []string{name}}
	}
	return blocks
}
