package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pith/tensor"
)

// A shortcut is a square matrix S on the residual stream: a block then computes S·x + f(x) instead of x + f(x). Slicing needs them where
// the basis of the stream changes between blocks (Ashkboos et al. 2024, arXiv 2401.15024), and a linear map that stands for
// layers that were left out is one. They are Pith's own: config.json's model_type gets the prefix "pith-", so that no other program
// takes the model for what it is not, and "shortcuts" lists the layers that have them.

// shortcutPrefix marks model types with shortcuts.
const shortcutPrefix = "pith-"

// Names of the shortcuts' modules in a layer.
const (
	attnShortcut = "attn_shortcut"
	mlpShortcut  = "mlp_shortcut"
)

// Shortcuts lists the layers whose attention, and whose MLP, has a shortcut, in rising order.
type Shortcuts struct {
	Attention []int `json:"attention,omitempty"`
	MLP       []int `json:"mlp,omitempty"`
}

// WithShortcuts returns configJSON with shortcuts in some layers.
func WithShortcuts(configJSON []byte, s Shortcuts) ([]byte, error) {
	c, err := ParseConfig(configJSON)
	if err != nil {
		return nil, err
	}
	f, err := parseFields(configJSON)
	if err != nil {
		return nil, err
	}
	if !c.HasShortcuts() {
		if f.m["model_type"], err = json.Marshal(shortcutPrefix + c.ModelType); err != nil {
			return nil, err
		}
	}
	if f.m["shortcuts"], err = json.Marshal(s); err != nil {
		return nil, err
	}
	delete(f.m, "architectures")
	out, err := json.MarshalIndent(f.m, "", "  ")
	if err != nil {
		return nil, err
	}
	out = append(out, '\n')
	_, err = ParseConfig(out)
	return out, err
}

// HasShortcuts reports whether any layer has a shortcut. Only Pith runs such a model.
func (c *Config) HasShortcuts() bool { return len(c.Shortcuts.Attention)+len(c.Shortcuts.MLP) > 0 }

// ErrShortcuts is wrapped by errors about models that only Pith runs.
var ErrShortcuts = errors.New("the model has shortcut matrices, which only Pith artifacts hold")

// shortcuts reads and checks the field of that name.
func (c *Config) shortcuts(f fields, ours bool) {
	if !ours {
		return
	}
	f.decode("shortcuts", &c.Shortcuts, "an object with lists of layers")
	if !c.HasShortcuts() {
		f.fail("shortcuts", "are missing, and model_type %q is about them", c.ModelType)
	}
	if c.PostNorms || c.ParallelResidual {
		f.fail("shortcuts", "are not supported in this architecture")
	}
	for _, list := range [][]int{c.Shortcuts.Attention, c.Shortcuts.MLP} {
		last := -1
		for _, l := range list {
			if l <= last || l >= c.Layers {
				f.fail("shortcuts", "layers %v of %d: each is named once, in rising order", list, c.Layers)
				return
			}
			last = l
		}
	}
}

// splitType splits the prefix of model types with shortcuts off.
func splitType(modelType string) (base string, ours bool) {
	return strings.CutPrefix(modelType, shortcutPrefix)
}

// shortcutModules lists the shortcuts of a layer.
func (c *Config) shortcutModules(layer int) []module {
	var list []module
	if slices.Contains(c.Shortcuts.Attention, layer) {
		list = append(list, module{name: attnShortcut, role: "shortcut", rows: c.Hidden, cols: c.Hidden})
	}
	if slices.Contains(c.Shortcuts.MLP, layer) {
		list = append(list, module{name: mlpShortcut, role: "shortcut", rows: c.Hidden, cols: c.Hidden})
	}
	return list
}

// ShortcutName returns what the shortcut of a layer's attention, or of its MLP, is called beside another tensor of that layer.
func ShortcutName(c Config, inLayer string, mlp bool) string {
	_, rest, ok := c.place(inLayer)
	if !ok || LayerOf(c, inLayer) < 0 {
		panic("model: ShortcutName beside a tensor that belongs to no layer")
	}
	name := attnShortcut
	if mlp {
		name = mlpShortcut
	}
	return strings.TrimSuffix(inLayer, rest) + name + ".weight"
}

// loadShortcuts loads those of a layer.
func (l *loader) loadShortcuts(to *layer, prefix string, index, workers int) error {
	for _, m := range l.c.shortcutModules(index) {
		into := &to.attnShort
		if m.name == mlpShortcut {
			into = &to.mlpShort
		}
		if err := l.add(into, prefix+m.name, m.rows, m.cols, false, false); err != nil {
			return fmt.Errorf("shortcut: %w", err)
		}
		into.divide(workers)
	}
	return nil
}

// shortcut overwrites x with S·x where there is an S, for which there is room in space.
func (p pass) shortcut(x tensor.Mat, s *linear, space *[]float32) {
	if s.rows == 0 {
		return
	}
	y := mat(space, x.Rows, x.Cols)
	p.project(y, x, s, &p.kept[4], false)
	for r := range x.Rows {
		copy(x.Row(r), y.Row(r))
	}
}
