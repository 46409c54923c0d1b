package plan

import (
	"fmt"
	"slices"
	"strings"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/lowrank"
	"pith/quantizers"
)

const (
	defaultMethod  = "nearest"
	keepMethod     = "keep" // the weight is stored as the source stores it
	bitStackMethod = "bitstack"
	aliasMethod    = "alias" // the weight is another one, stored once
)

// method makes an approx.Method of what a rule says.
type method struct {
	name string
	make func(c codec.Codec, l *Line) approx.Method
}

// forCodec is make, in the rotated basis for codecs that store rotated matrices.
func (m method) forCodec(c codec.Codec, l *Line) approx.Method {
	return quantizers.ForCodec(c, func(inner codec.Codec) approx.Method { return m.make(inner, l) })
}

// corrected returns made such that methods that see whole Gram matrices also make up for the errors of earlier layers, where statistics tell
// of them.
func corrected(made approx.Method) approx.Method {
	if itself, ok := made.(interface{ MakesUpForDrift() bool }); ok && itself.MakesUpForDrift() {
		return made
	}
	if made.Needs().Has(calib.Gram) {
		return quantizers.Corrected{Method: made}
	}
	return made
}

// methods is the one table of methods that recipes can name.
func methods() []method {
	return []method{
		{defaultMethod, func(c codec.Codec, l *Line) approx.Method { return quantizers.Nearest{Codec: c, Search: l.Search} }},
		{"ldlq", func(c codec.Codec, _ *Line) approx.Method {
			return quantizers.LDLQ{Codec: c, Search: true, Ordered: true, Damping: ldlqDamping, Refit: true, Gains: gains(c), Sweeps: sweeps(c)}
		}},
		{"frequent", func(c codec.Codec, l *Line) approx.Method { return quantizers.Frequent{Codec: c, Search: l.Search} }},
		{"awq", func(c codec.Codec, l *Line) approx.Method { return quantizers.AWQ{Codec: c, Search: l.Search} }},
		{"hqq", func(c codec.Codec, _ *Line) approx.Method { return quantizers.HQQ{Codec: c} }},
		{"gptq", func(c codec.Codec, _ *Line) approx.Method { return quantizers.GPTQ{Codec: c} }},
		{"leanquant", func(c codec.Codec, _ *Line) approx.Method { return quantizers.Codebook{Codec: c, Damping: ldlqDamping} }},
		{"codebook", func(c codec.Codec, _ *Line) approx.Method {
			return quantizers.Codebook{Codec: c, Damping: ldlqDamping, Rounds: tableRounds}
		}},
		{"magnitude", func(c codec.Codec, l *Line) approx.Method { return newPrune("magnitude", c, l) }},
		{"wanda", func(c codec.Codec, l *Line) approx.Method { return newPrune("wanda", c, l) }},
		{"sparsegpt", func(c codec.Codec, l *Line) approx.Method { return newPrune("sparsegpt", c, l) }},
		{bitStackMethod, func(c codec.Codec, _ *Line) approx.Method { return lowrank.BitStack{Rank: signRank(c)} }},
		{"svd", factored(lowrank.SVD{})},
		{"fwsvd", factored(lowrank.FWSVD{})},
		{"svd-freq", factored(lowrank.Frequency{})},
		{"fisher-in", factored(lowrank.FWSVD{Inputs: true})},
		{"asvd", factored(lowrank.ASVD{})},
		{"svd-llm", factored(lowrank.SVDLLM{Damping: svdDamping})},
		{"svd-llm-u", factored(lowrank.SVDLLM{Damping: svdDamping, Update: true})},
		{surgeon, func(c codec.Codec, l *Line) approx.Method { return newPrune(surgeon, c, l) }},
	}
}

// methodNamed returns the method that a recipe names: one of the table, or asvd with its exponent.
func methodNamed(name string) (method, bool) {
	all := methods()
	if at := slices.IndexFunc(all, func(m method) bool { return m.name == name }); at >= 0 {
		return all[at], true
	}
	if a, ok := lowrank.ParseASVD(name); ok {
		return method{name, factored(a)}, true
	}
	return method{}, false
}

// unknown is the error about a method that methodNamed does not know.
func unknown(name string) error {
	if strings.HasPrefix(name, "asvd") {
		return fmt.Errorf("unknown method %q: an exponent of asvd is above 0 and at most 4, with no zeros that could be left out, as asvd0.25 or asvd1; 0.5 is asvd itself", name)
	}
	return fmt.Errorf("unknown method %q; known: %s", name, strings.Join(Methods(), ", "))
}

// ldlqDamping is ten times the papers' 0.01: on text of other kinds than the calibration's, KL is 3 to 18 % lower per role, and about the
// same from 0.05 to 0.6 (docs/methods/trellis.md).
const ldlqDamping = 0.1

// signRank returns the k of a codec of signs, and what bitstack refuses for others.
func signRank(c codec.Codec) int {
	if k := codec.SignRank(c.Name()); k > 0 {
		return k
	}
	return -1
}

// tableRounds is how often codebook chooses tables and codes in turn (docs/methods/codebooks.md).
const tableRounds = 4

// gains are the scales that ldlq tries for a codec: trellis codes have one scale per row, and error feedback makes targets wider than w.
func gains(c codec.Codec) []float32 {
	if !trellisCode(c) {
		return nil
	}
	return []float32{1, 1.1, 1.2, 1.3}
}

// sweeps is how often ldlq rounds a weight again. On pith-ref the KL of scalar codes falls by 3 to 16 %, that of trellis codes by less
// than its noise (docs/methods/ldlq.md).
func sweeps(c codec.Codec) int {
	if trellisCode(c) {
		return 0
	}
	return 4
}

func trellisCode(c codec.Codec) bool { return strings.HasPrefix(c.Name(), "tcq-") }

// Methods returns the names of the methods that recipes can name.
func Methods() []string {
	var names []string
	for _, m := range methods() {
		names = append(names, m.name)
	}
	return names
}

// NewMethod returns the method that a line calls for. A line that keeps its weight has none, nor has an alias or a set's line (NewSharer): nil.
func (l *Line) NewMethod() (approx.Method, error) {
	if l.Keeps() || l.Alias() || l.Common() {
		return nil, nil
	}
	if l.Set != "" {
		m, err := l.sharedMethod()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Weight, err)
		}
		return m, nil
	}
	c, err := codec.Parse(l.Codec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Weight, err)
	}
	if _, err := l.rule().checkTerms(); err != nil { // a plan may come from elsewhere
		return nil, fmt.Errorf("%s: %w", l.Weight, err)
	}
	made, err := l.makeMethod(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Weight, err)
	}
	return corrected(made), nil
}

// Roles returns the words that a rule can match instead of a glob: the roles of model.Role and their groups.
func Roles() []string {
	list := []string{"embedding", "position", "head", "attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_gate", "ffn_up",
		"ffn_gate_up", "ffn_down", "norm", "bias", "other"}
	for g := range groups() {
		list = append(list, g)
	}
	slices.Sort(list)
	return list
}

// groups are words for several roles.
func groups() map[string][]string {
	attention := []string{"attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output"}
	ffn := []string{"ffn_gate", "ffn_up", "ffn_gate_up", "ffn_down"}
	return map[string][]string{"attention": attention, "ffn": ffn, "linear": slices.Concat(attention, ffn)}
}

// suiting returns the method of a menu's codec, of a sum those of its terms: asked, where it can solve the codec; else the one that suits it, without
// data one that asks for none.
func suiting(c codec.Codec, asked string, data bool) string {
	if sum, ok := c.(codec.Sum); ok && !strings.Contains(asked, methodSeparator) {
		var names []string
		for _, term := range sum.Codecs() {
			names = append(names, suiting(term, asked, data))
		}
		return strings.Join(names, methodSeparator)
	}
	_, product := c.(codec.LowRank)
	_, sparse := unrotated(c).(codec.Sparse)
	switch {
	case codec.SignRank(c.Name()) > 0:
		return bitStackMethod
	case asked != "" && solves(asked, c):
		return asked
	case product && data:
		return defaultFactors
	case product:
		return "svd"
	case sparse && data:
		return "sparsegpt"
	case sparse:
		return "magnitude"
	}
	for _, name := range []string{"codebook", "frequent", "awq"} { // each takes codecs of one kind only
		if data && solves(name, c) {
			return name
		}
	}
	if data && !strings.HasSuffix(c.Name(), "f16") && c.Name() != "f32" {
		return "ldlq"
	}
	return defaultMethod
}

// solves reports whether a method can solve for a codec.
func solves(method string, c codec.Codec) bool {
	r := Rule{Match: Patterns{"*"}, Method: method, Codec: c.Name()}
	if _, err := r.check(); err != nil {
		return false
	}
	_, err := (&Line{Method: method, Codec: c.Name()}).NewMethod()
	return err == nil
}
