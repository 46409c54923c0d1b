//go:build !amd64 || noasm

package kernels

func runQ6_K(level, *rowKernel, int) {}
func runQ5_K(level, *rowKernel, int) {}
func runQ3_K(level, *rowKernel, int) {}
func runQ2_K(level, *rowKernel, int) {}
func runQ5_0(level, *rowKernel, int) {}
func runQ5_1(level, *rowKernel, int) {}
func runQ4_1(level, *rowKernel, int) {}
func runInt6(level, *rowKernel, int) {}
func runInt5(level, *rowKernel, int) {}
func runInt3(level, *rowKernel, int) {}
func runInt2(level, *rowKernel, int) {}
