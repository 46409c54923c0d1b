package tokenizer

// symbol is one element of the word being merged: a doubly linked list inside a slice.
type symbol struct {
	id         int32 // merge model: token id; score model: unused
	start, end int32 // bytes of the word; end == start: merged away
	prev, next int32 // -1: none
	frozen     bool  // never merged (user-defined piece)
}

// candidate is an adjacent pair that may be merged.
type candidate struct {
	priority float64 // smaller first: the rank of the merge, or minus the score of the piece
	left     int32   // smaller first among equals
	right    int32
	size     int32 // score model: bytes of the merged piece, to notice stale candidates
	id       int32 // merge model: the token it makes
}

func (a *candidate) before(b *candidate) bool {
	return a.priority < b.priority || a.priority == b.priority && a.left < b.left
}

// scratch holds the buffers of a merge run.
type scratch struct {
	symbols []symbol
	heap    []candidate // binary min-heap
	best    []viterbiNode
	pieces  []int32
}

func (s *scratch) push(c candidate) {
	h := append(s.heap, c)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h[i].before(&h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	s.heap = h
}

func (s *scratch) pop() candidate {
	h := s.heap
	top := h[0]
	n := len(h) - 1
	h[0] = h[n]
	h = h[:n]
	for i := 0; ; {
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && h[child+1].before(&h[child]) {
			child++
		}
		if !h[child].before(&h[i]) {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	s.heap = h
	return top
}

// link makes the symbols a list in their order.
func (s *scratch) link() {
	n := len(s.symbols)
	for i := range s.symbols {
		s.symbols[i].prev = int32(i - 1)
		s.symbols[i].next = int32(i + 1)
	}
	if n > 0 {
		s.symbols[n-1].next = -1
	}
}

// merge joins the symbol left with its right neighbour, which becomes empty.
func (s *scratch) merge(left, right int32) {
	l, r := &s.symbols[left], &s.symbols[right]
	l.end = r.end
	l.next = r.next
	if r.next >= 0 {
		s.symbols[r.next].prev = left
	}
	r.end = r.start
}
