package trellis

import "testing"

// BenchmarkEncode gives the speed of one core.
func BenchmarkEncode(b *testing.B) {
	for _, name := range []string{"lut7", "lut8", "lut10", "lut12", "lut14", "lut16", "hash16"} {
		for _, r := range []Rate{32, 40, 64} {
			b.Run(name+"-"+r.String(), func(b *testing.B) {
				c, err := Lookup(name)
				if err != nil {
					b.Fatal(err)
				}
				e := NewEncoder(c, r)
				tile := make([]byte, r.TileBytes())
				x := gaussian(1, 1/c.Gain(r))
				for b.Loop() {
					e.Encode(tile, x)
				}
				b.ReportMetric(float64(TileWeights*b.N)/b.Elapsed().Seconds()/1e6, "Mweights/s")
			})
		}
	}
}
