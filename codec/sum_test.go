package codec

import (
	"strings"
	"testing"
)

// Names come from manifests and indexes of stacks, so none may panic.
func TestSumsThatAreNoListsOfTermsAreErrors(t *testing.T) {
	for _, name := range []string{"2*2*int4-g64", "2*3*sign-k1+f16", "f16+2*2*f16", "65*int4-g64", "0*f16", "-1*f16", "*f16", "2*", "+f16", "f16+", "+", "*", "64*f16+f16", "lr4-2*f16"} {
		if _, err := Parse(name); err == nil || !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "codec") {
			t.Errorf("%s: %v, want an error that names it", name, err)
		}
	}
	for name, want := range map[string]string{"2*1*f16": "2*f16", "1*f16": "f16", "f16+f16": "2*f16"} {
		if c, err := Parse(name); err != nil || c.Name() != want {
			t.Errorf("%s: %v, %v, want %s", name, c, err, want)
		}
	}
}
