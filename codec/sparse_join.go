package codec

// joinSparse is Concat for terms of a Sparse codec: what is stored of one matrix after what is stored of the one before. Each keeps its
// share of elements, so that all together keep theirs.
func joinSparse(terms []Term) Term {
	first := terms[0].(sparseTerm)
	c := first.codec()
	_, cols := first.Dims()
	m := sparseMatrix{sparseCodec: c, cols: cols}
	var mask, counts, columns []byte
	var data [][]byte
	for _, t := range terms {
		switch t := t.(type) {
		case *bitmapTerm:
			m.rows += t.rows
			mask, m.scales = append(mask, t.masked.Mask...), append(m.scales, t.scales...)
			data = append(data, t.data[:t.masked.Starts[t.rows]])
		case *csrTerm:
			m.rows += t.rows
			counts, columns, m.scales = append(counts, t.counts...), append(columns, t.columns...), append(m.scales, t.scales...)
			data = append(data, t.data[:t.bytes[t.rows]])
		case *pairsTerm:
			m.rows += t.rows
			mask, m.scales = append(mask, t.indices...), append(m.scales, t.scales...)
			data = append(data, t.data)
		}
	}
	m.data = make([]byte, 0, c.valueBytes(m.rows, cols))
	for _, d := range data {
		m.data = append(m.data, d...)
	}
	m.data = m.data[:cap(m.data)]
	if c.kind == csrPattern {
		t := &csrTerm{sparseMatrix: m, counts: counts, columns: columns}
		t.begin()
		return t
	}
	var joined Term
	var stored *[]byte
	if c.inPairs() {
		t := &pairsTerm{sparseMatrix: m, indices: mask}
		joined, stored = t, &t.stored
	} else {
		t := &bitmapTerm{sparseMatrix: m}
		t.begin(mask)
		joined, stored = t, &t.stored
	}
	if c.coded {
		all, _ := MaskOf(joined)
		*stored = c.encodeMask(all)
	}
	return joined
}
