package model

import (
	"slices"

	"pith/codec"
	"pith/tensor"
)

// span is one sequence's rows in a pass: rows [row, row+n) are its positions pos, pos+1, ….
type span struct {
	row, n, pos   int
	cache         *cache // keys and values of earlier positions; nil: the pass has all of them
	global, local *angles
}

// pass is one trip of some sequences through the network.
type pass struct {
	*Model
	*workspace
	*team
	spans []span
	watch watcher // nil: nobody
	ring  *ring   // what a policy of Materialise makes
}

// watcher is shown the inputs of linear layers, and says whether it has seen enough: the pass then leaves out what comes after for these rows. What
// it is shown is overwritten when it returns.
type watcher func(in input, x tensor.Mat) (enough bool)

func (w watcher) see(in input, x tensor.Mat) (enough bool) { return w != nil && w(in, x) }

// begin returns a pass; end must follow. Until then terms stay as they are.
func (m *Model) begin(s *workspace, spans []span) pass {
	m.swap.RLock()
	p := pass{m, s, newTeam(m.workers), spans, nil, nil}
	if m.policy == Materialise {
		p.ring = m.rings.take(m.layers)
	}
	return p
}
func (p pass) end() {
	p.stop()
	if p.ring != nil {
		p.rings.give(p.ring)
	}
	p.swap.RUnlock()
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
	p := m.begin(s, spans)
	defer p.end()
	x := mat(&s.x, rows, m.config.Hidden)
	row := 0
	for _, tokens := range batch {
		m.embedTokens(x.Slice(row, row+len(tokens)), tokens, 0)
		row += len(tokens)
	}
	p.layers(x)
	hidden := tensor.NewMat(rows, m.config.Hidden)
	p.eachRow(rows, func(r int) { m.finalNorm.apply(hidden.Row(r), x.Row(r)) })
	return hidden
}

// Logits multiplies hidden states by the head, and soft-caps the result if the architecture does: (hidden.Rows, Vocab), or, with
// a trimmed head, a column for each of DraftIDs.
func (m *Model) Logits(hidden tensor.Mat) tensor.Mat {
	y := tensor.NewMat(hidden.Rows, m.head.rows)
	s := m.space()
	defer m.spaces.Put(s)
	p := m.begin(s, nil)
	defer p.end()
	p.logits(y, hidden)
	return y
}

func (p pass) logits(y, hidden tensor.Mat) {
	p.project(y, hidden, &p.head, &p.kept[0], false)
	if c := float32(p.config.LogitSoftcap); c != 0 {
		p.eachRow(y.Rows, func(r int) { softcapped(y.Row(r), c) })
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

// layers runs x through all layers, in place.
func (p pass) layers(x tensor.Mat) {
	for i := range p.Model.layers {
		p.attentionBlock(x, i)
		p.mlpBlock(x, i)
	}
}

func (p pass) attentionBlock(x tensor.Mat, index int) {
	if att, ok := p.attention(x, index); ok {
		p.addAttention(x, att, index)
	}
}

// attention returns what the last matrix of the attention to x multiplies; ok is false if the watcher has seen enough before.
func (p pass) attention(x tensor.Mat, index int) (att tensor.Mat, ok bool) {
	l, c := p.at(index), &p.config
	h := mat(&p.h, x.Rows, c.Hidden)
	p.eachRow(x.Rows, func(r int) { l.attnNorm.apply(h.Row(r), x.Row(r)) })
	if p.watch.see(inQKV, h) {
		return att, false
	}
	qkv := mat(&p.wide, x.Rows, l.qkv.rows)
	p.project(qkv, h, &l.qkv, &p.kept[0], false)
	p.prepareHeads(qkv, index)
	att = mat(p.attended(), x.Rows, c.Heads*c.HeadDim)
	p.attend(att, qkv, index)
	return att, true
}

// addAttention adds to x what the last matrix of the attention makes of att.
func (p pass) addAttention(x, att tensor.Mat, index int) {
	l, c := p.at(index), &p.config
	if p.watch.see(inOut, att) {
		return
	}
	if c.ParallelResidual { // the MLP reads x as it is before attention is added
		h := mat(&p.h, x.Rows, c.Hidden)
		p.eachRow(x.Rows, func(r int) { l.mlpNorm.apply(h.Row(r), x.Row(r)) })
	}
	p.shortcut(x, &l.attnShort, &p.wide)
	p.addTo(x, att, &l.out, &p.kept[1], &l.postAttn, &p.wide)
}

// addTo adds l(in) to x, normed first if the architecture does, for which there is room in space.
func (p pass) addTo(x, in tensor.Mat, l *linear, q *codec.Input, post *norm, space *[]float32) {
	if !p.config.PostNorms {
		p.project(x, in, l, q, true)
		return
	}
	proj := mat(space, x.Rows, x.Cols)
	p.project(proj, in, l, q, false)
	p.eachRow(x.Rows, func(r int) {
		add, row := proj.Row(r), x.Row(r)
		post.apply(add, add)
		for i, v := range add {
			row[i] += v
		}
	})
}

// rowGrain is how many rows one piece of row-wise work takes.
const rowGrain = 16

// eachRow calls f for every row, in parallel if there are many.
func (p pass) eachRow(rows int, f func(r int)) {
	if rows <= rowGrain {
		for r := range rows {
			f(r)
		}
		return
	}
	p.run((rows+rowGrain-1)/rowGrain, func(i int) {
		for r := i * rowGrain; r < min(rows, (i+1)*rowGrain); r++ {
			f(r)
		}
	})
}

// project computes y = W·x + b for every row of x, or adds that to y. in is where x's other forms are kept meanwhile.
func (p pass) project(y, x tensor.Mat, l *linear, in *codec.Input, add bool) {
	for r := range y.Rows {
		l.start(y.Row(r), 0, add)
	}
	limit := max(x.Rows, 1)
	if l.staged() {
		limit = mlpRows
	}
	for tile := range tilesOf(x.Rows, limit) {
		in.Reset(x.Slice(tile.r0, tile.r1))
		p.stage(l, in)
		to := y.Slice(tile.r0, tile.r1)
		p.run(len(l.pieces), func(i int) {
			q := l.pieces[i]
			part := l.parts[q.part]
			part.w.MulAdd(part.of(to), in, q.r0, q.r1)
		})
	}
}

// of returns the columns of y, whose columns are outputs of the linear, from the part's first on.
func (p *part) of(y tensor.Mat) tensor.Mat {
	return tensor.Mat{Rows: y.Rows, Cols: y.Cols - p.row, Stride: y.Stride, Data: y.Data[p.row:]}
}

// staged reports whether some of a linear's products wait for others.
func (l *linear) staged() bool {
	return slices.ContainsFunc(l.parts, func(p part) bool { return p.w.Staged() })
}

// stage computes what the linear's products with in wait for: of low-rank parts the products with all of their first factors.
func (p pass) stage(l *linear, in *codec.Input) {
	p.stages.Reset()
	for _, part := range l.parts {
		p.stages.Add(in, part.w.Terms)
	}
	if n := p.stages.Cut(p.workers); n > 0 {
		p.run(n, p.stages.Run)
	}
}

// start sets what will hold outputs r0 … r0+len(y) of one token to the bias, or adds it.
func (l *linear) start(y []float32, r0 int, add bool) {
	switch {
	case !add && l.bias == nil:
		clear(y)
	case !add:
		copy(y, l.bias[r0:])
	case l.bias != nil:
		for i, b := range l.bias[r0 : r0+len(y)] {
			y[i] += b
		}
	}
}
