package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomMask returns rows of words of which about one in keep columns is stored, none beyond the last.
func randomMask(r *rand.Rand, rows, cols, keep int) []byte {
	words := (cols + 63) / 64
	mask := make([]byte, rows*words*8)
	for i := range rows {
		for c := range cols {
			if keep > 0 && r.IntN(keep) == 0 {
				mask[i*words*8+c/8] |= 1 << (c % 8)
			}
		}
	}
	return mask
}

// maskedCase is rows of codes that masks place.
func maskedCase(bits, group, keep int) matVecCase {
	return matVecCase{fmt.Sprintf("masked%d-g%d-1/%d", bits, group, keep), 1, func(r *rand.Rand, rows, cols int) (int, func(level, []float32, int, Q8), func(int, int) (float64, float64)) {
		m := &Masked{Bits: bits, Cols: cols, Group: group, Mask: randomMask(r, rows, cols, keep), Starts: make([]uint32, rows+1)}
		if group == 0 {
			m.Group = cols
		}
		words, groups := (cols+63)/64, (cols+m.Group-1)/m.Group
		code := make([]int, rows*cols)
		for row := range rows {
			at := 0
			for c := range cols {
				code[row*cols+c] = -1
				if m.Mask[row*words*8+c/8]>>(c%8)&1 == 0 {
					continue
				}
				v := r.IntN(1 << bits)
				code[row*cols+c] = v
				for b := range bits {
					if at%8 == 0 {
						m.Codes = append(m.Codes, 0)
					}
					m.Codes[len(m.Codes)-1] |= byte(v >> b & 1 << (at % 8))
					at++
				}
			}
			m.Starts[row+1] = uint32(len(m.Codes))
		}
		for range rows * groups {
			m.Scales = append(m.Scales, 0, 0)
			putScale(r, m.Scales[len(m.Scales)-2:])
		}
		return len(m.Mask) + len(m.Codes) + len(m.Scales), func(l level, y []float32, rows int, x Q8) {
				half := rows / 2 // rows from the middle on are read from there
				m.matVec(l, y[:half], 0, x)
				m.matVec(l, y[half:rows], half, x)
			}, func(row, col int) (float64, float64) {
				v := code[row*cols+col]
				if v < 0 {
					return 0, 0
				}
				scale := halfAt(m.Scales[2*(row*groups+col/m.Group):])
				return scale * float64(v), scale * float64(int(1)<<(bits-1))
			}
	}}
}

// pairsCase is rows of units of 64 columns.
func pairsCase(group int) matVecCase {
	return matVecCase{fmt.Sprintf("pairs-g%d", group), 1, func(r *rand.Rand, rows, cols int) (int, func(level, []float32, int, Q8), func(int, int) (float64, float64)) {
		units := (cols + 63) / 64
		g := group
		if g == 0 {
			g = cols
		}
		groups := (cols + g - 1) / g
		codes, indices, scales := randomBytes(r, rows*units*PairsCodes), make([]byte, rows*units*PairsIndices), make([]byte, 2*rows*groups)
		for s := range rows * units * 32 {
			first := r.IntN(3)
			index := [2]int{first, first + 1 + r.IntN(3-first)}
			if s%2 == 0 {
				for i := range 2 {
					indices[s/32*8+(s+i)%8] |= byte(index[i] << (s % 32 / 8 * 2))
				}
			}
		}
		for i := 0; i < len(scales); i += 2 {
			putScale(r, scales[i:])
		}
		return len(codes), func(l level, y []float32, rows int, x Q8) {
				matVecPairs(l, y, codes, indices, scales, rows, cols, group, x)
			}, func(row, col int) (float64, float64) {
				unit := row*units + col/64
				for i := range 2 {
					s := col%64/4*2 + i
					if int(indices[unit*8+s%8]>>(s/8*2)&3) != col%4 {
						continue
					}
					scale := halfAt(scales[2*(row*groups+col/g):])
					return scale * float64(codes[unit*16+s%16]>>(s/16*4)&15), scale * 8
				}
				return 0, 0
			}
	}}
}

func sparseCases() (cases []matVecCase) {
	for _, group := range []int{32, 64, 96, 128, 0} {
		cases = append(cases, pairsCase(group), maskedCase(8, group, 2), maskedCase(4, group, 2))
	}
	for _, bits := range []int{2, 3, 5, 6} {
		cases = append(cases, maskedCase(bits, 128, 3))
	}
	return append(cases, maskedCase(8, 0, 1), maskedCase(8, 0, 10), maskedCase(3, 0, 0), maskedCase(4, 128, 1))
}

func TestSparseMatVecIsIdenticalAtAllLevelsAndAgreesWithFloat64OnAllShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 1))
	for _, c := range sparseCases() {
		for _, cols := range []int{1, 31, 32, 63, 64, 65, 128, 255, 256, 257, 320, 512, 1376} {
			for _, rows := range []int{1, 2, 9} {
				checkMatVec(t, c, r, rows, cols)
			}
		}
	}
}

// Where all columns are stored, a masked row is a dense one.
func TestMaskedMatVecOfFullMasksIsDense(t *testing.T) {
	r := rand.New(rand.NewPCG(32, 1))
	const rows, cols = 5, 512
	m := &Masked{Bits: 8, Cols: cols, Group: 128, Mask: slices.Repeat([]byte{255}, rows*cols/8), Codes: randomBytes(r, rows*cols), Scales: make([]byte, rows*4*2)}
	signed := slices.Clone(m.Codes)
	for i := range signed {
		signed[i] ^= 0x80
	}
	for i := range rows + 1 {
		m.Starts = append(m.Starts, uint32(i*cols))
	}
	for i := 0; i < len(m.Scales); i += 2 {
		putScale(r, m.Scales[i:])
	}
	x := QuantizeQ8(randoms(r, cols))
	for _, l := range levels() {
		got, want := make([]float32, rows), make([]float32, rows)
		m.matVec(l, got, 0, x)
		matVecGroups(l, &formatInt8, want, signed, m.Scales, rows, cols, 128, x)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %g, want %g", levelNames[l], got, want)
		}
	}
}

func TestExpansionsAreIdenticalAtAllLevelsAndStayInside(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 1))
	for _, cols := range []int{0, 1, 63, 64, 65, 128, 200, 640} {
		for _, keep := range []int{0, 1, 2, 9} {
			mask := randomMask(r, 1, cols, keep)
			n := CountBits(mask)
			floats, bytes := randoms(r, n), randomBytes(r, n)
			for _, l := range levels() {
				f, b := make([]float32, cols+1), make([]byte, cols+1)
				f[cols], b[cols] = guard, 77
				expandFloats(l, f[:cols], floats, mask)
				expandBytes(l, b[:cols], bytes, mask, 8)
				at := 0
				for c := range cols {
					wantF, wantB := float32(0), byte(8)
					if mask[c/8]>>(c%8)&1 != 0 {
						wantF, wantB = floats[at], bytes[at]
						at++
					}
					if f[c] != wantF || b[c] != wantB {
						t.Fatalf("%s, %d columns, column %d: %g, %d, want %g, %d", levelNames[l], cols, c, f[c], b[c], wantF, wantB)
					}
				}
				if f[cols] != guard || b[cols] != 77 {
					t.Fatalf("%s: wrote beyond %d columns", levelNames[l], cols)
				}
			}
		}
	}
}

func TestMaskedFloatsAreTheDotOfTheExpandedRow(t *testing.T) {
	r := rand.New(rand.NewPCG(36, 1))
	const rows = 5
	for _, kind := range []FloatKind{KindF32, KindF16, KindBF16} {
		for _, cols := range []int{1, 63, 64, 100, 192, 1024} {
			for _, keep := range []int{1, 2, 10, 0} {
				m := &MaskedFloats{Kind: kind, Cols: cols, Mask: randomMask(r, rows, cols, keep), Starts: make([]uint32, 1)}
				words := (cols + 63) / 64
				x := randoms(r, cols)
				want := make([]float32, rows)
				for i := range rows {
					mask := m.Mask[i*words*8 : (i+1)*words*8]
					values := randoms(r, CountBits(mask))
					data := make([]byte, len(values)*kind.bytes())
					switch kind {
					case KindF16:
						F32ToF16(data, values)
					case KindBF16:
						F32ToBF16(data, values)
					default:
						for k, v := range values {
							binary.LittleEndian.PutUint32(data[4*k:], math.Float32bits(v))
						}
					}
					kind.decode(values, data)
					row := make([]float32, cols)
					expandFloatsPlain(row, values, mask)
					want[i] = 1 + Dot(row, x)
					m.Data = append(m.Data, data...)
					m.Starts = append(m.Starts, uint32(len(m.Data)))
				}
				for _, l := range levels() {
					y := slices.Repeat([]float32{1}, rows)
					m.matVec(l, y[:2], 0, x)
					m.matVec(l, y[2:], 2, x)
					if !slices.Equal(y, want) {
						t.Errorf("kind %d, %d columns, one in %d, %s: %g, want %g", kind, cols, keep, levelNames[l], y, want)
					}
				}
			}
		}
	}
}

func TestDotColumnsIsTheDotOfTheExpandedRow(t *testing.T) {
	r := rand.New(rand.NewPCG(34, 1))
	for _, cols := range []int{1, 255, 256, 257, 1000, 2048} {
		for _, keep := range []int{1, 2, 10, 0} {
			mask := randomMask(r, 1, cols, keep)
			values, x := randoms(r, CountBits(mask)), randoms(r, cols)
			dense := make([]float32, cols)
			ExpandFloats(dense, values, mask)
			var columns, counts []byte
			var want, abs float64
			for c := range cols {
				if c%256 == 0 {
					counts = append(counts, 0, 0)
				}
				if mask[c/8]>>(c%8)&1 != 0 {
					last := counts[len(counts)-2:]
					binary.LittleEndian.PutUint16(last, binary.LittleEndian.Uint16(last)+1)
					columns = append(columns, byte(c))
				}
				p := float64(dense[c]) * float64(x[c])
				want, abs = want+p, abs+max(p, -p)
			}
			got := float64(dotColumnsAt(generic, values, columns, counts, x))
			for _, l := range levels() {
				for _, group := range []int{32, 64, 128} {
					codes, scales := randomBytes(r, len(values)), randoms(r, len(counts)/2*(256/group)+8)
					got, want := make([]float32, len(values)+1), make([]float32, len(values)+1)
					scaleColumnsAt(l, got[:len(values)], codes, columns, counts, scales, group, 128)
					i := 0
					for c := range cols {
						if mask[c/8]>>(c%8)&1 != 0 {
							want[i] = scales[c/group] * float32(int(codes[i])-128)
							i++
						}
					}
					if !slices.Equal(got, want) {
						t.Fatalf("%d columns, one in %d, %s: values of groups of %d are wrong", cols, keep, levelNames[l], group)
					}
				}
				if v := float64(dotColumnsAt(l, values, columns, counts, x)); v != got {
					t.Errorf("%d columns, one in %d: %s gives %g, want %g", cols, keep, levelNames[l], v, got)
				}
			}
			if got-want > abs*0x1p-16 || want-got > abs*0x1p-16 {
				t.Errorf("%d columns, one in %d: %g, want %g", cols, keep, got, want)
			}
		}
	}
}

// A processor that has them multiplies by the vector kernels.
func TestSparseKernelsAreUsed(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 1))
	x := QuantizeQ8(randoms(r, 512))
	y := make([]float32, 4)
	for _, l := range fast() {
		if n := vectorPairs(l, y, make([]byte, 4*128), make([]byte, 4*64), make([]byte, 4*8), 4, 512, 128, x); n != 4 {
			t.Errorf("%s: %d of 4 rows of pairs by vectors", levelNames[l], n)
		}
		m := &Masked{Bits: 4, Cols: 512, Group: 128, Mask: make([]byte, 4*64), Starts: make([]uint32, 5), Codes: make([]byte, 1), Scales: make([]byte, 4*8)}
		if n := m.vector(l, y, 0, x); n != 4 {
			t.Errorf("%s: %d of 4 masked rows by vectors", levelNames[l], n)
		}
	}
}

func TestUnpackedBitsAreThoseOfTheStream(t *testing.T) {
	r := rand.New(rand.NewPCG(37, 1))
	for width := 2; width < 8; width++ {
		for _, n := range []int{0, 1, 7, 8, 63, 64, 65, 200, 700} {
			src := randomBytes(r, (n*width+7)/8)
			for _, l := range levels() {
				dst := make([]byte, n+1)
				dst[n] = 99
				unpackBits(l, dst[:n], src, width)
				for i := range n {
					var want byte
					for b := range width {
						at := i*width + b
						want |= src[at/8] >> (at % 8) & 1 << b
					}
					if dst[i] != want {
						t.Fatalf("%s: code %d of %d of %d bits is %d, want %d", levelNames[l], i, n, width, dst[i], want)
					}
				}
				if dst[n] != 99 {
					t.Fatalf("%s: wrote beyond %d codes", levelNames[l], n)
				}
			}
		}
	}
}
