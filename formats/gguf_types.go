package formats

import (
	"fmt"

	"pith/tensor"
)

const (
	ggufMagic        = "GGUF"
	ggufVersion      = 3
	ggufAlignment    = 32
	maxGGUFAlignment = 1 << 16
)

// ggmlTypes is GGML's enumeration of tensor types (ggml.h, enum ggml_type): index is the number in files.
var ggmlTypes = [...]tensor.DType{
	0: tensor.F32, 1: tensor.F16,
	2: tensor.Q4_0, 3: tensor.Q4_1, 6: tensor.Q5_0, 7: tensor.Q5_1, 8: tensor.Q8_0, 9: tensor.Q8_1,
	10: tensor.Q2_K, 11: tensor.Q3_K, 12: tensor.Q4_K, 13: tensor.Q5_K, 14: tensor.Q6_K, 15: tensor.Q8_K,
	16: tensor.IQ2_XXS, 17: tensor.IQ2_XS, 18: tensor.IQ3_XXS, 19: tensor.IQ1_S, 20: tensor.IQ4_NL,
	21: tensor.IQ3_S, 22: tensor.IQ2_S, 23: tensor.IQ4_XS,
	24: tensor.I8, 25: tensor.I16, 26: tensor.I32, 27: tensor.I64, 28: tensor.F64,
	29: tensor.IQ1_M, 30: tensor.BF16, 34: tensor.TQ1_0, 35: tensor.TQ2_0,
	39: tensor.MXFP4, 40: tensor.NVFP4, 41: tensor.Q1_0, 42: tensor.Q2_0,
}

// ggmlType returns the dtype that GGML numbers id.
func ggmlType(id uint32) (tensor.DType, error) {
	if id < uint32(len(ggmlTypes)) {
		if d := ggmlTypes[id]; d != tensor.Invalid {
			return d, nil
		}
		return tensor.Invalid, fmt.Errorf("type %d was removed from GGML: convert the model again with a current converter", id)
	}
	return tensor.Invalid, fmt.Errorf("type %d is not one of GGML's that we know (0 to %d)", id, len(ggmlTypes)-1)
}

// ggmlTypeID returns the number of d in GGML's enumeration.
func ggmlTypeID(d tensor.DType) (uint32, error) {
	for id, known := range ggmlTypes {
		if known == d && d != tensor.Invalid {
			return uint32(id), nil
		}
	}
	return 0, fmt.Errorf("GGUF has no dtype %v: convert the tensor to F32, F16 or BF16", d)
}
