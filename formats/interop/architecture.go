package interop

import (
	"fmt"
	"strconv"
	"strings"
)

// Architecture maps one family of models between Hugging Face and GGUF: what its tensors are called in each and how their
// bytes differ. The table is Architectures.
type Architecture struct {
	ModelType string   // config.json's model_type
	Nested    string   // model_type of multimodal checkpoints whose text model this is
	GGUF      string   // general.architecture; mistral shares llama's
	LayerHF   string   // prefix of a layer's modules in a checkpoint, "{}" for the layer number
	Modules   []Module // outside the layers
	Layer     []Module // inside a layer; names relative to LayerHF and "blk.{}."
	Ignored   []string // suffixes of checkpoint tensors that hold no weights (masks, inverse frequencies)
	Foreign   []string // prefixes of checkpoint tensors that belong to other models (vision towers)
	Aliases   []Alias  // other prefixes under which checkpoints of this family are published
}

// Module is one weight-bearing module. Its tensors are HF+".weight", HF+".bias" in a checkpoint and GGUF+".weight", GGUF+".bias" in a GGUF file.
type Module struct {
	HF, GGUF string
	Layout   Layout
}

// Alias says that checkpoint names starting with Prefix mean the same with Canonical in its place.
type Alias struct{ Prefix, Canonical string }

// Find returns the architecture whose config.json model_type is modelType.
func Find(modelType string) (*Architecture, error) {
	for i := range Architectures {
		if a := &Architectures[i]; a.ModelType == modelType || modelType != "" && a.Nested == modelType {
			return &Architectures[i], nil
		}
	}
	return nil, fmt.Errorf("model_type %q has no GGUF table; known: %s", modelType, strings.Join(modelTypes(), ", "))
}

// findGGUF returns the first architecture that GGUF files call name.
func findGGUF(name string) (*Architecture, error) {
	for i := range Architectures {
		if Architectures[i].GGUF == name {
			return &Architectures[i], nil
		}
	}
	return nil, fmt.Errorf("general.architecture %q has no table here; known: %s", name, strings.Join(modelTypes(), ", "))
}

func modelTypes() []string {
	var names []string
	for i := range Architectures {
		names = append(names, Architectures[i].ModelType)
	}
	return names
}

// ToGGUF returns what a GGUF file calls the checkpoint tensor name, and how its bytes are laid out there. ok is false for names the
// architecture does not have.
func (a *Architecture) ToGGUF(name string) (gguf string, layout Layout, ok bool) {
	name = a.Canonical(name)
	module, suffix, ok := cutSuffix(name)
	if !ok {
		return "", AsIs, false
	}
	for _, m := range a.Modules {
		if m.HF == module {
			return m.GGUF + suffix, m.Layout.of(suffix), true
		}
	}
	layer, rest, ok := cutLayer(module, a.LayerHF)
	if !ok {
		return "", AsIs, false
	}
	for _, m := range a.Layer {
		if m.HF == rest {
			return "blk." + strconv.Itoa(layer) + "." + m.GGUF + suffix, m.Layout.of(suffix), true
		}
	}
	return "", AsIs, false
}

// ToHF is the inverse of ToGGUF.
func (a *Architecture) ToHF(name string) (hf string, layout Layout, ok bool) {
	module, suffix, ok := cutSuffix(name)
	if !ok {
		return "", AsIs, false
	}
	for _, m := range a.Modules {
		if m.GGUF == module {
			return m.HF + suffix, m.Layout.of(suffix), true
		}
	}
	layer, rest, ok := cutLayer(module, "blk.{}.")
	if !ok {
		return "", AsIs, false
	}
	for _, m := range a.Layer {
		if m.GGUF == rest {
			return strings.Replace(a.LayerHF, "{}", strconv.Itoa(layer), 1) + m.HF + suffix, m.Layout.of(suffix), true
		}
	}
	return "", AsIs, false
}

// Canonical rewrites a checkpoint name that uses one of the published prefixes of this family.
func (a *Architecture) Canonical(name string) string {
	for _, alias := range a.Aliases {
		if rest, ok := strings.CutPrefix(name, alias.Prefix); ok {
			return alias.Canonical + rest
		}
	}
	return name
}

// ignored reports whether a checkpoint tensor holds no weights of this model and is left out of a GGUF file.
func (a *Architecture) ignored(name string) bool {
	for _, suffix := range a.Ignored {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	for _, prefix := range a.Foreign {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func cutSuffix(name string) (module, suffix string, ok bool) {
	for _, s := range []string{".weight", ".bias"} {
		if m, found := strings.CutSuffix(name, s); found {
			return m, s, true
		}
	}
	return "", "", false
}

// cutLayer splits module along pattern, which holds "{}" for the layer number: ("model.layers.7.mlp.up_proj", "model.layers.{}.") → (7, "mlp.up_proj").
func cutLayer(module, pattern string) (layer int, rest string, ok bool) {
	before, after, _ := strings.Cut(pattern, "{}")
	module, ok = strings.CutPrefix(module, before)
	if !ok {
		return 0, "", false
	}
	digits, rest, ok := strings.Cut(module, after)
	if !ok || digits == "" || len(digits) > 4 || (digits[0] == '0' && digits != "0") {
		return 0, "", false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, "", false
		}
	}
	layer, err := strconv.Atoi(digits)
	return layer, rest, err == nil
}
