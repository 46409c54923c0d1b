package model

// StepBytes returns what one step of decoding reads of the weights as they are stored: of the layers with what is between them and one row of
// the embeddings, and of the head. Keys and values come on top.
func (m *Model) StepBytes() (body, head int64) {
	body = m.embed.Bytes() / int64(max(1, m.embed.Rows))
	if m.positions != nil {
		body += m.positions.Bytes() / int64(max(1, m.positions.Rows))
	}
	for i := range m.layers {
		l := &m.layers[i]
		for _, lin := range []*linear{&l.qkv, &l.out, &l.up, &l.down, &l.attnShort, &l.mlpShort} {
			body += lin.bytes()
		}
		for _, n := range []norm{l.attnNorm, l.mlpNorm, l.postAttn, l.postMLP, l.qNorm, l.kNorm} {
			body += n.bytes()
		}
	}
	return body + m.finalNorm.bytes(), m.head.bytes()
}

func (l *linear) bytes() (n int64) {
	for _, p := range l.parts {
		n += p.w.Bytes()
	}
	return n + 4*int64(len(l.bias))
}

func (n *norm) bytes() int64 { return 4 * int64(len(n.weight)+len(n.bias)) }

// FirstRows returns m with only the first n rows of its head: what trimming the head to n rows would cost and save, whichever the rows are. m must
// have as many. Weights are shared.
func (m *Model) FirstRows(n int) *Model {
	if n < 1 || n > m.head.rows {
		panic("model: FirstRows of a head that has fewer")
	}
	short := *m
	short.head.rows, short.head.pieces = n, nil
	for _, q := range m.head.pieces {
		first := m.head.parts[q.part].row
		if q.r1 = min(q.r1, n-first); q.r0 < q.r1 {
			short.head.pieces = append(short.head.pieces, q)
		}
	}
	if m.head.bias != nil {
		short.head.bias = m.head.bias[:n]
	}
	short.config.DraftVocab = n
	short.draftIDs = make([]int32, n)
	for i := range short.draftIDs {
		short.draftIDs[i] = int32(i)
		if m.draftIDs != nil {
			short.draftIDs[i] = m.draftIDs[i]
		}
	}
	return &short
}
