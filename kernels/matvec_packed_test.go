package kernels

import "fmt"

// packedCases decodes GGML's layouts a second time, after docs/formats/ggml.md, column by column.
func packedCases() []matVecCase {
	bit := func(b byte, at int) float64 { return float64(b >> at & 1) }
	pair := func(b byte, at int) float64 { return float64(b >> (2 * at) & 3) }
	nibble := func(b byte, high int) float64 { return float64(b >> (4 * high) & 15) }
	five := func(b []byte, high, codes, i int) float64 {
		return nibble(b[codes+i%16], i/16) + 16*bit(b[high+i/8], i%8)
	}
	return []matVecCase{
		blockCase("q6_k", &formatQ6_K, []int{208}, func(b []byte, i int) (float64, float64) {
			d, sc := halfAt(b[208:]), float64(int8(b[192+i/16]))
			low, high := b[i/128*64:], b[128+i/128*32:]
			i %= 128
			return d * sc * (nibble(low[i%64], i/64) + 16*pair(high[i%32], i/32)), d * sc * 32
		}),
		blockCase("q5_k", &formatQ5_K, []int{0, 2}, func(b []byte, i int) (float64, float64) {
			scale, minimum := q4kScale(b[4:16], i/32)
			q := nibble(b[48+i/64*32+i%32], i/32%2) + 16*bit(b[16+i%32], i/32)
			return halfAt(b) * float64(scale) * q, halfAt(b[2:]) * float64(minimum)
		}),
		blockCase("q3_k", &formatQ3_K, []int{108}, func(b []byte, i int) (float64, float64) {
			j := i / 16
			sc := nibble(b[96+j%8], j/8) + 16*pair(b[104+j%4], j/4)
			q := pair(b[32+i/128*32+i%32], i%128/32) + 4*bit(b[i%32], i/32)
			return halfAt(b[108:]) * (sc - 32) * q, halfAt(b[108:]) * (sc - 32) * 4
		}),
		blockCase("q2_k", &formatQ2_K, []int{80, 82}, func(b []byte, i int) (float64, float64) {
			q := pair(b[16+i/128*32+i%32], i%128/32)
			return halfAt(b[80:]) * nibble(b[i/16], 0) * q, halfAt(b[82:]) * nibble(b[i/16], 1)
		}),
		blockCase("q5_0", &formatQ5_0, []int{0}, func(b []byte, i int) (float64, float64) { return halfAt(b) * five(b, 2, 6, i), halfAt(b) * 16 }),
		blockCase("q5_1", &formatQ5_1, []int{0, 2}, func(b []byte, i int) (float64, float64) { return halfAt(b) * five(b, 4, 8, i), -halfAt(b[2:]) }),
		blockCase("q4_1", &formatQ4_1, []int{0, 2}, func(b []byte, i int) (float64, float64) { return halfAt(b) * nibble(b[4+i%16], i/16), -halfAt(b[2:]) }),
	}
}

// denseCases reads codes bit by bit.
func denseCases() (cases []matVecCase) {
	for i, f := range []*groupFormat{&formatInt2, &formatInt3, &formatInt5, &formatInt6} {
		width := []int{2, 3, 5, 6}[i]
		for _, group := range []int{32, 96, 128, 0} {
			cases = append(cases, groupCase(fmt.Sprintf("int%d", width), f, group, func(row []byte, i int) (float64, float64) {
				v := 0
				for b := range width {
					at := i*width + b
					v |= int(row[at/8]>>(at%8)&1) << b
				}
				return float64(v), float64(int(1) << (width - 1))
			}))
		}
	}
	return cases
}
