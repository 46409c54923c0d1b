package codec

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// slowPack is the definition of the dense layout: code i occupies bits [i·width, (i+1)·width).
func slowPack(codes []uint8, width int) []byte {
	out := make([]byte, packedBytes(len(codes), width))
	for i, q := range codes {
		for b := range width {
			bit := i*width + b
			out[bit/8] |= q >> b & 1 << (bit % 8)
		}
	}
	return out
}

func TestPackedCodesFollowTheLayoutAndComeBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for _, width := range []int{2, 3, 4, 5, 6, 8} {
		for n := range 70 {
			codes := make([]uint8, n)
			for i := range codes {
				codes[i] = uint8(rng.Uint32()) & (1<<width - 1)
			}
			size := packedBytes(n, width)
			dst := bytes.Repeat([]byte{0xa5}, size+8)
			packCodes(dst[:size], codes, width)
			if !bytes.Equal(dst[size:], bytes.Repeat([]byte{0xa5}, 8)) {
				t.Fatalf("width %d, %d codes: wrote beyond the row", width, n)
			}
			if width != 4 && width != 8 && !bytes.Equal(dst[:size], slowPack(codes, width)) {
				t.Fatalf("width %d, %d codes: %x, want %x", width, n, dst[:size], slowPack(codes, width))
			}
			back := bytes.Repeat([]byte{0xa5}, n+8)
			unpackCodes(back[:n], slices.Clone(dst[:size]), width)
			if !bytes.Equal(back[:n], codes) || !bytes.Equal(back[n:], bytes.Repeat([]byte{0xa5}, 8)) {
				t.Fatalf("width %d, %d codes: %v became %v", width, n, codes, back)
			}
		}
	}
}

func TestNibblesOfAShortBlockAreHalves(t *testing.T) {
	codes := make([]uint8, 37) // a block of 32 and one of 5
	for i := range codes {
		codes[i] = uint8(i % 16)
	}
	dst := make([]byte, 19)
	packCodes(dst, codes, 4)
	if dst[0] != 0x00 || dst[1] != 0x11 || dst[15] != 0xff {
		t.Errorf("first block %x", dst[:16])
	}
	if want := []byte{0x30, 0x41, 0x02}; !bytes.Equal(dst[16:], want) { // 0 1 2 | 3 4
		t.Errorf("short block %x, want %x", dst[16:], want)
	}
}
