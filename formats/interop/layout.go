package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Layout is how a tensor's bytes in a GGUF file differ from the checkpoint's.
type Layout uint8

// The layouts. H heads of d rows each; row orders hold for weights and biases alike.
const (
	AsIs           Layout = iota
	RotaryQ               // row h·d + 2j + i of GGUF is row h·d + i·d/2 + j of the checkpoint (i < 2, j < d/2), over the query heads
	RotaryK               // the same over the key heads
	PlusOne               // norm weights: GGUF holds 1 + w in float32
	Transposed            // weights: GGUF holds the transpose
	InterleavedQKV        // row p·H·d + h·d + k of GGUF is row (3h + p)·d + k of the checkpoint (p = 0, 1, 2 for q, k, v)
)

// of returns the layout that holds for the tensor of a module with this suffix: biases are neither shifted nor transposed.
func (l Layout) of(suffix string) Layout {
	if suffix == ".bias" && (l == PlusOne || l == Transposed) {
		return AsIs
	}
	return l
}

// Heads are the dimensions that row orders depend on.
type Heads struct{ Query, Key, Dim int }

// rowOrder returns order such that row g of the GGUF tensor is row order[g] of the checkpoint's, or nil if rows keep their places.
// rows is the tensor's first dimension.
func (l Layout) rowOrder(h Heads, rows int) ([]int, error) {
	place, err := l.place(h, rows)
	if place == nil {
		return nil, err
	}
	order := make([]int, rows)
	for r := range order {
		order[place(r)] = r
	}
	return order, nil
}

// place returns the function that maps a row of the checkpoint's tensor to its row in GGUF, or nil if rows keep their places.
func (l Layout) place(h Heads, rows int) (func(r int) int, error) {
	heads := h.Query
	switch l {
	case RotaryK:
		heads = h.Key
		fallthrough
	case RotaryQ:
		if heads <= 0 || h.Dim <= 0 || h.Dim%2 != 0 || rows != heads*h.Dim {
			return nil, fmt.Errorf("%d rows are not %d heads × %d (an even number)", rows, heads, h.Dim)
		}
		return func(r int) int {
			k := r % h.Dim
			return r - k + k%(h.Dim/2)*2 + k/(h.Dim/2)
		}, nil
	case InterleavedQKV:
		if heads <= 0 || h.Dim <= 0 || rows != 3*heads*h.Dim {
			return nil, fmt.Errorf("%d rows are not 3 × %d heads × %d", rows, heads, h.Dim)
		}
		return func(r int) int {
			head, p, k := r/(3*h.Dim), r/h.Dim%3, r%h.Dim
			return (p*heads+head)*h.Dim + k
		}, nil
	}
	return nil, nil
}

// gatherRows returns src with row g taken from row order[g]. Rows are rowBytes long; order is a permutation of all of them.
func gatherRows(src []byte, rowBytes int, order []int) []byte {
	dst := make([]byte, len(src))
	for g, r := range order {
		copy(dst[g*rowBytes:(g+1)*rowBytes], src[r*rowBytes:(r+1)*rowBytes])
	}
	return dst
}

// scatterRows undoes gatherRows.
func scatterRows(src []byte, rowBytes int, order []int) []byte {
	dst := make([]byte, len(src))
	for g, r := range order {
		copy(dst[r*rowBytes:(r+1)*rowBytes], src[g*rowBytes:(g+1)*rowBytes])
	}
	return dst
}

// errBlockTranspose is why a block-quantized Conv1D weight cannot change between (in, out) and (out, in).
var errBlockTranspose = errors.New("blocks of a quantized tensor run along its rows, so it cannot be transposed")

// transpose returns the (cols, rows) transpose of a rows × cols tensor of size-byte elements. It works in tiles of 32 × 32 for the cache's sake.
func transpose(src []byte, rows, cols, size int) []byte {
	const tile = 32
	dst := make([]byte, len(src))
	for r0 := 0; r0 < rows; r0 += tile {
		for c0 := 0; c0 < cols; c0 += tile {
			for r := r0; r < min(r0+tile, rows); r++ {
				for c := c0; c < min(c0+tile, cols); c++ {
					copy(dst[(c*rows+r)*size:(c*rows+r+1)*size], src[(r*cols+c)*size:(r*cols+c+1)*size])
				}
			}
		}
	}
	return dst
}

// shiftF32 adds by to every little-endian float32 of data.
func shiftF32(data []byte, by float32) {
	for i := 0; i+4 <= len(data); i += 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(data[i:])) + by
		binary.LittleEndian.PutUint32(data[i:], math.Float32bits(v))
	}
}
