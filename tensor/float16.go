package tensor

import "pith/kernels"

// F16ToFloat32 converts an IEEE 754 binary16; every value is exact, and a NaN keeps its payload and becomes quiet.
func F16ToFloat32(h uint16) float32 { return kernels.F16ToFloat32(h) }

// Float32ToF16 rounds to the nearest binary16, ties to even; what is beyond 65504 by half a step or more becomes an infinity.
func Float32ToF16(v float32) uint16 { return kernels.Float32ToF16(v) }

// BF16ToFloat32 converts a bfloat16, which is the upper half of a float32.
func BF16ToFloat32(h uint16) float32 { return kernels.BF16ToFloat32(h) }

// Float32ToBF16 rounds to the nearest bfloat16, ties to even; a NaN stays one and becomes quiet.
func Float32ToBF16(v float32) uint16 { return kernels.Float32ToBF16(v) }
