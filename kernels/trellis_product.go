package kernels

// trellisPath is a way to multiply.
type trellisPath uint8

const (
	trellisPlain  trellisPath = iota
	trellisNarrow             // decoding to bytes by AVX2, any code; the others are AVX-512 VBMI
	trellisLUT7
	trellisLUT8
	trellisLinear7
	trellisLinear8
	trellisHash7
	trellisHash8
	trellisLUTMirror // tables of 256 whose second half is the first, mirrored and negative
	trellisLinearMirror
	trellisHashMirror
)

// widePath returns the path of AVX-512 VBMI for d's kind and table: of 128 entries, of 256, or of 256 that are mirrored.
func (d *TrellisDecoder) widePath() trellisPath {
	var paths [3]trellisPath
	switch d.kind {
	case trellisDirect:
		paths = [3]trellisPath{trellisLUT7, trellisLUT8, trellisLUTMirror}
	case trellisLinear:
		paths = [3]trellisPath{trellisLinear7, trellisLinear8, trellisLinearMirror}
	case trellisHashed:
		paths = [3]trellisPath{trellisHash7, trellisHash8, trellisHashMirror}
	}
	switch {
	case d.rate > trellisLongest:
	case len(d.lut) == 128:
		return paths[0]
	case len(d.lut) == 256 && mirrored(d.lut):
		return paths[2]
	case len(d.lut) == 256:
		return paths[1]
	}
	return trellisNarrow
}

// mirrored reports whether the last entry is the negative of the first, and so on.
func mirrored(lut []int8) bool {
	for i, v := range lut {
		if int(v) != -int(lut[len(lut)-1-i]) {
			return false
		}
	}
	return true
}

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
		var padded [8*2*TrellisMaxRate + trellisSlack]byte
		copy(padded[:size], tiles[b*size:min(len(tiles), d.BandBytes(bandRows, cols))])
		trellisBlocks(p, d, sums, padded[:], 1, x.Codes[b*Q8Block:], x.Scales[b:], x.Sums[b:], h)
	}
}

// decodeBandBy is decodeBand by vector kernels, 32 columns at a time.
func (d *TrellisDecoder) decodeBandBy(p trellisPath, dst []float32, stride, rows int, scales []float32, tiles []byte, bandRows, c0, c1 int) {
	h, width, size := trellisHeightOf(bandRows), trellisTile/bandRows, d.TileBytes()
	var weights [9 * trellisTile]int8 // a strip's 32 columns are read wherever in a tile it begins
	var padded [8*2*TrellisMaxRate + trellisSlack]byte
	for c := c0; c < c1; c += Q8Block {
		cols := min(Q8Block, c1-c)
		n := (cols + width - 1) / width
		source := tiles[c/width*size:]
		if len(source) < n*size+trellisSlack {
			copy(padded[:], source[:n*size])
			source = padded[:]
		}
		trellisBytes(p, d, &weights[0], source, n)
		for r := 0; r < rows; r += 16 {
			to := dst[r*stride+c-c0:]
			strip, high, step := weights[r*4:], min(16, rows-r), h.stack()*trellisGroup
			done := trellisRows(p, to, stride, high, strip, step, cols, scales[r:])
			for i := range high {
				for col := done; col < cols; col++ {
					to[i*stride+col] = float32(strip[col/4*step+4*i+col%4]) * scales[r+i]
				}
			}
		}
	}
}
