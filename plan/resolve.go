package plan

import (
	"errors"
	"fmt"
	"strings"

	"pith/checkpoint"
	"pith/codec"
	"pith/model"
	"pith/tensor"
)

// Resolve decides, for every weight of the checkpoint, what the recipe does with it. It reads headers only.
func Resolve(ckpt *checkpoint.Checkpoint, r Recipe) (*Plan, error) {
	for i := range r.Rules {
		if _, err := r.Rules[i].check(); err != nil {
			return nil, fmt.Errorf("recipe: rule %d: %w", i+1, err)
		}
	}
	if len(r.Rules) == 0 {
		return nil, errors.New("the recipe has no rules")
	}
	p := &Plan{Format: Format, Recipe: r}
	cfg, err := configOf(ckpt, p)
	if err != nil {
		return nil, err
	}
	names := ckpt.Names()
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: holds no tensors", ckpt.Path)
	}
	res := resolver{ckpt: ckpt, cfg: cfg, recipe: r, has: map[string]bool{}, lines: map[string]Line{}, used: make([]bool, len(r.Rules))}
	for _, name := range names {
		res.has[name] = true
	}
	head := false
	for _, b := range model.Blocks(cfg, names) {
		block := Block{Name: b.Name}
		for _, name := range b.Weights {
			line, err := res.line(name)
			if err != nil {
				return nil, err
			}
			res.lines[name] = line
			head = head || line.Role == "head"
			block.Lines = append(block.Lines, line)
			p.Totals.Weights += line.Elements()
			p.Totals.SourceBytes += line.SourceBytes
			p.Totals.Bytes += line.Bytes
		}
		p.Blocks = append(p.Blocks, block)
	}
	if p.Totals.Weights > 0 {
		p.Totals.BitsPerWeight = 8 * float64(p.Totals.Bytes) / float64(p.Totals.Weights)
	}
	if cfg.TiedHead && !head {
		p.Notes = append(p.Notes, "the head is tied: the model multiplies by the embedding, whose line counts for both")
	}
	for i, used := range res.used {
		if !used {
			p.Notes = append(p.Notes, fmt.Sprintf("rule %d (match %s) decides no weight", i+1, strings.Join(r.Rules[i].Match, ", ")))
		}
	}
	return p, nil
}

// configOf returns the checkpoint's config; without one, or for an architecture without a table, a zero Config and a note.
func configOf(ckpt *checkpoint.Checkpoint, p *Plan) (model.Config, error) {
	if ckpt.ConfigJSON() == nil {
		p.Notes = append(p.Notes, "there is no config.json: the model can be compressed, not run; blocks are single weights and only the role \"other\" matches")
		return model.Config{}, nil
	}
	cfg, err := ckpt.Config()
	if errors.Is(err, model.ErrUnknownArchitecture) {
		p.Notes = append(p.Notes, "this architecture has no table: the model can be compressed, not run; blocks are single weights and only the role \"other\" matches")
		return model.Config{}, nil
	}
	p.Model = cfg.ModelType
	return cfg, err
}

// resolver holds what the lines of one plan share.
type resolver struct {
	ckpt   *checkpoint.Checkpoint
	cfg    model.Config
	recipe Recipe
	has    map[string]bool
	lines  map[string]Line // so far
	used   []bool          // per rule
}

func (res *resolver) line(name string) (Line, error) {
	info, err := res.ckpt.Info(name)
	if err != nil {
		return Line{}, err
	}
	l := Line{Weight: name, Role: model.Role(res.cfg, name), Shape: info.Shape, Rows: info.Rows, Cols: info.Cols,
		Source: info.Codec, SourceBytes: info.Bytes, Method: keepMethod, Codec: info.Codec, Bytes: info.Bytes + info.SharedBytes}
	if owner, made := res.lines[info.Of]; made {
		return l.aliasOf(owner), nil
	}
	rule := res.rule(&l)
	if rule != nil {
		res.used[l.Rule-1] = true
	}
	if why := keptAnyway(info, l.Role); why != "" {
		if rule != nil && !rule.Keep {
			l.Note = why
		}
		return l, nil
	}
	switch {
	case rule == nil:
		l.Note = "no rule matches: kept"
		return l, nil
	case rule.Keep:
		return l, nil
	}
	if err := res.checkScaled(info); err != nil {
		return Line{}, err
	}
	if model.Transposed(res.cfg, name) && !info.Transposed {
		l.Transposed = true
		l.Rows, l.Cols = l.Cols, l.Rows
	}
	l.Transposed = l.Transposed || info.Transposed
	return l, l.choose(rule)
}

// aliasOf returns the line of a weight that is the same matrix as an earlier line's, stored once, whatever the rules say of its name.
func (l Line) aliasOf(owner Line) Line {
	l.Rows, l.Cols, l.Transposed = owner.Rows, owner.Cols, owner.Transposed
	l.Method, l.Codec, l.Rule, l.Bytes, l.Of = aliasMethod, owner.Codec, owner.Rule, 0, owner.Weight
	return l
}

// rule returns the first rule that matches the line's weight, and notes its number.
func (res *resolver) rule(l *Line) *Rule {
	for i := range res.recipe.Rules {
		for _, p := range res.recipe.Rules[i].Match {
			if matches(p, l.Weight, l.Role) {
				l.Rule = i + 1
				return &res.recipe.Rules[i]
			}
		}
	}
	return nil
}

// keptAnyway says why a weight is kept whatever the rules say, or "".
func keptAnyway(info checkpoint.Info, role string) string {
	switch {
	case role == "shortcut":
		return "shortcut of the residual stream: kept"
	case len(info.Shape) < 2:
		return "vector: kept"
	case info.Rows == 0 || info.Cols == 0:
		return "empty: kept"
	case info.DType == tensor.Invalid:
		return ""
	}
	switch info.DType {
	case tensor.F16, tensor.BF16, tensor.F32, tensor.F64, tensor.F8E4M3, tensor.F8E5M2, tensor.F8E4M3FNUZ, tensor.F8E5M2FNUZ:
		return ""
	}
	return fmt.Sprintf("%v elements are not weights pith can round: kept", info.DType)
}

// checkScaled refuses to round an 8-bit float weight whose scales are in another tensor: its elements alone are not the weight.
func (res *resolver) checkScaled(info checkpoint.Info) error {
	switch info.DType {
	case tensor.F8E4M3, tensor.F8E5M2, tensor.F8E4M3FNUZ, tensor.F8E5M2FNUZ:
	default:
		return nil
	}
	for _, suffix := range []string{"_scale_inv", "_scale"} {
		if scale := info.Name + suffix; res.has[scale] {
			return fmt.Errorf("%s: %s: is %v with scales in %s, which pith does not apply; convert the checkpoint to BF16 first, or keep this weight with a rule",
				info.File, info.Name, info.DType, scale)
		}
	}
	return nil
}

// choose sets method, codec and bytes as the rule says, or a codec near it that the shape fits, with a note.
func (l *Line) choose(rule *Rule) error {
	c, err := codec.Parse(rule.Codec)
	if err != nil {
		return fmt.Errorf("%s: %w", l.Weight, err)
	}
	method := rule.Method
	if why := c.Check(l.Rows, l.Cols); why != nil {
		if rule.Strict {
			return fmt.Errorf("%s: %w; leave out no_fallback to take the nearest codec that fits", l.Weight, why)
		}
		var name string
		name, method = fallback(c, method, l.Rows, l.Cols)
		if c, err = codec.Parse(name); err != nil {
			return fmt.Errorf("%s: %w", l.Weight, err)
		}
		if again := c.Check(l.Rows, l.Cols); again != nil {
			return fmt.Errorf("%s: %w; and %w", l.Weight, why, again)
		}
		l.Note = fmt.Sprintf("%s instead of %s: %v", c.Name(), rule.Codec, why)
	}
	l.Method, l.Codec, l.Search, l.Bytes = method, c.Name(), rule.Search, c.Size(l.Rows, l.Cols)
	l.Scorer, l.Selector, l.Solver = rule.Scorer, rule.Selector, rule.Solver
	if err := l.checkPruned(c); err != nil {
		return err
	}
	_, err = l.NewMethod()
	if err != nil && l.Note != "" && !prunes(l.Method) { // what stands in for the codec has no place for what the method stores
		l.Method = defaultMethod
		_, err = l.NewMethod()
	}
	return err
}
