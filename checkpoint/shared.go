package checkpoint

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"weak"

	"pith/codec"
	"pith/formats"
	"pith/tensor"
)

// Terms of several weights may refer to one stored tensor (TermSpec.From): layers that share their matrices, dictionaries, bases. A
// reference names a tensor that is stored, never another reference, so there are no chains and no cycles. Such tensors count once, have
// names with a "|" that no weight claims, or are another weight's, and are in memory once however many weights refer to them.

// errReference starts what is said of references that lead nowhere.
var errReference = errors.New("damaged reference: compress again")

// tensorOf returns the tensor that stores a part of a weight's term, and whether it is only referred to.
func (s *TermSpec) tensorOf(weight string, term int, part string) (name string, shared bool) {
	if from, ok := s.From[part]; ok {
		return from, true
	}
	return PartName(weight, term, part), false
}

// Own returns the parts that are the weight's own, in order.
func (s *TermSpec) Own() []string {
	var own []string
	for _, part := range s.Parts {
		if _, shared := s.From[part]; !shared {
			own = append(own, part)
		}
	}
	return own
}

// checkFrom refuses references of parts that the term does not have.
func (s *TermSpec) checkFrom() error {
	for part, from := range s.From {
		if from == "" || !slices.Contains(s.Parts, part) {
			return fmt.Errorf("part %q refers to %q, and the term has parts %q: %w", part, from, s.Parts, errReference)
		}
	}
	return nil
}

// refer notes the references of all weights and checks that what they lead to is stored.
func (a *artifact) refer(path string) error {
	for weight, specs := range a.packed {
		for i := range specs {
			for part, from := range specs[i].From {
				if _, err := a.src.Info(from); err != nil {
					return fmt.Errorf("%s: %s: %s%w", path, PartName(weight, i, part), a.why(from), errReference)
				}
				a.referred[from] = true
			}
		}
	}
	return nil
}

// why says what is wrong with a reference to a tensor that is not stored.
func (a *artifact) why(from string) string {
	owner, rest, _ := strings.Cut(from, "|")
	for i := range a.packed[owner] {
		for part := range a.packed[owner][i].From {
			if PartName(owner, i, part) == owner+"|"+rest {
				return fmt.Sprintf("refers to %s, which is a reference itself; ", from)
			}
		}
	}
	return fmt.Sprintf("refers to %s, which is missing; ", from)
}

// sharedBytes returns the bytes of tensors that are no weight's own.
func (a *artifact) sharedBytes() int64 {
	var n int64
	for name := range a.hidden {
		if t, err := a.src.Info(name); err == nil {
			n += t.Bytes
		}
	}
	return n
}

// aliasOf returns the weight whose tensors, all of them and no others, a weight's parts refer to in the same places; "" if there is none.
func (a *artifact) aliasOf(name string) string {
	specs := a.packed[name]
	owner := ""
	for i := range specs {
		for _, part := range specs[i].Parts {
			from, shared := specs[i].tensorOf(name, i, part)
			of, _, _ := strings.Cut(from, "|")
			if !shared || owner != "" && of != owner {
				return ""
			}
			if from != of && from != PartName(of, i, part) {
				return ""
			}
			owner = of
		}
	}
	if n := len(a.packed[owner]); n > 0 && n != len(specs) || n == 0 && a.hidden[owner] {
		return ""
	}
	return owner
}

// held is what several weights have in common: a tensor, or the term made of some.
type held struct {
	tensor tensor.Tensor
	term   codec.Term
}

// commons remembers what is loaded of what weights have in common, as long as one of them lives.
type commons struct {
	mu   sync.Mutex
	seen map[string]weak.Pointer[held]
}

// get returns what is known under key, made if it is not there or nobody uses it any more.
func (c *commons) get(key string, make func() (held, error)) (*held, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.seen[key].Value(); h != nil {
		return h, nil
	}
	made, err := make()
	if err != nil {
		return nil, err
	}
	if c.seen == nil {
		c.seen = map[string]weak.Pointer[held]{}
	}
	c.seen[key] = weak.Make(&made)
	return &made, nil
}

// termLoader reads the term of one spec. keep collects what the weight must hold so that others find it.
type termLoader struct {
	a      *artifact
	weight string
	index  int
	spec   *TermSpec
	keep   []any
	file   string // that holds the last part
}

// part reads a part; the tensors that weights refer to are read once.
func (l *termLoader) part(short string) (codec.Part, error) {
	name, _ := l.spec.tensorOf(l.weight, l.index, short)
	if info, err := l.a.src.Info(name); err == nil {
		l.file = filepath.Base(info.File)
	}
	var t tensor.Tensor
	if l.a.referred[name] {
		h, err := l.a.tensors.get(name, func() (h held, err error) {
			h.tensor, err = formats.Read(l.a.src, name)
			return h, err
		})
		if err != nil {
			return t, err
		}
		l.keep = append(l.keep, h)
		t = h.tensor
	} else {
		var err error
		if t, err = formats.Read(l.a.src, name); err != nil {
			return t, err
		}
	}
	t.Name = short
	return t, nil
}

// open makes the term. One that is made of nothing but what other weights use too is made once for all of them.
func (l *termLoader) open() (codec.Term, error) {
	key := fmt.Sprintf("%s (%d, %d)", l.spec.Codec, l.spec.Rows, l.spec.Cols)
	common := len(l.spec.Parts) > 0
	for _, short := range l.spec.Parts {
		name, _ := l.spec.tensorOf(l.weight, l.index, short)
		common = common && l.a.referred[name]
		key += "\n" + short + " " + name
	}
	if !common {
		return l.make()
	}
	h, err := l.a.terms.get(key, func() (h held, err error) {
		h.term, err = l.make()
		return h, err
	})
	if err != nil {
		return nil, err
	}
	l.keep = append(l.keep, h)
	return h.term, nil
}

func (l *termLoader) make() (codec.Term, error) {
	parts := make([]codec.Part, len(l.spec.Parts))
	for j, short := range l.spec.Parts {
		var err error
		if parts[j], err = l.part(short); err != nil {
			return nil, err
		}
	}
	c, err := codec.Parse(l.spec.Codec)
	if err != nil {
		return nil, err
	}
	if whole, ok := c.(codec.Assembled); ok && len(l.spec.From) > 0 {
		return whole.OpenWith(l.spec.Rows, l.spec.Cols, parts, l.openInner)
	}
	return c.Open(l.spec.Rows, l.spec.Cols, parts)
}

// openInner makes an atom or a factor, once for all terms that have it.
func (l *termLoader) openInner(prefix string, c codec.Codec, rows, cols int, parts []codec.Part) (codec.Term, error) {
	key := fmt.Sprintf("%s (%d, %d)", c.Name(), rows, cols)
	for _, p := range parts {
		name, _ := l.spec.tensorOf(l.weight, l.index, prefix+p.Name)
		if !l.a.referred[name] {
			return c.Open(rows, cols, parts)
		}
		key += "\n" + p.Name + " " + name
	}
	h, err := l.a.inner.get(key, func() (h held, err error) {
		h.term, err = c.Open(rows, cols, parts)
		return h, err
	})
	if err != nil {
		return nil, err
	}
	l.keep = append(l.keep, h)
	return h.term, nil
}
