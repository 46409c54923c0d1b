//go:build !amd64 || noasm

package kernels

func best() level { return generic }
