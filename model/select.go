package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// LayerOf returns the layer that a checkpoint's tensor belongs to, −1 if it belongs to none.
func LayerOf(c Config, name string) int {
	if c.arch == nil {
		return -1
	}
	layer, _, _ := c.place(name)
	return layer
}

// InLayer returns what the tensor name, which belongs to a layer, is called in another layer.
func InLayer(c Config, name string, layer int) string {
	before, _, _ := strings.Cut(c.arch.layer, "%d")
	for _, root := range c.arch.roots {
		in, ok := strings.CutPrefix(name, root+before)
		if !ok {
			continue
		}
		if number, rest, dot := strings.Cut(in, "."); dot {
			if _, err := strconv.Atoi(number); err == nil {
				return root + before + strconv.Itoa(layer) + "." + rest
			}
		}
	}
	panic("model: InLayer of a tensor that belongs to no layer")
}

// SelectLayers returns the config.json of the network that has only these layers of the one that configJSON describes, in rising
// order: their number, and whatever is said layer by layer. Fields that it does not change keep their bytes.
func SelectLayers(configJSON []byte, layers []int) ([]byte, error) {
	c, err := ParseConfig(configJSON)
	if err != nil {
		return nil, err
	}
	if err := c.checkSelection(layers); err != nil {
		return nil, err
	}
	top, err := parseFields(configJSON)
	if err != nil {
		return nil, err
	}
	f := top
	text, nested := top.object("text_config")
	if nested = nested && c.arch.nested; nested {
		f = text
	}
	if err := c.selectFields(f, layers); err != nil {
		return nil, err
	}
	if nested {
		if top.m["text_config"], err = json.Marshal(f.m); err != nil {
			return nil, fmt.Errorf("config.json: %w", err)
		}
	}
	out, err := json.MarshalIndent(top.m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return append(out, '\n'), nil
}

func (c *Config) checkSelection(layers []int) error {
	if len(layers) == 0 {
		return errors.New("no layer is left; keep at least one")
	}
	last := -1
	for _, l := range layers {
		if l <= last || l >= c.Layers {
			return fmt.Errorf("layers %v: of %d layers, those that stay are named once each, in rising order, from 0 to %d", layers, c.Layers, c.Layers-1)
		}
		last = l
	}
	if c.HasShortcuts() {
		return fmt.Errorf("%w: each fits the layers around it; leave out layers first, then slice", ErrShortcuts)
	}
	if c.ScaleByLayer && last != len(layers)-1 {
		return errors.New("config.json: scale_attn_by_inverse_layer_idx: each layer's attention depends on its number, so only layers at the end can be left out")
	}
	return nil
}

// selectFields edits the object that holds the layers' fields.
func (c *Config) selectFields(f fields, layers []int) error {
	set := func(name string, v any) error {
		raw, err := json.Marshal(v)
		f.m[name] = raw
		return err
	}
	if err := set(c.arch.layersField(), len(layers)); err != nil {
		return err
	}
	types := make([]string, len(layers))
	full, mixed := 0, false
	for _, s := range c.Sliding {
		mixed = mixed || s != c.Sliding[0]
	}
	for i, l := range layers {
		types[i] = "full_attention"
		if c.Sliding[l] {
			types[i] = "sliding_attention"
		} else if full == i {
			full++ // layers before the first that slides
		}
	}
	if !mixed && !f.has("layer_types") {
		return nil
	}
	delete(f.m, "sliding_window_pattern") // a period that layer_types no longer has
	if f.has("max_window_layers") {
		if err := set("max_window_layers", full); err != nil {
			return err
		}
	}
	return set("layer_types", types)
}

// layersField names the field of config.json that holds the number of layers.
func (a *architecture) layersField() string {
	if a.count != "" {
		return a.count
	}
	return "num_hidden_layers"
}
