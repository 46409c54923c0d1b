package codec

import "encoding/binary"

// Codes of one row are offset-binary (0 … 2^width-1) and packed by width:
//
//	8     two's complement, one byte a code: byte = code ^ 0x80
//	4     blocks of 32 columns, the last may be shorter (n columns): with h = ⌈n/2⌉, byte j = code[j] | code[j+h]<<4
//	else  dense little endian: code i occupies bits [i·width, (i+1)·width) of the row
//
// Every row starts on a byte; unused bits are zero. A row of n codes takes ⌈n·width/8⌉ bytes for each width.
func packedBytes(n, width int) int { return (n*width + 7) / 8 }

// packCodes writes codes to dst[:packedBytes(len(codes), width)].
func packCodes(dst []byte, codes []uint8, width int) {
	dst = dst[:packedBytes(len(codes), width)]
	switch width {
	case 8:
		for i, q := range codes {
			dst[i] = q ^ 0x80
		}
	case 4:
		for len(codes) >= 32 {
			packNibbles(dst[:16], codes[:32])
			dst, codes = dst[16:], codes[32:]
		}
		packNibbles(dst, codes)
	default:
		for len(codes) >= 8 {
			putLittle(dst[:width], gather(binary.LittleEndian.Uint64(codes), width))
			dst, codes = dst[width:], codes[8:]
		}
		var last [8]uint8
		copy(last[:], codes)
		putLittle(dst, gather(binary.LittleEndian.Uint64(last[:]), width))
	}
}

func packNibbles(dst []byte, codes []uint8) {
	half := (len(codes) + 1) / 2
	copy(dst, codes[:half])
	for j, q := range codes[half:] {
		dst[j] |= q << 4
	}
}

func putLittle(dst []byte, v uint64) {
	for i := range dst {
		dst[i] = byte(v >> (8 * i))
	}
}

// unpackCodes reads len(dst) codes of a row; src holds the whole row.
func unpackCodes(dst []uint8, src []byte, width int) {
	src = src[:packedBytes(len(dst), width)]
	switch width {
	case 8:
		for i, b := range src {
			dst[i] = b ^ 0x80
		}
	case 4:
		for len(dst) >= 32 {
			lo, hi := (*[16]uint8)(dst[:16]), (*[16]uint8)(dst[16:32])
			for j, b := range (*[16]byte)(src[:16]) {
				lo[j], hi[j] = b&15, b>>4
			}
			dst, src = dst[32:], src[16:]
		}
		half := (len(dst) + 1) / 2
		for j := range dst[:half] {
			dst[j] = src[j] & 15
		}
		for j := range dst[half:] {
			dst[half+j] = src[j] >> 4
		}
	default:
		unpackDense(dst, src, width)
	}
}

func unpackDense(dst []uint8, src []byte, width int) {
	for len(dst) >= 8 && len(src) >= 8 {
		binary.LittleEndian.PutUint64(dst, spread(binary.LittleEndian.Uint64(src), width))
		dst, src = dst[8:], src[width:]
	}
	for len(dst) > 0 {
		var bits, codes [8]byte
		copy(bits[:], src[:min(width, len(src))])
		binary.LittleEndian.PutUint64(codes[:], spread(binary.LittleEndian.Uint64(bits[:]), width))
		n := copy(dst, codes[:])
		dst, src = dst[n:], src[min(width, len(src)):]
	}
}

// The lowest bit of each byte, pair of bytes and four bytes of a word.
const (
	each8  = 0x0101010101010101
	each16 = 0x0001000100010001
	each32 = 0x0000000100000001
)

// spread moves the 8 codes in the low 8·width bits of v to a byte each, halving the distance of what is to be parted three times.
func spread(v uint64, width int) uint64 {
	w := uint(width)
	mask := uint64(1)<<(4*w) - 1
	v = v&mask | v>>(4*w)&mask<<32
	mask = (1<<(2*w) - 1) * each32
	v = v&mask | v>>(2*w)&mask<<16
	mask = (1<<w - 1) * each16
	return v&mask | v>>w&mask<<8
}

// gather is the inverse of spread.
func gather(v uint64, width int) uint64 {
	w := uint(width)
	mask := uint64(1<<w-1) * each16
	v = v&mask | v>>8&mask<<w
	mask = (1<<(2*w) - 1) * each32
	v = v&mask | v>>16&mask<<(2*w)
	mask = 1<<(4*w) - 1
	return v&mask | v>>32&mask<<(4*w)
}
