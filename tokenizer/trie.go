package tokenizer

// trie holds byte strings, each with an id. Nodes are numbered; edges lie in one hash table.
type trie struct {
	edges map[uint64]int32 // node<<8 | byte → node
	ids   []int32          // node → id of the string that ends there, -1: none
	roots [256]int32       // first byte → node, 0: none (the root is node 0)
}

func newTrie() *trie { return &trie{edges: make(map[uint64]int32), ids: []int32{-1}} }

// insert adds s with its id; the first insertion of a string wins. The empty string is ignored.
func (t *trie) insert(s string, id int32) {
	if s == "" {
		return
	}
	node := int32(0)
	for i := 0; i < len(s); i++ {
		next, ok := t.step(node, s[i])
		if !ok {
			next = int32(len(t.ids))
			t.ids = append(t.ids, -1)
			if node == 0 {
				t.roots[s[i]] = next
			} else {
				t.edges[uint64(node)<<8|uint64(s[i])] = next
			}
		}
		node = next
	}
	if t.ids[node] < 0 {
		t.ids[node] = id
	}
}

func (t *trie) step(node int32, b byte) (int32, bool) {
	if node == 0 {
		next := t.roots[b]
		return next, next != 0
	}
	next, ok := t.edges[uint64(node)<<8|uint64(b)]
	return next, ok
}

// match returns the longest string of the trie that s begins with: its length in bytes and its id; 0 if none.
func (t *trie) match(s string) (length int, id int32) {
	if t == nil {
		return 0, -1
	}
	node := int32(0)
	for i := 0; i < len(s); i++ {
		next, ok := t.step(node, s[i])
		if !ok {
			break
		}
		node = next
		if t.ids[node] >= 0 {
			length, id = i+1, t.ids[node]
		}
	}
	return length, id
}

// longest is match without the id; a nil trie has no strings.
func (t *trie) longest(s string) int {
	n, _ := t.match(s)
	return n
}
