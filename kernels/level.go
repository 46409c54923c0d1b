package kernels

import (
	"fmt"
	"os"
)

// level is a set of instructions that kernels may use. Higher levels include lower ones.
type level uint8

const (
	generic level = iota // plain Go: the definitions
	avx2                 // AVX2, BMI2, FMA, F16C
	avx512               // and AVX-512 F, BW, VL, DQ, VNNI
)

var levelNames = [...]string{generic: "generic", avx2: "avx2", avx512: "avx512"}

// chosen is the level every exported kernel uses, fixed at start.
var chosen, errChosen = choose(os.Getenv("PITH_CPU"), os.Getenv("PITH_NOSIMD"), best())

// Level returns the name of the instruction level in use: "generic", "avx2" or "avx512". It is the best the CPU has, unless the
// environment says PITH_CPU=<name> or PITH_NOSIMD=1. The error says that the environment asks for what cannot be had; the best
// level is in use then.
func Level() (string, error) { return levelNames[chosen], errChosen }

func choose(name, noSIMD string, best level) (level, error) {
	if noSIMD != "" && noSIMD != "0" {
		return generic, nil
	}
	if name == "" {
		return best, nil
	}
	for l, n := range levelNames {
		if n != name {
			continue
		}
		if level(l) > best {
			return best, fmt.Errorf("PITH_CPU=%s: this CPU or build has only %s; unset PITH_CPU or lower it", name, levelNames[best])
		}
		return level(l), nil
	}
	return best, fmt.Errorf("PITH_CPU=%s: unknown level; use generic, avx2 or avx512", name)
}
