package kernels

import (
	"encoding/binary"
	"math"
)

// F16ToF32 converts len(dst) IEEE 754 binary16 values, little-endian in src; exact, NaNs become quiet and keep their payload.
func F16ToF32(dst []float32, src []byte) { convertUp(chosen, f16, dst, src) }

// BF16ToF32 converts len(dst) bfloat16 values, little-endian in src; exact.
func BF16ToF32(dst []float32, src []byte) { convertUp(chosen, bf16, dst, src) }

// F32ToF16 rounds src to binary16, ties to even, little-endian into dst. Every level writes the same bytes, NaNs included.
func F32ToF16(dst []byte, src []float32) { convertDown(chosen, f16, dst, src) }

// F32ToBF16 rounds src to bfloat16, ties to even, little-endian into dst; a NaN stays one. Every level writes the same bytes.
func F32ToBF16(dst []byte, src []float32) { convertDown(chosen, bf16, dst, src) }

// half is one of the two 16-bit floats.
type half uint8

const (
	f16 half = iota
	bf16
)

func convertUp(l level, h half, dst []float32, src []byte) {
	if len(src) < 2*len(dst) {
		panic("kernels: conversion from a slice shorter than its result")
	}
	if blocks := len(dst) / 16; l != generic && blocks > 0 {
		upBlocks(l, h, dst, src, blocks)
		dst, src = dst[16*blocks:], src[32*blocks:]
	}
	if h == f16 {
		for i := range dst {
			dst[i] = F16ToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
		}
		return
	}
	for i := range dst {
		dst[i] = BF16ToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func convertDown(l level, h half, dst []byte, src []float32) {
	if len(dst) < 2*len(src) {
		panic("kernels: conversion into a slice that is too short")
	}
	if blocks := len(src) / 16; l != generic && blocks > 0 {
		downBlocks(l, h, dst, src, blocks)
		dst, src = dst[32*blocks:], src[16*blocks:]
	}
	if h == f16 {
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], Float32ToF16(v))
		}
		return
	}
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], Float32ToBF16(v))
	}
}

// F16ToFloat32 converts an IEEE 754 binary16; every value is exact, and a NaN keeps its payload and becomes quiet.
func F16ToFloat32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	magnitude := uint32(h & 0x7fff)
	switch {
	case magnitude > 0x7c00:
		return math.Float32frombits(sign | 0x7fc00000 | magnitude<<13)
	case magnitude == 0x7c00:
		return math.Float32frombits(sign | 0x7f800000)
	case magnitude >= 0x0400:
		return math.Float32frombits(sign | (magnitude<<13 + 112<<23))
	}
	v := float32(magnitude) * (1.0 / (1 << 24)) // subnormal: a multiple of 2^-24
	return math.Float32frombits(sign | math.Float32bits(v))
}

// Float32ToF16 rounds to the nearest binary16, ties to even; what is beyond 65504 by half a step or more becomes an infinity.
func Float32ToF16(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000:
		return sign | 0x7e00 | uint16(bits>>13&0x3ff)
	case bits >= 0x477ff000: // 65520 and above
		return sign | 0x7c00
	case bits >= 0x38800000: // 2^-14: normal
		bits -= 112 << 23
		return sign | uint16((bits+0xfff+bits>>13&1)>>13)
	case bits < 0x33000000: // below 2^-25
		return sign
	}
	// Subnormal: adding 0.5 puts the unit of the last place at 2^-24, so the hardware rounds to nearest even.
	return sign | uint16(math.Float32bits(math.Float32frombits(bits)+0.5)-math.Float32bits(0.5))
}

// BF16ToFloat32 converts a bfloat16, which is the upper half of a float32.
func BF16ToFloat32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// Float32ToBF16 rounds to the nearest bfloat16, ties to even; a NaN stays one and becomes quiet.
func Float32ToBF16(v float32) uint16 {
	bits := math.Float32bits(v)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x0040
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
