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
			var v uint64
			for i, q := range codes[:8] {
				v |= uint64(q) << (i * width)
			}
			putLittle(dst[:width], v)
			dst, codes = dst[width:], codes[8:]
		}
		var v uint64
		for i, q := range codes {
			v |= uint64(q) << (i * width)
		}
		putLittle(dst, v)
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
	mask := uint64(1)<<width - 1
	w := uint(width)
	for len(dst) >= 8 && len(src) >= 8 {
		v := binary.LittleEndian.Uint64(src)
		d := (*[8]uint8)(dst[:8])
		for i := range d {
			d[i] = uint8(v & mask)
			v >>= w
		}
		dst, src = dst[8:], src[width:]
	}
	for i := range dst {
		bit := i * width
		v := uint64(src[bit/8])
		if bit%8+width > 8 {
			v |= uint64(src[bit/8+1]) << 8
		}
		dst[i] = uint8(v >> (bit % 8) & mask)
	}
}
