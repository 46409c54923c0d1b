package model

import "fmt"

// input is one of the places in a layer where linear layers read.
type input uint8

// The inputs of a layer: of queries, keys and values; of the attention's output matrix; of gate and up; of down.
const (
	inQKV input = iota
	inOut
	inUp
	inDown
)

var inputNames = [...]string{"qkv", "out", "up", "down"}

// Names of the sites outside the layers.
const (
	EmbeddingSite = "embedding" // the tokens themselves, each of which reads one row
	HeadSite      = "head"
)

// SiteName returns the name of one of a layer's sites: "qkv", "out", "up" or "down" of layers.N.
func siteName(layer int, in input) string { return fmt.Sprintf("layers.%d.%s", layer, inputNames[in]) }

// Site is a place where activations flow into weights: those that share it multiply the same input.
type Site struct {
	Name     string   // "embedding", "layers.0.qkv", "layers.0.out", "layers.0.up", "layers.0.down", …, "head"
	Layer    int      // −1 outside the layers
	Features int      // of the input; of the embedding its rows
	Weights  []string // checkpoint names
}

// Sites lists the sites of c in the order of the forward pass; names are those of the checkpoint. Fused weights are one weight; a tied
// head is the embedding, which then belongs to two sites. Learned position embeddings have none: each row is read once a sequence.
func Sites(c Config, names []string) []Site {
	has := map[string]bool{}
	for _, name := range names {
		has[name] = true
	}
	root, head := c.resolve(func(name string) bool { return has[name] })
	a := c.arch
	embed := root + a.embed + ".weight"
	sites := []Site{{EmbeddingSite, -1, c.Vocab, []string{embed}}}
	of := map[string]input{a.q: inQKV, a.k: inQKV, a.v: inQKV, a.qkv: inQKV, a.o: inOut, a.gate: inUp, a.up: inUp, a.gateUp: inUp, a.down: inDown}
	for i := range c.Layers {
		layer := make([]Site, len(inputNames))
		for _, m := range c.layerModules() {
			if m.linear {
				s := &layer[of[m.name]]
				s.Features = m.cols
				s.Weights = append(s.Weights, root+fmt.Sprintf(a.layer, i)+m.name+".weight")
			}
		}
		for in := range layer {
			layer[in].Name, layer[in].Layer = siteName(i, input(in)), i
		}
		sites = append(sites, layer...)
	}
	if head += ".weight"; c.TiedHead && !has[head] {
		head = embed
	}
	return append(sites, Site{HeadSite, -1, c.Hidden, []string{head}})
}
