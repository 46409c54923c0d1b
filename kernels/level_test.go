package kernels

import (
	"os"
	"strings"
	"testing"
)

func TestBestLevelIsUsedUnlessTheEnvironmentSaysOtherwise(t *testing.T) {
	if os.Getenv("PITH_CPU") == "" && os.Getenv("PITH_NOSIMD") == "" && chosen != best() {
		t.Errorf("CPU has %s, but %s is in use", levelNames[best()], levelNames[chosen])
	}
	if name, err := Level(); name != levelNames[chosen] || (err != nil) != (errChosen != nil) {
		t.Errorf("Level() = %q, %v", name, err)
	}
}

func TestChooseObeysTheEnvironmentAndRefusesWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name, noSIMD string
		best, want   level
		err          string
	}{
		{"", "", avx512, avx512, ""},
		{"", "", generic, generic, ""},
		{"avx2", "", avx512, avx2, ""},
		{"generic", "", avx512, generic, ""},
		{"avx512", "1", avx512, generic, ""},
		{"avx2", "0", avx2, avx2, ""},
		{"avx512", "", avx2, avx2, "has only avx2"},
		{"sse9", "", avx2, avx2, "unknown level"},
	} {
		got, err := choose(c.name, c.noSIMD, c.best)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("choose(%q, %q, %s) = %s, %v", c.name, c.noSIMD, levelNames[c.best], levelNames[got], err)
		}
	}
}
