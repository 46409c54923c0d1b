package eval

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"pith/codec"
	"pith/model"
	"pith/tensor"
)

// SyntheticOptions say which model of random weights is timed, and how. Zeros stand for TinyLlama's sizes with 8 of its 22 layers, 16 tokens
// decoded, no prompt, 5 repeats of which the best counts, one worker.
type SyntheticOptions struct {
	Hidden, Intermediate, Layers, Heads, KVHeads, Vocab int
	Decode, Prompt, Repeats                             int
	Workers                                             []int
	Atoms                                               []AtomsOptions // each codec of atoms is timed under each of these; none: model.Direct
}

// SyntheticRow is how fast the model runs with the weights of all linears, head included, stored by one codec.
type SyntheticRow struct {
	Codec                 string        `json:"codec"`
	Atoms                 *model.Choice `json:"atoms,omitempty"`       // of a codec of atoms: how combinations are multiplied
	Dense                 string        `json:"dense_codec,omitempty"` // of a low-rank codec: its factors'
	Workers               int           `json:"workers"`
	Bytes                 int64         `json:"bytes"`         // of all linears
	MultiplyAdds          int64         `json:"multiply_adds"` // of all linears, one token
	DecodeTokensPerSecond float64       `json:"decode_tokens_per_second"`
	PromptTokensPerSecond float64       `json:"prompt_tokens_per_second,omitempty"`
	ActivationBytes       int64         `json:"activation_bytes"`
	VsDense               float64       `json:"vs_dense,omitempty"` // DecodeTokensPerSecond over the dense codec's
}

func (o *SyntheticOptions) defaults() {
	for _, f := range []struct {
		to   *int
		zero int
	}{{&o.Hidden, 2048}, {&o.Intermediate, 5632}, {&o.Layers, 8}, {&o.Heads, 32}, {&o.KVHeads, 4}, {&o.Vocab, 32000}, {&o.Decode, 16}, {&o.Repeats, 5}} {
		if *f.to == 0 {
			*f.to = f.zero
		}
	}
	if len(o.Workers) == 0 {
		o.Workers = []int{1}
	}
}

// MeasureSynthetic times a Llama of random weights stored by each of the codecs, with dense codecs of low-rank ones among them before these. Models take
// turns, so that other work on the machine slows all of them. No weight is fitted: factors of a low-rank codec are random too.
func MeasureSynthetic(ctx context.Context, codecs []string, o SyntheticOptions, progress func(done, all int, what string)) ([]SyntheticRow, error) {
	o.defaults()
	c, err := o.config()
	if err != nil {
		return nil, err
	}
	var rows []SyntheticRow
	var models []*model.Model
	for i, name := range codecs {
		progress(i, len(codecs), "making "+name)
		w := &randomWeights{config: c, made: map[string]*codec.Weight{}, atoms: map[string][]codec.Term{}}
		if w.codec, err = codec.Parse(name); err != nil {
			return nil, err
		}
		for _, workers := range o.Workers {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			for _, policy := range o.policies(w.codec) {
				m, err := model.New(c, w, workers)
				if err != nil {
					return nil, err
				}
				row := SyntheticRow{Codec: name, Workers: workers, Bytes: w.bytes, MultiplyAdds: w.products}
				choice, err := setAtoms(m, policy)
				if err != nil {
					return nil, err
				}
				if choice.Direct.Held > 0 {
					row.Atoms = &choice
				}
				if lr, ok := w.codec.(codec.LowRank); ok {
					row.Dense = lr.Inner().Name()
				}
				rows, models = append(rows, row), append(models, m)
			}
		}
	}
	for repeat := range o.Repeats {
		for i, m := range models {
			progress(repeat*len(models)+i, o.Repeats*len(models), rows[i].Codec)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := rows[i].measure(m, o); err != nil {
				return nil, err
			}
		}
	}
	compareWithDense(rows)
	return rows, nil
}

// policies returns those that models of codec c are timed under.
func (o *SyntheticOptions) policies(c codec.Codec) []AtomsOptions {
	if _, ok := c.(codec.Atoms); !ok || len(o.Atoms) == 0 {
		return []AtomsOptions{{}}
	}
	return o.Atoms
}

// Name is the codec's, with the policy of a codec of atoms.
func (r *SyntheticRow) Name() string {
	if r.Atoms == nil {
		return r.Codec
	}
	return r.Codec + " " + string(r.Atoms.Policy)
}

// measure runs a model once.
func (r *SyntheticRow) measure(m *model.Model, o SyntheticOptions) error {
	rng := rand.New(rand.NewPCG(1, 1))
	feed := func(s *model.Session, n int) error {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(rng.IntN(o.Vocab))
		}
		_, err := s.Feed(ids)
		r.ActivationBytes = max(r.ActivationBytes, s.ActivationBytes())
		return err
	}
	if o.Prompt > 0 {
		s := m.NewSession(o.Prompt)
		start := time.Now()
		if err := feed(s, o.Prompt); err != nil {
			return err
		}
		r.PromptTokensPerSecond = max(r.PromptTokensPerSecond, float64(o.Prompt)/time.Since(start).Seconds())
	}
	s := m.NewSession(o.Decode + 1)
	if err := feed(s, 1); err != nil {
		return err
	}
	for range o.Decode { // the fastest token counts
		start := time.Now()
		if err := feed(s, 1); err != nil {
			return err
		}
		r.DecodeTokensPerSecond = max(r.DecodeTokensPerSecond, 1/time.Since(start).Seconds())
	}
	return nil
}

// compareWithDense sets how many times as fast each low-rank row is as the dense one of the same workers.
func compareWithDense(rows []SyntheticRow) {
	for i := range rows {
		for _, dense := range rows {
			if r := &rows[i]; r.Dense != "" && r.Dense == dense.Codec && r.Workers == dense.Workers {
				r.VsDense = r.DecodeTokensPerSecond / dense.DecodeTokensPerSecond
			}
		}
	}
}

// config returns the config of a Llama of these sizes.
func (o *SyntheticOptions) config() (model.Config, error) {
	if o.Heads < 1 || o.Hidden%o.Heads != 0 {
		return model.Config{}, fmt.Errorf("%d heads do not divide hidden size %d", o.Heads, o.Hidden)
	}
	if o.Decode < 1 || o.Prompt < 0 || slices.Min(o.Workers) < 1 {
		return model.Config{}, errors.New("decode at least one token, on at least one worker")
	}
	text, err := json.Marshal(map[string]any{"model_type": "llama", "hidden_size": o.Hidden, "intermediate_size": o.Intermediate, "num_hidden_layers": o.Layers,
		"num_attention_heads": o.Heads, "num_key_value_heads": o.KVHeads, "vocab_size": o.Vocab, "max_position_embeddings": max(o.Prompt, o.Decode+1)})
	if err != nil {
		return model.Config{}, err
	}
	return model.ParseConfig(text)
}

// randomWeights is a checkpoint whose matrices are random terms of one codec; vectors are ones, the embedding is F16.
type randomWeights struct {
	config          model.Config
	codec           codec.Codec
	atoms           map[string][]codec.Term // that all layers have in common, by the names of their weights without numbers
	made            map[string]*codec.Weight
	bytes, products int64
}

func (w *randomWeights) Names() (names []string) {
	for _, s := range model.Specs(w.config) {
		names = append(names, s.Name)
	}
	return names
}

func (w *randomWeights) Shape(name string) ([]int, error) {
	for _, s := range model.Specs(w.config) {
		if s.Name == name {
			return s.Shape, nil
		}
	}
	return nil, fmt.Errorf("no tensor %q", name)
}

func (w *randomWeights) Load(name string) (*codec.Weight, error) {
	if made := w.made[name]; made != nil {
		return made, nil
	}
	shape, err := w.Shape(name)
	if err != nil {
		return nil, err
	}
	made := &codec.Weight{Name: name, Rows: 1, Cols: shape[0], Shape: shape}
	var term codec.Term
	switch {
	case len(shape) == 1:
		ones := make([]byte, 4*shape[0])
		for i := range shape[0] {
			binary.LittleEndian.PutUint32(ones[4*i:], math.Float32bits(1))
		}
		term, err = codec.Dense(name, tensor.F32, 1, shape[0], ones)
	case model.Role(w.config, name) == "embedding":
		made.Rows, made.Cols = shape[0], shape[1]
		f16, _ := codec.Parse("f16")
		term, err = randomTerm(f16, shape[0], shape[1])
	default:
		made.Rows, made.Cols = shape[0], shape[1]
		if term, err = w.linear(name, shape[0], shape[1]); err == nil {
			w.products += products(term)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	made.Terms = codec.Terms(term)
	w.made[name] = made
	return made, nil
}

// linear returns the term of a linear. Codecs of atoms have all layers' atoms in common, and the head in the atoms' codec.
func (w *randomWeights) linear(name string, rows, cols int) (codec.Term, error) {
	c, ok := w.codec.(codec.Atoms)
	if !ok || model.Role(w.config, name) == "head" {
		by := w.codec
		if ok {
			by = c.Inner()
		}
		term, err := randomTerm(by, rows, cols)
		if err == nil {
			w.bytes += term.Bytes()
		}
		return term, err
	}
	key := strings.Trim(name, "0123456789")
	if i := strings.IndexAny(name, "0123456789"); i >= 0 {
		key = strings.TrimLeft(name[i:], "0123456789")
	}
	for len(w.atoms[key]) < c.Count() {
		atom, err := randomTerm(c.Inner(), rows, cols)
		if err != nil {
			return nil, err
		}
		w.bytes += atom.Bytes()
		w.atoms[key] = append(w.atoms[key], atom)
	}
	coefficients := make([]float32, c.Count())
	for i := range coefficients {
		coefficients[i] = 1 / float32(len(w.made)+i+1)
	}
	w.bytes += int64(4 * len(coefficients))
	return c.Combine(coefficients, w.atoms[key]), nil
}

// products returns the multiply-adds of a term with a token, those with zeros that are not stored included.
func products(term codec.Term) (n int64) {
	for _, t := range codec.Terms(term) {
		rows, cols := t.Dims()
		if lr, ok := t.(interface{ Factors() (u, v codec.Term) }); ok {
			u, _ := lr.Factors()
			_, rank := u.Dims()
			n += int64(rank) * int64(rows+cols)
			continue
		}
		if c, ok := t.(interface{ Atoms() []codec.Term }); ok {
			rows *= len(c.Atoms())
		}
		n += int64(rows) * int64(cols)
	}
	return n
}

// randomRows is how many rows are drawn and packed; they are repeated, since products do not care what weights are.
const randomRows = 64

// randomTerm returns a term of normal values of variance 1/cols.
func randomTerm(c codec.Codec, rows, cols int) (codec.Term, error) {
	if err := c.Check(rows, cols); err != nil {
		return nil, err
	}
	switch c := c.(type) {
	case codec.LowRank:
		rank := c.Rank(rows, cols)
		u, err := randomTerm(c.Inner(), rows, rank)
		if err != nil {
			return nil, err
		}
		v, err := randomTerm(c.Inner(), rank, cols)
		if err != nil {
			return nil, err
		}
		return c.Join(u, v), nil
	case codec.Sum:
		var terms []codec.Term
		for _, part := range c.Codecs() {
			t, err := randomTerm(part, rows, cols)
			if err != nil {
				return nil, err
			}
			terms = append(terms, t)
		}
		return codec.SumTerm(terms...), nil
	}
	if whole, ok := c.(codec.WholeOnly); ok && whole.WholeOnly() {
		return pack(c, randomMatrix(rows, cols), 1)
	}
	tile, err := pack(c, randomMatrix(min(rows, randomRows), cols), 1)
	if err != nil {
		return nil, err
	}
	list := slices.Repeat([]codec.Term{tile}, max(1, rows/randomRows))
	if rest := rows % randomRows; rest > 0 && rows > randomRows {
		last, err := pack(c, randomMatrix(rest, cols), 1)
		if err != nil {
			return nil, err
		}
		list = append(list, last)
	}
	return codec.Concat(list)
}

func randomMatrix(rows, cols int) tensor.Mat {
	rng := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	w := tensor.NewMat(rows, cols)
	for i := range w.Data {
		w.Data[i] = float32(rng.NormFloat64() / math.Sqrt(float64(cols)))
	}
	return w
}

// WithDense adds to names the dense codec of every low-rank one, before the first of them, where it is not among them.
func WithDense(names []string) (all []string) {
	for _, name := range names {
		if c, err := codec.Parse(name); err == nil {
			if lr, ok := c.(codec.LowRank); ok && !slices.Contains(names, lr.Inner().Name()) && !slices.Contains(all, lr.Inner().Name()) {
				all = append(all, lr.Inner().Name())
			}
		}
		all = append(all, name)
	}
	return all
}
