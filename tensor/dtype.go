package tensor

import "fmt"

// DType is how the elements of a stored tensor are laid out: one of safetensors' element types, or one of GGML's block
// types. The first part follows the order of the safetensors format (its writer sorts by it, descending).
type DType uint8

// The dtypes. Scalars of safetensors first, in its order; then GGML's blocks.
const (
	Invalid DType = iota
	Bool
	F4
	F6E2M3
	F6E3M2
	U8
	I8
	F8E5M2
	F8E4M3
	F8E8M0
	F8E4M3FNUZ
	F8E5M2FNUZ
	I16
	U16
	F16
	BF16
	I32
	U32
	F32
	C64
	F64
	I64
	U64
	Q4_0
	Q4_1
	Q5_0
	Q5_1
	Q8_0
	Q2_K
	Q3_K
	Q4_K
	Q5_K
	Q6_K
	Q8_1
	Q8_K
	IQ1_S
	IQ1_M
	IQ2_XXS
	IQ2_XS
	IQ2_S
	IQ3_XXS
	IQ3_S
	IQ4_NL
	IQ4_XS
	TQ1_0
	TQ2_0
	MXFP4
	NVFP4
	Q1_0
	Q2_0
	numDTypes
)

// dtypeInfo gives each dtype's name and the bytes of one block of elements. Sub-byte scalars are
// blocks too: F4 packs 2 elements into 1 byte, F6 packs 4 into 3.
var dtypeInfo = [numDTypes]struct {
	name         string
	block, bytes int
}{
	Invalid: {"invalid", 1, 0},
	Bool:    {"BOOL", 1, 1}, F4: {"F4", 2, 1}, F6E2M3: {"F6_E2M3", 4, 3}, F6E3M2: {"F6_E3M2", 4, 3},
	U8: {"U8", 1, 1}, I8: {"I8", 1, 1},
	F8E5M2: {"F8_E5M2", 1, 1}, F8E4M3: {"F8_E4M3", 1, 1}, F8E8M0: {"F8_E8M0", 1, 1},
	F8E4M3FNUZ: {"F8_E4M3FNUZ", 1, 1}, F8E5M2FNUZ: {"F8_E5M2FNUZ", 1, 1},
	I16: {"I16", 1, 2}, U16: {"U16", 1, 2}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2},
	I32: {"I32", 1, 4}, U32: {"U32", 1, 4}, F32: {"F32", 1, 4},
	C64: {"C64", 1, 8}, F64: {"F64", 1, 8}, I64: {"I64", 1, 8}, U64: {"U64", 1, 8},
	Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20}, Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24}, Q8_0: {"Q8_0", 32, 34},
	Q2_K: {"Q2_K", 256, 84}, Q3_K: {"Q3_K", 256, 110}, Q4_K: {"Q4_K", 256, 144}, Q5_K: {"Q5_K", 256, 176}, Q6_K: {"Q6_K", 256, 210},
	Q8_1: {"Q8_1", 32, 36}, Q8_K: {"Q8_K", 256, 292},
	IQ1_S: {"IQ1_S", 256, 50}, IQ1_M: {"IQ1_M", 256, 56}, IQ2_XXS: {"IQ2_XXS", 256, 66}, IQ2_XS: {"IQ2_XS", 256, 74}, IQ2_S: {"IQ2_S", 256, 82},
	IQ3_XXS: {"IQ3_XXS", 256, 98}, IQ3_S: {"IQ3_S", 256, 110}, IQ4_NL: {"IQ4_NL", 32, 18}, IQ4_XS: {"IQ4_XS", 256, 136},
	TQ1_0: {"TQ1_0", 256, 54}, TQ2_0: {"TQ2_0", 256, 66}, MXFP4: {"MXFP4", 32, 17}, NVFP4: {"NVFP4", 64, 36},
	Q1_0: {"Q1_0", 128, 18}, Q2_0: {"Q2_0", 64, 18},
}

// String returns the name files use: "F32", "F8_E4M3", "Q4_K".
func (d DType) String() string {
	if d >= numDTypes {
		return fmt.Sprintf("DType(%d)", uint8(d))
	}
	return dtypeInfo[d].name
}

// Block returns how many elements one block of d holds (1 for whole-byte scalars) and its size in bytes.
func (d DType) Block() (elements, bytes int) { return dtypeInfo[d].block, dtypeInfo[d].bytes }

// Scalar reports whether d is an element type of safetensors (as opposed to a GGML block type).
func (d DType) Scalar() bool { return d > Invalid && d < Q4_0 }

// ParseDType returns the dtype that a file calls name.
func ParseDType(name string) (DType, error) {
	for d := Bool; d < numDTypes; d++ {
		if dtypeInfo[d].name == name {
			return d, nil
		}
	}
	return Invalid, fmt.Errorf("unknown dtype %q", name)
}
