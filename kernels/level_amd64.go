//go:build !noasm

package kernels

import "golang.org/x/sys/cpu"

// best returns the highest level whose instructions the CPU and the operating system support.
func best() level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA || !x.HasF16C || !x.HasBMI2:
		return generic
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512VL || !x.HasAVX512DQ || !x.HasAVX512VNNI:
		return avx2
	}
	return avx512
}
