package kernels

// trellisPlan is what vector kernels need to know of a code and rate. Bits advance by whole half bytes from group to group of 64
// weights, so that there are two kinds: even groups, and odd ones, which at an odd rate begin in the middle of a byte. The 8 states
// that begin with state 8j of a group are taken from 8 bytes, quadword j.
type trellisPlan struct {
	source [2][64]uint8 // which bytes, from the group's first on
	lower  [2][64]uint8 // where the lower 8 bits of state i are in quadword i/8
	upper  [2][64]uint8 // where the next 8 bits are
	even   [2][64]uint8 // where 16 bits of state 2i are, two entries each
	odd    [2][64]uint8 // where those of state 2i+1 are
	table  [256]uint8   // entries plus 128
	linear [2]uint64    // matrices of the lower and upper 8 bits: bit i of an index is the parity of the bits of byte 7-i
	hash   uint16
	_      [46]uint8
	words  [2][64][2]uint8 // for AVX2, 16 bytes from where state 8j begins for 8 states: the two bytes of each from where it begins
	factor [2][64]uint16   // and what moves its lower 8 bits to the upper byte of that word
}

// trellisLongest is the highest rate at which 8 states of 16 bits are within 8 bytes, wherever in a byte they begin.
const trellisLongest = 88

func newTrellisPlan(rate int, lut []int8) *trellisPlan {
	p := new(trellisPlan)
	for kind := range 2 {
		for i := range 64 {
			start := func(n int) int { return 4*(kind&rate) + n*rate>>4 }
			first := start(i&^7) >> 3
			p.source[kind][i] = uint8(first + i&7)
			at := uint8(start(i) - 8*first)
			p.lower[kind][i], p.upper[kind][i] = at, at+8
			pair := &p.even
			if i%2 == 1 {
				pair = &p.odd
			}
			pair[kind][i&^1], pair[kind][i|1] = at, at+8
			p.words[kind][i], p.factor[kind][i] = [2]uint8{at >> 3, at>>3 + 1}, 256>>(at&7)
		}
	}
	for i, v := range lut[:min(len(lut), len(p.table))] {
		p.table[i] = uint8(v) + 128
	}
	return p
}

// setLinear makes the matrices of indices that are linear in states; with mirror, the lower 7 bits of those from 128 on are inverted.
func (p *trellisPlan) setLinear(rows []uint16, mirror bool) {
	for i, row := range rows {
		if mirror && i < 7 {
			row ^= rows[7]
		}
		p.linear[0] |= uint64(row&255) << (8 * (7 - i))
		p.linear[1] |= uint64(row>>8) << (8 * (7 - i))
	}
}

// trellisHeight is what depends on a band's height.
type trellisHeight struct {
	tiles   int // in 32 columns
	quad1   int // where the activations of the second group begin
	quad2   int // and of the third; those of the fourth begin at the sum
	advance int // columns of a tile
	// second is not 0 if the second group's rows are not the first's; upper if those of the third and fourth are others again.
	second, upper int32
}

// stack is how many groups lie one below the other.
func (h *trellisHeight) stack() int { return h.tiles / 2 }

func trellisHeightOf(bandRows int) *trellisHeight {
	return &trellisHeights[bandRows/32]
}

var trellisHeights = [3]trellisHeight{
	{2, 4, 8, 16, 0, 0},
	{4, 0, 4, 8, -1, 0},
	{8, 0, 0, 4, -1, -1},
}

// trellisCall is what a vector kernel is told; only one of bytes and sums is written.
type trellisCall struct {
	plan  *byte
	tiles *byte
	rate  int
	wrap  uint64 // bytes of a tile's last group that are its first again
	n     int    // tiles, or blocks of 32 columns, at least 1; the kernel counts it down
	bytes *int8  // 256 entries of each tile
	// products with codes, times scales, are added to sums; totals are sums of codes
	sums   *float32
	codes  *int8
	scales *float32
	totals *int32
	height *trellisHeight
}
