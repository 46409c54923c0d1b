package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"pith/calib"
	"pith/codec"
	"pith/formats"
)

// Format is the version of the plan's JSON.
const Format = 1

// Plan is what will be done with every weight of a checkpoint. The same recipe and checkpoint give the same plan and the same hash.
type Plan struct {
	Format      int          `json:"format"`
	Recipe      Recipe       `json:"recipe"`
	Model       string       `json:"model_type"` // config.json's, or "" if there is no table for it
	Blocks      []Block      `json:"blocks"`     // in the order of the forward pass; one shard each
	Totals      Totals       `json:"totals"`
	Calibration *Calibration `json:"calibration,omitempty"` // nil: data-free
	Structure   *Structure   `json:"structure,omitempty"`   // nil: all of the checkpoint's layers as they are
	Vocabulary  *Vocabulary  `json:"vocabulary,omitempty"`  // nil: all of the checkpoint's tokens; trimmed before anything else
	Sharing     *Sharing     `json:"sharing,omitempty"`     // nil: no weights have anything in common but aliases
	Notes       []string     `json:"notes,omitempty"`       // what a reader of the plan should know: rules that match nothing, tied heads
}

// Calibration says which statistics methods are given. It is part of the plan, so that a run is resumed with the same ones only.
type Calibration struct {
	SHA256     string `json:"sha256"`               // of the statistics' file, or of the texts and how they are read
	Texts      int    `json:"texts,omitempty"`      // files, if the statistics are gathered by the run itself
	Context    int    `json:"context,omitempty"`    // tokens of a window
	Windows    int    `json:"windows,omitempty"`    // at most; 0: all
	Sequential bool   `json:"sequential,omitempty"` // each block reads what the compressed blocks before it give
}

// Structure says which view of the source the plan is for. The plan's weights have the view's names.
type Structure struct {
	SourceLayers int    `json:"source_layers"`        // of the source
	Layers       []int  `json:"layers"`               // of the source: those that stay, renumbered from 0
	Matrices     []int  `json:"matrices,omitempty"`   // for each of those the layer of the source whose matrices it uses; nil: its own
	Share        string `json:"share,omitempty"`      // how they were chosen; "": by the user
	Rank         string `json:"rank,omitempty"`       // how the others were chosen; "": by the user
	Norms        bool   `json:"norms,omitempty"`      // those of layers that use others' matrices are fitted to them
	Replace      string `json:"replace,omitempty"`    // what stands in for the others: "mean", "linear"; "": nothing
	Directions   int    `json:"directions,omitempty"` // of the residual stream that stay; 0: all
	SharedBasis  bool   `json:"shared_basis,omitempty"`
	TextSHA256   string `json:"text_sha256,omitempty"` // of the texts all that was measured on, as in Calibration
	Context      int    `json:"context,omitempty"`     // tokens of a window, as in Calibration
	Windows      int    `json:"windows,omitempty"`     // at most; 0: the default
}

// Dropped returns the source's layers that are left out.
func (s *Structure) Dropped() []int {
	var out []int
	for l := range s.SourceLayers {
		if !slices.Contains(s.Layers, l) {
			out = append(out, l)
		}
	}
	return out
}

// Block is a group of weights that are compressed and written together.
type Block struct {
	Name  string `json:"name"`
	Lines []Line `json:"lines"`
}

// Line is one weight's fate.
type Line struct {
	Weight      string `json:"weight"`
	Role        string `json:"role"`
	Shape       []int  `json:"shape"` // as the checkpoint states it
	Rows        int    `json:"rows"`  // of the matrix that is compressed: (out, in)
	Cols        int    `json:"cols"`
	Transposed  bool   `json:"transposed,omitempty"` // the checkpoint stores (in, out)
	Source      string `json:"source"`               // codec in the checkpoint
	SourceBytes int64  `json:"source_bytes"`
	Method      string `json:"method"` // "keep", or a name of Methods
	Codec       string `json:"codec"`
	Search      bool   `json:"search,omitempty"`
	Scorer      string `json:"scorer,omitempty"` // as Rule's, and the two below
	Selector    string `json:"selector,omitempty"`
	Solver      string `json:"solver,omitempty"`
	Rule        int    `json:"rule"`            // number of the deciding rule, from 1; 0: none applied
	Bytes       int64  `json:"bytes"`           // exact, of all parts that are its own
	Of          string `json:"of,omitempty"`    // an alias: the weight of an earlier line whose parts are all that it has
	Set         string `json:"set,omitempty"`   // an earlier line, of what the weight has in common with others
	Store       string `json:"store,omitempty"` // of a set or its members: the method that stores what is solved for
	Note        string `json:"note,omitempty"`

	// Relative, for the line of a set: losses count by what each member is.
	Relative bool `json:"relative,omitempty"`
	// Members, for the line of a set's common terms, which is of no weight: the weights that have them in common. Codec is that of all terms,
	// Rows and Cols are those of one.
	Members []string `json:"members,omitempty"`
}

// Totals sums the lines.
type Totals struct {
	Weights       int64   `json:"weights"` // elements
	SourceBytes   int64   `json:"source_bytes"`
	Bytes         int64   `json:"bytes"` // exact, of all tensors; shard headers come on top
	BitsPerWeight float64 `json:"bits_per_weight"`
}

// Keeps reports whether the weight is stored as the source stores it.
func (l *Line) Keeps() bool { return l.Method == keepMethod }

// Alias reports whether the weight stores nothing and refers to another's parts.
func (l *Line) Alias() bool { return l.Of != "" }

// Fallbacks returns how many weights have another codec than their rule asks for, because their shapes do not fit it; their notes say why.
func (p *Plan) Fallbacks() int {
	n := 0
	for _, b := range p.Blocks {
		for _, l := range b.Lines {
			if !l.Keeps() && !l.Alias() && !l.Common() && l.Set == "" && l.Rule > 0 && l.Rule <= len(p.Recipe.Rules) && !sameCodec(l.Codec, p.Recipe.Rules[l.Rule-1].Codec) {
				n++
			}
		}
	}
	return n
}

// sameCodec reports whether two names are one codec's: sums can be written in several ways.
func sameCodec(a, b string) bool {
	if a == b {
		return true
	}
	x, err := codec.Parse(a)
	if err != nil {
		return false
	}
	y, err := codec.Parse(b)
	return err == nil && x.Name() == y.Name()
}

// Solves reports whether any weight is not just kept.
func (p *Plan) Solves() bool {
	for _, b := range p.Blocks {
		for i := range b.Lines {
			if l := &b.Lines[i]; !l.Keeps() && !l.Alias() {
				return true
			}
		}
	}
	return false
}

// UsesGram reports whether the method of any line looks at whole Gram matrices.
func (p *Plan) UsesGram() bool {
	for _, b := range p.Blocks {
		for i := range b.Lines {
			if m, err := b.Lines[i].NewMethod(); err == nil && m != nil && m.Needs().Has(calib.Gram) {
				return true
			}
		}
	}
	return false
}

// Unserved returns how many lines have a method that feeds errors back while the plan has no statistics, by which it would know how.
func (p *Plan) Unserved() (n int) {
	if p.Calibration != nil {
		return 0
	}
	for _, b := range p.Blocks {
		for i := range b.Lines {
			if b.Lines[i].feedsBack() {
				n++
			}
		}
	}
	return n
}

// Elements returns the number of weights of the line.
func (l *Line) Elements() int64 {
	if l.Common() {
		return 0 // they are the members'
	}
	return int64(l.Rows) * int64(l.Cols)
}

// Lines returns the lines of all blocks in order.
func (p *Plan) Lines() []Line {
	var all []Line
	for _, b := range p.Blocks {
		all = append(all, b.Lines...)
	}
	return all
}

// Hash returns the sha256 of the plan's canonical JSON, in hexadecimal.
func (p *Plan) Hash() string {
	sum := sha256.Sum256(p.JSON())
	return hex.EncodeToString(sum[:])
}

// JSON returns the plan's canonical form: compact, fields in the order of the types.
func (p *Plan) JSON() []byte {
	data, err := json.Marshal(p)
	if err != nil {
		panic("plan: a plan is always representable as JSON")
	}
	return data
}

// Save writes the plan to path as indented JSON, atomically.
func (p *Plan) Save(path string) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	return formats.WriteFileAtomic(path, func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// maxLayers is the most layers a model has.
const maxLayers = 4096

// maxPlan bounds what is read of a plan: about 1 KB a weight, for the largest models known.
const maxPlan = 256 << 20

// Load reads a plan that Save wrote and checks it.
func Load(path string) (*Plan, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file; give a plan saved by pith plan --save", path)
	}
	if info.Size() > maxPlan {
		return nil, fmt.Errorf("%s: %d bytes are too many for a plan", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func parse(data []byte) (*Plan, error) {
	var p Plan
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("not a plan (%w); make one with pith plan", err)
	}
	if p.Format != Format {
		return nil, fmt.Errorf("plan format %d, this version of pith reads %d; make it again with pith plan", p.Format, Format)
	}
	if p.Structure != nil && p.Structure.SourceLayers > maxLayers {
		return nil, fmt.Errorf("structure: %d layers; at most %d are supported", p.Structure.SourceLayers, maxLayers)
	}
	stored, sets := map[string]*Line{}, map[string]*Line{}
	for _, l := range p.Lines() {
		if l.Rows < 0 || l.Cols < 0 || l.Bytes < 0 {
			return nil, fmt.Errorf("%s: negative size; make the plan again with pith plan", l.Weight)
		}
		if err := errors.Join(l.checkAlias(stored), l.checkSet(sets)); err != nil {
			return nil, fmt.Errorf("%s: %w; make the plan again with pith plan", l.Weight, err)
		}
		if _, err := l.NewMethod(); err != nil {
			return nil, err
		}
	}
	return &p, nil
}

// checkAlias checks that an alias is of a line in stored, to which lines that are none are added.
func (l *Line) checkAlias(stored map[string]*Line) error {
	if !l.Alias() && l.Method != aliasMethod {
		stored[l.Weight] = l
		return nil
	}
	owner := stored[l.Of]
	switch {
	case l.Method != aliasMethod || owner == nil:
		return fmt.Errorf("is an alias of %q, which no earlier line stores", l.Of)
	case l.Bytes != 0 || l.Rows != owner.Rows || l.Cols != owner.Cols || l.Codec != owner.Codec || l.Transposed != owner.Transposed:
		return fmt.Errorf("is an alias of %s, and another matrix", l.Of)
	}
	return nil
}
