package trellis

import (
	"os"
	"testing"
)

// bar is the most that a code's mean squared error on a unit Gaussian may be; code "" is the best of hash16 and lut12.
type bar struct {
	code string
	rate Rate
	mse  float64
}

func bars() []bar {
	return []bar{
		{"hash16", 32, 0.0680}, {"lut12", 32, 0.0706}, {"lut10", 32, 0.0731}, {"lut8", 32, 0.0766}, {"lut7", 32, 0.0830},
		{"hash16", 48, 0.0176}, {"lut12", 48, 0.0183}, {"lut10", 48, 0.0194}, {"lut8", 48, 0.0210},
		{"hash16", 64, 0.0046}, {"lut12", 64, 0.0050}, {"lut10", 64, 0.0052}, {"lut8", 64, 0.0060},
		// Q-Palette's own table of errors at rates that are no whole number.
		{"", 24, 0.14034}, {"", 36, 0.05366}, {"", 40, 0.03631}, {"", 44, 0.02762}, {"", 52, 0.01455}, {"", 56, 0.01018},
		{"hyb", 32, 0.0706}, {"1mad", 32, 0.0693},
	}
}

// Every code, its table rounded as it is stored, comes as near to a unit Gaussian as the documentation says. PITH_BARS=1 takes a
// million samples, and the slow codes too: a minute or two. Otherwise the sampling error is allowed for.
func TestGaussianErrors(t *testing.T) {
	samples, slack := 1<<17, 1.006
	if os.Getenv("PITH_BARS") != "" {
		samples, slack = 1<<20, 1
	}
	for _, b := range bars() {
		names := []string{b.code}
		if b.code == "" {
			names = []string{"lut12", "hash16"}
		}
		best := 1.0
		for _, name := range names {
			c, err := Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			if c.bits > 12 && slack > 1 {
				if b.code != "" {
					best = 0
				}
				continue
			}
			mse := GaussianMSE(c, b.rate, samples, 1)
			t.Logf("%s-%s: %.6f, %.3f dB above the bound; at most %.5f", name, b.rate, mse, Gap(mse, b.rate), b.mse)
			best = min(best, mse)
		}
		if best > b.mse*slack {
			t.Errorf("%s at %s bits: %.6f, want at most %.5f", b.code, b.rate, best, b.mse)
		}
	}
}

// At one bit and at two, QTIP's 1MAD and HYB have the errors that were measured of the originals.
func TestComputedCodesMatchTheirOriginals(t *testing.T) {
	if os.Getenv("PITH_BARS") == "" {
		t.Skip("PITH_BARS=1 measures 16-bit states")
	}
	for name, want := range map[string]float64{"1mad": 0.0688, "hyb": 0.0706, "3inst": 0.0688, "mcg": 0.0685, "mul1": 0.0685} {
		c, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if mse := GaussianMSE(c, 32, 1<<20, 2); mse < want-0.0007 || mse > want+0.0007 {
			t.Errorf("%s: %.5f, want about %.4f", name, mse, want)
		} else {
			t.Logf("%s: %.5f", name, mse)
		}
	}
}
