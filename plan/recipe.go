// Package plan turns a recipe and a checkpoint into a resolved plan: one line per weight with its method, codec and exact bytes.
// Everything that can be decided before reading weights is decided here; a plan is data that can be saved, compared and re-run.
package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"pith/codec"
)

// Recipe says what to do with which weights. The first rule that matches a weight decides; docs/methods/recipes.md is the reference.
type Recipe struct {
	Name  string `yaml:"name" json:"name,omitempty"` // free text, kept in the plan
	Seed  uint64 `yaml:"seed" json:"seed"`           // of methods that draw random numbers
	Rules []Rule `yaml:"rules" json:"rules"`
}

// Rule gives the weights that match it a method and a codec, or keeps them.
type Rule struct {
	Match  Patterns `yaml:"match" json:"match"`             // roles or globs over weight names; any of them
	Method string   `yaml:"method" json:"method,omitempty"` // name in the table of methods; default "nearest"
	Codec  string   `yaml:"codec" json:"codec,omitempty"`   // what codec.Parse knows
	Search bool     `yaml:"search" json:"search,omitempty"` // search scales of least squared error
	// Parts of a method that prunes, in place of its own: names of package pruning.
	Scorer   string `yaml:"scorer" json:"scorer,omitempty"`
	Selector string `yaml:"selector" json:"selector,omitempty"`
	Solver   string `yaml:"solver" json:"solver,omitempty"`

	Keep   bool `yaml:"keep" json:"keep,omitempty"`               // store the weight as it is; excludes the other fields
	Strict bool `yaml:"no_fallback" json:"no_fallback,omitempty"` // a shape that does not fit the codec is an error
}

// Patterns is a pattern or a list of them.
type Patterns []string

// UnmarshalYAML accepts a string or a list of strings.
func (p *Patterns) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		*p = Patterns{one}
		return nil
	}
	var list []string
	if err := unmarshal(&list); err != nil {
		return err
	}
	*p = list
	return nil
}

// Keep returns the recipe that leaves every weight as it is stored.
func Keep() Recipe {
	return Recipe{Name: "keep", Rules: []Rule{{Match: Patterns{"*"}, Keep: true}}}
}

// FromCodec returns the recipe of `--codec name --method method`: every matrix, embedding and head included. No method means nearest. Methods
// that prune or factor leave embedding and head whole, as their papers do, in the codec of the values or factors.
func FromCodec(name, method string, search bool) (Recipe, error) {
	if name == keepMethod && method == "" && !search {
		return Keep(), nil
	}
	r := Rule{Match: Patterns{"*"}, Method: method, Codec: name, Search: search}
	if _, err := r.check(); err != nil {
		return Recipe{}, err
	}
	if ends, ok := wholeEnds(r); ok {
		return Recipe{Rules: []Rule{ends, r}}, nil
	}
	return Recipe{Rules: []Rule{r}}, nil
}

// Default returns the recipe of a run that names none: four bits with small groups for the matrices of the layers, more for the embedding and
// the head, which cost most when they are rounded. gguf asks for codecs that a GGUF file can hold.
func Default(gguf bool) Recipe {
	ends, layers := "int8-g128", "int4-g64"
	if gguf {
		ends, layers = "q6_k", "q4_k"
	}
	return Recipe{Name: "default", Rules: []Rule{
		{Match: Patterns{"embedding", "head"}, Method: defaultMethod, Codec: ends},
		{Match: Patterns{"*"}, Method: defaultMethod, Codec: layers},
	}}
}

// maxRecipe bounds a recipe file; a rule for every weight of the largest models fits.
const maxRecipe = 4 << 20

// ReadRecipe reads and checks a recipe file.
func ReadRecipe(path string) (Recipe, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return Recipe{}, fmt.Errorf("%s: no such recipe; see docs/methods/recipes.md for examples", path)
		}
		return Recipe{}, fmt.Errorf("recipe: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRecipe+1))
	if err != nil {
		return Recipe{}, fmt.Errorf("recipe: %w", err)
	}
	if len(text) > maxRecipe {
		return Recipe{}, fmt.Errorf("%s: larger than %d bytes: not a recipe", path, maxRecipe)
	}
	return ParseRecipe(path, text)
}

// ParseRecipe reads a recipe from YAML. Unknown fields, wrong types and impossible rules are errors of the form
// "file:line:column: what and remedy"; file is only used in them.
func ParseRecipe(file string, text []byte) (r Recipe, err error) {
	defer func() { // the YAML library has crashed on malformed text before; a recipe comes from outside
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: not valid YAML", file)
		}
	}()
	if err := checkDepth(text); err != nil {
		return Recipe{}, fmt.Errorf("%s: %w", file, err)
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&r); err != nil {
		if errors.Is(err, io.EOF) {
			return Recipe{}, fmt.Errorf("%s: the recipe is empty; it needs a list of rules", file)
		}
		return Recipe{}, yamlError(file, err)
	}
	at := positions(text)
	if len(r.Rules) == 0 {
		return Recipe{}, fmt.Errorf("%s: the recipe has no rules; add at least one, e.g. {match: \"*\", codec: q8_0}", file)
	}
	for i := range r.Rules {
		if field, err := r.Rules[i].check(); err != nil {
			return Recipe{}, fmt.Errorf("%s%s: rule %d: %w", file, at(i, field), i+1, err)
		}
	}
	return r, nil
}

// maxDepth bounds the nesting of a recipe's brackets and indentation; the YAML parser recurses.
const maxDepth = 64

func checkDepth(text []byte) error {
	depth := 0
	for _, b := range text {
		switch b {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth > maxDepth {
			return errors.New("nested too deeply for a recipe")
		}
	}
	for line := range bytes.Lines(text) {
		trimmed := bytes.TrimLeft(line, " -?:&*!|>")
		if bytes.Count(line[:len(line)-len(trimmed)], []byte("-")) > maxDepth || len(line)-len(trimmed) > 1024 {
			return errors.New("nested too deeply for a recipe")
		}
	}
	return nil
}

// yamlError puts an error of the YAML library into one line.
func yamlError(file string, err error) error {
	var e yaml.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %s", file, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	message := e.GetMessage()
	if field, ok := strings.CutPrefix(message, "unknown field "); ok {
		message = fmt.Sprintf("unknown field %s; a recipe has name, seed, rules, a rule has match, method, codec, search, scorer, selector, solver, keep, no_fallback", field)
	}
	pos := e.GetToken().Position
	return fmt.Errorf("%s:%d:%d: %s", file, pos.Line, pos.Column, strings.ReplaceAll(message, "\n", " "))
}

// positions returns a function that gives ":line:column" of a rule's field, or of the rule if it lacks the field.
func positions(text []byte) func(rule int, field string) string {
	tree, err := parser.ParseBytes(text, 0)
	return func(rule int, field string) string {
		if err != nil {
			return ""
		}
		for _, p := range []string{fmt.Sprintf("$.rules[%d].%s", rule, field), fmt.Sprintf("$.rules[%d]", rule)} {
			path, err := yaml.PathString(p)
			if err != nil {
				continue
			}
			node, err := path.FilterFile(tree)
			if err != nil || node == nil || node.GetToken() == nil {
				continue
			}
			if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
				node = m.Values[0].Key
			}
			return fmt.Sprintf(":%d:%d", node.GetToken().Position.Line, node.GetToken().Position.Column)
		}
		return ""
	}
}

// check completes a rule with defaults; its error is about the field named.
func (r *Rule) check() (field string, err error) {
	if len(r.Match) == 0 {
		return "match", errors.New(`match is missing; give a role or a glob, "*" for every weight`)
	}
	for _, p := range r.Match {
		if err := checkPattern(p); err != nil {
			return "match", err
		}
	}
	if r.Keep {
		if r.Method != "" || r.Codec != "" || r.Search || r.Strict || r.parts() != (parts{}) {
			return "keep", errors.New("keep stores the weight as it is; it excludes all fields but match")
		}
		return "", nil
	}
	if r.Codec == "" {
		return "codec", errors.New("codec is missing; name one (int4-g128, q8_0, …) or say keep: true")
	}
	c, err := codec.Parse(r.Codec)
	if err != nil {
		return "codec", err
	}
	if r.Method == "" {
		r.Method = defaultMethod
		if _, ok := c.(codec.LowRank); ok {
			r.Method = defaultFactors
		}
	}
	return r.checkTerms()
}
