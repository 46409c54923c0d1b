package trellis

// Decode overwrites dst, TileWeights long, with the values of tile src, TileBytes long, by code c at rate r: the definition.
func Decode(dst []float32, src []byte, c *Code, r Rate) { NewDecoder(c, r).Decode(dst, src) }

// Decoder decodes tiles of one code and rate. It is safe for concurrent use.
type Decoder struct {
	bits, v  int
	advances []uint8
	offsets  []uint16 // of each step's state
	values   []float32
	bytes    int
}

// NewDecoder returns a decoder of tiles of code c at rate r.
func NewDecoder(c *Code, r Rate) *Decoder {
	d := &Decoder{bits: c.bits, v: c.v, advances: r.Advances(c.v), values: c.Values(r), bytes: r.TileBytes()}
	at := uint16(0)
	for _, k := range d.advances {
		d.offsets = append(d.offsets, at)
		at += uint16(k)
	}
	return d
}

// Decode overwrites dst, TileWeights long, with the values of tile src.
func (d *Decoder) Decode(dst []float32, src []byte) {
	if len(dst) != TileWeights || len(src) != d.bytes {
		panic("trellis: Decode of another length")
	}
	d.read(dst, src, 0)
}

// DecodeRun overwrites dst with the values of tile src from weight first on. Both are even for codes of two weights a step.
func (d *Decoder) DecodeRun(dst []float32, src []byte, first int) {
	if len(src) != d.bytes || first < 0 || first+len(dst) > TileWeights || (first|len(dst))%d.v != 0 {
		panic("trellis: DecodeRun outside of the tile")
	}
	d.read(dst, src, first)
}

func (d *Decoder) read(dst []float32, src []byte, first int) {
	if d.v == 2 {
		for i := 0; i < len(dst); i += 2 {
			s := window(src, int(d.offsets[(first+i)/2]), d.bits)
			dst[i], dst[i+1] = d.values[2*s], d.values[2*s+1]
		}
		return
	}
	for i, at := range d.offsets[first : first+len(dst)] {
		dst[i] = d.values[window(src, int(at), d.bits)]
	}
}
