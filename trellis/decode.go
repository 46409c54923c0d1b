package trellis

// Decode overwrites dst, TileWeights long, with the values of tile src, TileBytes long, by code c at rate r: the definition.
func Decode(dst []float32, src []byte, c *Code, r Rate) { NewDecoder(c, r).Decode(dst, src) }

// Decoder decodes tiles of one code and rate. It is safe for concurrent use.
type Decoder struct {
	bits, v  int
	advances []uint8
	values   []float32
	bytes    int
}

// NewDecoder returns a decoder of tiles of code c at rate r.
func NewDecoder(c *Code, r Rate) *Decoder {
	return &Decoder{bits: c.bits, v: c.v, advances: r.Advances(c.v), values: c.Values(r), bytes: r.TileBytes()}
}

// Decode overwrites dst, TileWeights long, with the values of tile src.
func (d *Decoder) Decode(dst []float32, src []byte) {
	if len(dst) != TileWeights || len(src) != d.bytes {
		panic("trellis: Decode of another length")
	}
	at := 0
	if d.v == 2 {
		for t, k := range d.advances {
			s := window(src, at, d.bits)
			dst[2*t], dst[2*t+1] = d.values[2*s], d.values[2*s+1]
			at += int(k)
		}
		return
	}
	for t, k := range d.advances {
		dst[t] = d.values[window(src, at, d.bits)]
		at += int(k)
	}
}
