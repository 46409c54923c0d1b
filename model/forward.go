package model

import (
	"pith/tensor"
)

// span is one sequence's rows in a pass: rows [row, row+n) are its positions pos, pos+1, ….
type span struct {
	row, n, pos   int
	cache         *cache // keys and values of earlier positions; nil: the pass has all of them
	global, local *angles
}

// workspace holds the intermediate results of a pass.
type workspace struct {
	x, h, qkv, att, proj, up []float32
}

// mlpRows bounds the rows that go through an MLP at once, and so the largest buffer.
const mlpRows = 1024

// mat returns a rows × cols matrix over buf, which grows if need be.
func mat(buf *[]float32, rows, cols int) tensor.Mat {
	if cap(*buf) < rows*cols {
		*buf = make([]float32, rows*cols)
	}
	return tensor.Of(rows, cols, (*buf)[:rows*cols])
}

func (m *Model) space() *workspace {
	if s, ok := m.spaces.Get().(*workspace); ok {
		return s
	}
	return &workspace{}
}

// CheckTokens returns an error if a token is outside the vocabulary or the sequence is longer than the model has positions for.
func (m *Model) CheckTokens(tokens []int32) error { return m.check(tokens, 0) }

// Forward runs sequences through the network without a cache and returns the hidden states after the final norm, (total tokens,
// Hidden): the rows of the first sequence, then those of the second, …. Tokens must pass CheckTokens.
func (m *Model) Forward(batch [][]int32) tensor.Mat {
	rows := 0
	var spans []span
	for _, tokens := range batch {
		if len(tokens) == 0 {
			continue
		}
		if m.check(tokens, 0) != nil {
			panic("model: token outside the vocabulary or sequence longer than the model's positions; see CheckTokens")
		}
		spans = append(spans, span{row: rows, n: len(tokens), global: m.global.forLength(len(tokens)), local: m.local.forLength(len(tokens))})
		rows += len(tokens)
	}
	s := m.space()
	defer m.spaces.Put(s)
	x := mat(&s.x, rows, m.config.Hidden)
	row := 0
	for _, tokens := range batch {
		m.embedTokens(x.Slice(row, row+len(tokens)), tokens, 0)
		row += len(tokens)
	}
	m.pass(s, x, spans)
	hidden := tensor.NewMat(rows, m.config.Hidden)
	m.eachRow(rows, func(r int) { m.finalNorm.apply(hidden.Row(r), x.Row(r)) })
	return hidden
}

// Logits multiplies hidden states by the head, and soft-caps the result if the architecture does: (hidden.Rows, Vocab).
func (m *Model) Logits(hidden tensor.Mat) tensor.Mat {
	y := tensor.NewMat(hidden.Rows, m.config.Vocab)
	m.logits(y, hidden)
	return y
}

func (m *Model) logits(y, hidden tensor.Mat) {
	m.project(y, hidden, &m.head, false)
	if c := float32(m.config.LogitSoftcap); c != 0 {
		m.eachRow(y.Rows, func(r int) { softcapped(y.Row(r), c) })
	}
}

// embedTokens fills x with the embeddings of tokens at positions pos, pos+1, ….
func (m *Model) embedTokens(x tensor.Mat, tokens []int32, pos int) {
	for i, t := range tokens {
		m.embed.ReadRows(x.Slice(i, i+1), int(t))
		row := x.Row(i)
		if s := float32(m.config.EmbedScale); s != 1 {
			for j := range row {
				row[j] *= s
			}
		}
		if m.positions != nil {
			for _, t := range m.positions.Terms {
				t.AddTo(x.Slice(i, i+1), pos+i)
			}
		}
	}
}

// pass runs x through all layers, in place.
func (m *Model) pass(s *workspace, x tensor.Mat, spans []span) {
	for i := range m.layers {
		m.attentionBlock(s, x, spans, i)
		m.mlpBlock(s, x, i)
	}
}

func (m *Model) attentionBlock(s *workspace, x tensor.Mat, spans []span, index int) {
	l, c := &m.layers[index], &m.config
	h := mat(&s.h, x.Rows, c.Hidden)
	m.eachRow(x.Rows, func(r int) { l.attnNorm.apply(h.Row(r), x.Row(r)) })
	qkv := mat(&s.qkv, x.Rows, l.qkv.rows)
	m.project(qkv, h, &l.qkv, false)
	m.prepareHeads(qkv, spans, index)
	att := mat(&s.att, x.Rows, c.Heads*c.HeadDim)
	m.attend(att, qkv, spans, index)
	if c.ParallelResidual { // the MLP reads x as it is before attention is added
		m.eachRow(x.Rows, func(r int) { l.mlpNorm.apply(h.Row(r), x.Row(r)) })
	}
	m.addTo(s, x, att, &l.out, &l.postAttn)
}

func (m *Model) mlpBlock(s *workspace, x tensor.Mat, index int) {
	l, c := &m.layers[index], &m.config
	h := mat(&s.h, x.Rows, c.Hidden)
	for r0 := 0; r0 < x.Rows; r0 += mlpRows {
		r1 := min(x.Rows, r0+mlpRows)
		xs, hs := x.Slice(r0, r1), h.Slice(r0, r1)
		if !c.ParallelResidual {
			m.eachRow(xs.Rows, func(r int) { l.mlpNorm.apply(hs.Row(r), xs.Row(r)) })
		}
		up := mat(&s.up, xs.Rows, l.up.rows)
		m.project(up, hs, &l.up, false)
		act := up
		act.Cols = c.Intermediate
		m.eachRow(xs.Rows, func(r int) {
			row := up.Row(r)
			if c.Gated {
				c.Activation.gate(row[:c.Intermediate], row[c.Intermediate:])
			} else {
				c.Activation.apply(row)
			}
		})
		m.addTo(s, xs, act, &l.down, &l.postMLP)
	}
}

// addTo adds l(in) to x, normed first if the architecture does.
func (m *Model) addTo(s *workspace, x, in tensor.Mat, l *linear, post *norm) {
	if !m.config.PostNorms {
		m.project(x, in, l, true)
		return
	}
	proj := mat(&s.proj, x.Rows, x.Cols)
	m.project(proj, in, l, false)
	m.eachRow(x.Rows, func(r int) {
		p, row := proj.Row(r), x.Row(r)
		post.apply(p, p)
		for i, v := range p {
			row[i] += v
		}
	})
}
