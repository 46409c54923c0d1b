package kernels

// trellisPath is a way to multiply.
type trellisPath uint8

const (
	trellisPlain trellisPath = iota
	trellisLUT7
	trellisLUT8
	trellisLinear7
	trellisLinear8
	trellisHash7
	trellisHash8
)

// trellisSlack is how far beyond the blocks they multiply vector kernels read.
const trellisSlack = 64

// bandSumsBy is bandSums by vector kernels. Blocks from whose tiles these would read beyond the slice, or that have fewer, are copied first.
func (d *TrellisDecoder) bandSumsBy(p trellisPath, sums *[64]float32, tiles []byte, bandRows, cols int, x Q8) {
	h := trellisHeightOf(bandRows)
	size := h.tiles * d.TileBytes()
	blocks := (cols + Q8Block - 1) / Q8Block
	direct := 0
	if len(tiles) >= trellisSlack {
		direct = min(cols/Q8Block, (len(tiles)-trellisSlack)/size)
	}
	if direct > 0 {
		trellisBlocks(p, d, sums, tiles, direct, x.Codes, x.Scales, x.Sums, h)
	}
	for b := direct; b < blocks; b++ {
		var padded [8*2*trellisLongest + trellisSlack]byte
		copy(padded[:size], tiles[b*size:min(len(tiles), d.BandBytes(bandRows, cols))])
		trellisBlocks(p, d, sums, padded[:], 1, x.Codes[b*Q8Block:], x.Scales[b:], x.Sums[b:], h)
	}
}
