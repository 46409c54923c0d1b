package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"pith/checkpoint"
	"pith/internal/human"
	"pith/model"
)

func inspectCommand(s streams) *cobra.Command {
	var asJSON, brief bool
	c := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show what a checkpoint holds",
		Long: `Reads the headers of a Hugging Face directory, a .safetensors or .gguf file, a Pith artifact or a stack, and lists its tensors with their
layouts and exact bytes, its architecture and its tokenizer. Weights are not read.`,
		Example: "  pith inspect MODEL\n  pith inspect model.gguf --brief\n  pith inspect out --json",
		Args:    one("MODEL"),
		RunE: func(_ *cobra.Command, args []string) error {
			ckpt, err := checkpoint.Open(args[0])
			if err != nil {
				return err
			}
			defer ckpt.Close()
			v, err := describe(ckpt)
			if err != nil {
				return err
			}
			if brief {
				v.Tensors = nil
			}
			if asJSON {
				return printJSON(s.out, v)
			}
			return v.print(s.out)
		},
	}
	c.Flags().BoolVar(&brief, "brief", false, "leave out the list of tensors")
	jsonFlag(c, &asJSON)
	return c
}

// inspection is what `pith inspect` prints.
type inspection struct {
	Path          string           `json:"path"`
	Kind          string           `json:"kind"`
	Architecture  string           `json:"architecture,omitempty"`
	Context       int              `json:"context,omitempty"`
	Note          string           `json:"note,omitempty"`
	Tokenizer     string           `json:"tokenizer,omitempty"`
	Files         []string         `json:"files"`
	Parameters    int64            `json:"parameters"`
	TensorBytes   int64            `json:"tensor_bytes"`
	BitsPerWeight float64          `json:"bits_per_weight"`
	Stack         *stackView       `json:"stack,omitempty"`
	Codecs        map[string]total `json:"codecs"`
	Tensors       []tensorLine     `json:"tensors,omitempty"`
	order         []string
}

type total struct {
	Tensors    int   `json:"tensors"`
	Parameters int64 `json:"parameters"`
	Bytes      int64 `json:"bytes"`
}

type tensorLine struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
	Codec string `json:"codec"`
	Bytes int64  `json:"bytes"`
}

// inCommon is the line of tensors that weights have in common.
const inCommon = "in common"

// describe gathers the lines of the report; a config or tokenizer that cannot be read is a note, not an error.
func describe(c *checkpoint.Checkpoint) (*inspection, error) {
	v := &inspection{Path: c.Path, Kind: string(c.Kind), Files: c.Files(), Stack: viewStack(c), Codecs: map[string]total{}}
	if cfg, err := c.Config(); err == nil {
		v.Architecture, v.Context = architecture(cfg), cfg.MaxPositions
	} else {
		v.Note = oneLine(err.Error())
	}
	if tok, err := c.Tokenizer(); err == nil {
		v.Tokenizer = fmt.Sprintf("%s tokens", human.Count(tok.Size()))
	} else if v.Note == "" {
		v.Note = oneLine(err.Error())
	}
	for _, name := range c.Names() {
		info, err := c.Info(name)
		if err != nil {
			return nil, err
		}
		n := int64(info.Rows) * int64(info.Cols)
		v.Tensors = append(v.Tensors, tensorLine{name, info.Shape, info.Codec, info.Bytes})
		v.Parameters += n
		v.TensorBytes += info.Bytes
		t, seen := v.Codecs[info.Codec]
		if !seen {
			v.order = append(v.order, info.Codec)
		}
		v.Codecs[info.Codec] = total{t.Tensors + 1, t.Parameters + n, t.Bytes + info.Bytes}
	}
	if n := c.SharedBytes(); n > 0 {
		v.TensorBytes += n
		v.Codecs[inCommon] = total{Bytes: n}
		v.order = append(v.order, inCommon)
	}
	if v.Parameters > 0 {
		v.BitsPerWeight = 8 * float64(v.TensorBytes) / float64(v.Parameters)
	}
	return v, nil
}

func (v *inspection) print(w io.Writer) error {
	sizes := ""
	if v.Stack != nil {
		sizes = v.Stack.String()
	}
	for _, l := range [][2]string{
		{"model", v.Path}, {"kind", v.Kind}, {"architecture", v.Architecture}, {"tokenizer", v.Tokenizer}, {"note", v.Note},
		{"stack", sizes}, {"files", human.Count(len(v.Files))}, {"parameters", human.Count(v.Parameters)},
		{"tensor bytes", fmt.Sprintf("%s, %.3f bits per weight", human.ExactSize(v.TensorBytes), v.BitsPerWeight)},
	} {
		if l[1] != "" {
			fmt.Fprintf(w, "%-14s%s\n", l[0], l[1])
		}
	}
	fmt.Fprintln(w)
	if len(v.Tensors) > 0 {
		t := human.NewTable("tensor", ">shape", "stored as", ">bytes")
		for _, l := range v.Tensors {
			t.Add(l.Name, shapeString(l.Shape), l.Codec, human.Count(l.Bytes))
		}
		if err := t.Print(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	t := human.NewTable("stored as", ">tensors", ">parameters", ">bytes", ">bits/weight")
	for _, name := range v.order {
		c := v.Codecs[name]
		bits := "–" // of tensors without weights of their own
		if c.Parameters > 0 {
			bits = fmt.Sprintf("%.3f", 8*float64(c.Bytes)/float64(c.Parameters))
		}
		t.Add(name, human.Count(c.Tensors), human.Count(c.Parameters), human.Count(c.Bytes), bits)
	}
	return t.Print(w)
}

func shapeString(shape []int) string {
	if len(shape) == 0 {
		return "scalar"
	}
	var s []string
	for _, d := range shape {
		s = append(s, fmt.Sprint(d))
	}
	return strings.Join(s, " × ")
}

// architecture writes the shape of a model.
func architecture(c model.Config) string {
	head := "separate head"
	if c.TiedHead {
		head = "tied head"
	}
	return fmt.Sprintf("%s, %d layers of %d, %d heads (%d KV) of %d, MLP %d, vocabulary %s, context %s, %s",
		c.ModelType, c.Layers, c.Hidden, c.Heads, c.KVHeads, c.HeadDim, c.Intermediate, human.Count(c.Vocab), human.Count(c.MaxPositions), head)
}
