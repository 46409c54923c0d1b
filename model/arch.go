package model

import (
	"math"
	"slices"
)

// architecture is one family of checkpoints: how its tensors are called and how its config.json is read. Names are those of
// modules: the tensors are name + ".weight" and name + ".bias". An empty name is a module the family does not have.
type architecture struct {
	types  []string // config.json's model_type
	nested bool     // the config of the text model lies in text_config
	roots  []string // prefixes in use before every name but the head's; the first is transformers'
	heads  []string // names of the head in use, without a root; the first is transformers'

	embed, position, finalNorm string
	layer                      string // prefix of a layer, %d being its index
	count                      string // config.json's field of the number of layers; "": num_hidden_layers
	attnNorm, mlpNorm          string
	postAttnNorm, postMLPNorm  string
	q, k, v, qkv, o            string
	qNorm, kNorm               string
	gate, up, gateUp, down     string

	qkvPerHead bool // rows of qkv are grouped by head: [head][q, k, v][feature]
	transposed bool // weights of linears are stored (in, out)
	configure  func(f fields, c *Config)
}

// architectures is the one table. Adding an architecture: a file like llama.go, a line here, a golden in testdata.
func architectures() []*architecture {
	return []*architecture{&llama, &mistral, &qwen2, &qwen3, &gemma2, &gemma3, &phi3, &gpt2, &gptNeoX}
}

func lookup(modelType string) *architecture {
	for _, a := range architectures() {
		if slices.Contains(a.types, modelType) {
			return a
		}
	}
	return nil
}

// ModelTypes lists the values of model_type that have a table.
func ModelTypes() []string {
	var types []string
	for _, a := range architectures() {
		types = append(types, a.types...)
	}
	return types
}

func invSqrt(v float64) float64 { return 1 / math.Sqrt(v) }
