package calib

import (
	"fmt"
	"slices"
	"sync"
	"weak"
)

// Site is a place in a network where activations are observed: what one linear layer, or several side by side, multiply.
type Site struct {
	Name      string   `json:"name"`     // "layers.0.qkv", "head", "embedding"; package model lists them
	Features  int      `json:"features"` // of an input; of an embedding its rows
	Weights   []string `json:"weights"`  // checkpoint names of the weights that multiply the input, or of the embedding
	Need      Need     `json:"need"`     // what was collected: "moments", "gram" or "counts"
	Tokens    int64    `json:"tokens"`
	NonFinite int64    `json:"non_finite,omitempty"`

	Magnitudes bool `json:"magnitudes,omitempty"` // Σ |x| was collected too
}

// Model identifies the network that was observed.
type Model struct {
	Type   string `json:"type"`   // config.json's model_type
	SHA256 string `json:"sha256"` // of its weight files
}

// Corpus is what the network read in one run: windows of Context tokens, one after another, from each file.
type Corpus struct {
	Files   []File `json:"files"`
	Context int    `json:"context"`
	BOS     bool   `json:"bos"`     // the first token of each window was overwritten by BOS
	Windows int    `json:"windows"` // of all files
	Tokens  int64  `json:"tokens"`  // Windows · Context
}

// File is one text.
type File struct {
	Name    string `json:"name"` // without directory
	SHA256  string `json:"sha256"`
	Bytes   int64  `json:"bytes"`
	Tokens  int64  `json:"tokens"`  // of the whole text
	Windows int    `json:"windows"` // read of it, from its beginning
}

// Equal reports whether both are the same reading of the same texts.
func (c Corpus) Equal(d Corpus) bool {
	return slices.Equal(c.Files, d.Files) && c.Context == d.Context && c.BOS == d.BOS && c.Windows == d.Windows && c.Tokens == d.Tokens
}

// Set is the statistics of a model: sites, and which weight reads from which. It is safe for concurrent use once it is filled.
type Set struct {
	Model   Model
	Corpora []Corpus // several after a merge
	Tool    string   // name and version of the writer

	entries  []entry
	byName   map[string]int
	byWeight map[string]int // the site that a weight multiplies; for an embedding that is not also the head, its counts
	mu       sync.Mutex
	files    []*setFile // to close
	fishers  []fisherEntry
	byFisher map[string]int
}

// entry is one site. Its statistics are held in memory, or loaded and remembered for as long as anybody uses them.
type entry struct {
	Site
	held  *Stats
	from  loader // if held is nil
	alive weak.Pointer[Stats]
}

// loader gives a site's statistics, as far as need asks.
type loader interface {
	load(site *Site, need Need) (*Stats, error)
}

// NewSet returns a set without sites.
func NewSet(m Model, corpora ...Corpus) *Set { return &Set{Model: m, Corpora: corpora} }

// Add appends a site with its statistics, which the set then owns. Tokens, NonFinite, Need and Magnitudes are taken
// from stats.
func (s *Set) Add(site Site, stats *Stats) error {
	site.Need, site.Tokens, site.NonFinite = stats.Holds(), stats.Tokens, stats.NonFinite
	site.Magnitudes = stats.AbsSum != nil
	if site.Features != max(len(stats.SqSum), len(stats.Counts)) {
		panic("calib: Add of statistics with another number of features than their site")
	}
	return s.enter(entry{Site: site, held: stats})
}

// enter appends e if it does not contradict the sites there are.
func (s *Set) enter(e entry) error {
	if err := e.check(); err != nil {
		return err
	}
	if _, ok := s.byName[e.Name]; ok {
		return fmt.Errorf("site %q is there twice", e.Name)
	}
	if s.byName == nil {
		s.byName, s.byWeight = map[string]int{}, map[string]int{}
	}
	at := len(s.entries)
	for _, w := range e.Weights {
		old, ok := s.byWeight[w]
		switch {
		case ok && old == at:
			return fmt.Errorf("site %q names weight %q twice", e.Name, w)
		case !ok, s.entries[old].Need == Counts && e.Need != Counts:
			s.byWeight[w] = at
		case s.entries[old].Need != Counts && e.Need != Counts:
			return fmt.Errorf("weight %q reads from both %q and %q", w, s.entries[old].Name, e.Name)
		}
	}
	s.byName[e.Name] = at
	s.entries = append(s.entries, e)
	return nil
}

// maxFeatures bounds the width of an input and the rows of an embedding: far above any model, and its square fits in an int64.
const maxFeatures = 1 << 24

func (s *Site) check() error {
	switch {
	case s.Name == "" || len(s.Name) > 1000:
		return fmt.Errorf("a site's name has %d bytes; 1 to 1000 are possible", len(s.Name))
	case s.Need != Moments && s.Need != Gram && s.Need != Counts:
		return fmt.Errorf("site %q: statistics called %q are not known", s.Name, s.Need)
	case s.Features < 1 || s.Features > maxFeatures:
		return fmt.Errorf("site %q: %d features; 1 to %d are possible", s.Name, s.Features, maxFeatures)
	case s.Tokens < 0 || s.NonFinite < 0:
		return fmt.Errorf("site %q: a negative number of tokens", s.Name)
	}
	return nil
}

// Sites lists the sites in the order in which they were added, a network's from first to last.
func (s *Set) Sites() []Site {
	list := make([]Site, len(s.entries))
	for i := range s.entries {
		list[i] = s.entries[i].Site
		list[i].Weights = slices.Clone(list[i].Weights)
	}
	return list
}

// SiteOf returns the site whose statistics serve a weight: that of the activations it multiplies, or the counts of an embedding that is
// not also the head.
func (s *Set) SiteOf(weight string) (Site, bool) {
	i, ok := s.byWeight[weight]
	if !ok {
		return Site{}, false
	}
	return s.entries[i].Site, true
}

// Stats returns the statistics of a site as far as need asks and they were collected. All weights of a site get the same object for as long
// as one of them holds it, so what one derives the others find; when nobody does, its memory is free again.
func (s *Set) Stats(site string, need Need) (*Stats, error) {
	i, ok := s.byName[site]
	if !ok {
		return nil, fmt.Errorf("no statistics of site %q", site)
	}
	return s.stats(&s.entries[i], need)
}

// For returns the statistics that serve a weight of cols columns (of an embedding: rows), nil if there are none.
func (s *Set) For(weight string, cols int, need Need) (*Stats, error) {
	i, ok := s.byWeight[weight]
	if !ok {
		return nil, nil
	}
	e := &s.entries[i]
	if e.Features != cols {
		return nil, fmt.Errorf("%s: the statistics are of %d features and the weight has %d columns: calibrate with this model", weight, e.Features, cols)
	}
	return s.stats(e, need)
}

func (s *Set) stats(e *entry, need Need) (*Stats, error) {
	if e.held != nil {
		return e.held, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := e.alive.Value(); st != nil && (st.Gram != nil || e.Need != Gram || !need.Has(Gram)) {
		return st, nil
	}
	st, err := e.from.load(&e.Site, need)
	if err != nil {
		return nil, err
	}
	e.alive = weak.Make(st)
	return st, nil
}

// Tokens returns how many tokens the network read, over all corpora.
func (s *Set) Tokens() int64 {
	var n int64
	for _, c := range s.Corpora {
		n += c.Tokens
	}
	return n
}

// NonFinite returns the largest number of tokens that a site had to leave out, and that site.
func (s *Set) NonFinite() (tokens int64, site string) {
	for i := range s.entries {
		if e := &s.entries[i]; e.NonFinite > tokens {
			tokens, site = e.NonFinite, e.Name
		}
	}
	return tokens, site
}
